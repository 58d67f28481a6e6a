#include "store/redis/live_redis_admit.h"

#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "embedded/store_redis_scripts.h"

#include "base/poison.h"

enum {
    KEEP = 256, /* idle records a handle keeps; more were a burst */
    ANSWER_HEAD = 4,
    SAYS_EMPTIED = 3 /* of admit.lua */
};
static const int64_t CAP_MAX = LIVE_VALUE_MAX + 1; /* refuses nothing */

struct live_admissions {
    struct live_redis_handle *handle;
    struct dm_redis_script script;
    struct live_slot_scripts slot_scripts;
    struct dm_link running, free;
    size_t n_free;
};

static int64_t within(int64_t value)
{
    return value < 0 ? 0 : value > CAP_MAX ? CAP_MAX : value;
}

dm_time live_wall_of(int64_t seconds, int64_t microseconds)
{
    if (seconds <= 0 || seconds > INT64_MAX / DM_SEC - 1 || microseconds < 0 ||
        microseconds >= DM_SEC / DM_US)
        return 0;
    return seconds * DM_SEC + microseconds * DM_US;
}

int64_t live_counter_cap(const struct dm_counter_ask *c, int64_t unsent)
{
    int64_t limit = c->limit < 0 ? 0 : c->limit;
    int64_t cap;
    switch (c->kind) {
    case DM_COUNTER_RATE:
        return within(limit);
    case DM_COUNTER_THROTTLE: /* this call is number value + 1 */
        if (__builtin_add_overflow(c->limit, c->max_delayed, &cap))
            cap = c->max_delayed < 0 ? 0 : CAP_MAX;
        return within(cap < c->queue ? cap : c->queue);
    case DM_COUNTER_BANDWIDTH: /* refused when used up, also for a call without a body */
        cap = c->amount > 1 ? limit - c->amount + 1 : limit;
        return within(within(cap) - unsent);
    }
    DM_UNREACHABLE();
}

void live_counter_key(struct dm_live_key *k, dm_view subject, const struct dm_counter_ask *c,
                      int64_t index)
{
    switch (c->kind) {
    case DM_COUNTER_RATE:
        dm_live_key_rate(k, subject, index);
        return;
    case DM_COUNTER_THROTTLE:
        dm_live_key_throttle(k, subject, index);
        return;
    case DM_COUNTER_BANDWIDTH:
        dm_live_key_bandwidth(k, subject, c->window_seconds, index * c->window_seconds);
        return;
    }
    DM_UNREACHABLE();
}

/* --- records --- */

static void on_task(struct dm_task *t)
{
    struct live_admission *r = DM_CONTAINER_OF(t, struct live_admission, task);
    live_admission_answer(r, r->answer.verdict);
    live_admission_give(r);
}

static void on_cancel(struct live_redis_pending *p)
{
    struct live_admission *r = DM_CONTAINER_OF(p, struct live_admission, pending);
    if (dm_loop_now(r->handle->loop) >= r->deadline) /* the asker's clock was faster than ours */
        live_breaker_report(&r->handle->breaker, DM_TIMEOUT);
    if (live_slots_busy(r))
        return; /* goes on without a listener: what one slot spent may have to be taken back */
    dm_loop_unpost(&r->task);
    dm_redis_cancel(r->handle->redis, &r->ask);
    live_admission_give(r);
}

static struct live_admission *take(struct live_admissions *a)
{
    struct dm_link *l = dm_list_pop(&a->free);
    struct live_admission *r;
    if (l != NULL) {
        a->n_free--;
        r = DM_CONTAINER_OF(l, struct live_admission, link);
    } else {
        r = DM_NEW(struct live_admission);
        r->handle = a->handle;
        r->pending.cancel = on_cancel;
        dm_list_init(&r->link);
        dm_task_init(&r->task, on_task);
    }
    dm_list_add_tail(&a->running, &r->link);
    return r;
}

static void record_free(struct live_admission *r)
{
    dm_mem_free(r->slots);
    dm_mem_free(r);
}

void live_admission_give(struct live_admission *r)
{
    struct live_admissions *a = r->handle->admissions;
    DM_ASSERT(r->pending.wait == NULL);
    dm_list_remove(&r->link);
    if (a->n_free == KEEP) {
        record_free(r);
        return;
    }
    dm_list_add_head(&a->free, &r->link);
    a->n_free++;
}

void live_admission_answer(struct live_admission *r, enum dm_admit_verdict v)
{
    static const struct dm_admit_answer unknown = {.verdict = DM_ADMIT_UNKNOWN};
    struct dm_live_wait *w = live_redis_untie(&r->pending);
    r->answer.verdict = v;
    if (w != NULL)
        r->fn(w, v == DM_ADMIT_UNKNOWN ? &unknown : &r->answer);
}

/* --- one server: one script --- */

static bool read_counters(struct live_admission *r, const struct dm_redis_reply *reply, size_t n)
{
    int64_t seconds = r->answer.now_wall / DM_SEC;
    for (size_t i = 0; i < n; i++) {
        const struct dm_redis_reply *value = dm_redis_at(reply, ANSWER_HEAD + i);
        if (dm_redis_type(value) != DM_REDIS_INT || dm_redis_int(value) < 0 ||
            dm_redis_int(value) > LIVE_VALUE_MAX)
            return false;
        r->answer.count[i] = dm_redis_int(value) + r->unsent[i];
        r->answer.reset_wall[i] = live_window_end(seconds, r->counters[i].window_seconds);
    }
    return true;
}

/* Anything that admit.lua does not give is no verdict. */
static bool read_answer(struct live_admission *r, const struct dm_redis_reply *reply)
{
    int64_t verdict = dm_redis_int(dm_redis_at(reply, 0)),
            place = dm_redis_int(dm_redis_at(reply, 1));
    dm_time wall =
        live_wall_of(dm_redis_int(dm_redis_at(reply, 2)), dm_redis_int(dm_redis_at(reply, 3)));
    size_t n = verdict == DM_ADMIT_YES ? r->n : verdict == DM_ADMIT_OVER ? (size_t)place + 1 : 0;
    for (size_t i = 0; i < ANSWER_HEAD; i++) {
        if (dm_redis_type(dm_redis_at(reply, i)) != DM_REDIS_INT)
            return false;
    }
    if (verdict < DM_ADMIT_YES || verdict > DM_ADMIT_OVER || wall == 0 || place < 0 || n > r->n ||
        dm_redis_len(reply) != ANSWER_HEAD + n)
        return false;
    r->answer.verdict = (enum dm_admit_verdict)verdict;
    r->answer.refused_by = (size_t)place;
    r->answer.now_wall = wall;
    return read_counters(r, reply, n);
}

/* Nothing that is not there says anything any more: neither revocations nor counters. */
static bool store_emptied(const struct dm_redis_reply *reply)
{
    return dm_redis_len(reply) == ANSWER_HEAD &&
           dm_redis_type(dm_redis_at(reply, 0)) == DM_REDIS_INT &&
           dm_redis_int(dm_redis_at(reply, 0)) == SAYS_EMPTIED;
}

static void on_reply(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct live_admission *r = DM_CONTAINER_OF(q, struct live_admission, ask);
    enum dm_admit_verdict v = DM_ADMIT_UNKNOWN;
    live_breaker_report(&r->handle->breaker, rc);
    if (rc == DM_OK && store_emptied(reply))
        live_breaker_open(&r->handle->breaker, LIVE_STORE_EMPTIED);
    else if (rc == DM_OK && read_answer(r, reply))
        v = live_breaker_doubts(&r->handle->breaker) ? DM_ADMIT_UNKNOWN : r->answer.verdict;
    else if (rc == DM_OK || rc == DM_PROTOCOL)
        live_redis_odd(r->handle, "admit", reply);
    live_admission_answer(r, v);
    live_admission_give(r);
}

static void ask_script(struct live_admission *r, const struct dm_admit_ask *ask, bool token)
{
    struct dm_live_key revoked[2], names[DM_COUNTERS_MAX];
    struct live_number windows[DM_COUNTERS_MAX], caps[DM_COUNTERS_MAX];
    dm_view keys[3] = {DM_LIT(LIVE_CURRENT)}, args[1 + 4 * DM_COUNTERS_MAX];
    size_t n = 0;
    if (token) {
        dm_live_key_revoke_all(&revoked[0], ask->subject);
        dm_live_key_revoked(&revoked[1], ask->subject, ask->jti);
        keys[1] = dm_live_key_view(&revoked[0]);
        keys[2] = dm_live_key_view(&revoked[1]);
    }
    args[n++] = atomic_load_explicit(&r->handle->hub->seen_policy, memory_order_relaxed)
                    ? DM_LIT("known")
                    : DM_LIT("");
    for (size_t i = 0; i < r->n; i++) {
        const struct dm_counter_ask *c = &r->counters[i];
        /* The name in window 0, whose last byte is that 0: the script puts its own there. */
        live_counter_key(&names[i], ask->subject, c, 0);
        args[n++] = live_counter_kind(c);
        args[n++] = dm_view_make(names[i].bytes, names[i].len - 1);
        args[n++] = live_number(&windows[i], c->window_seconds);
        args[n++] = live_number(&caps[i], live_counter_cap(c, r->unsent[i]));
    }
    dm_redis_eval(r->handle->redis, &r->handle->admissions->script, keys, token ? 3 : 1, args, n,
                  r->deadline, &r->ask, on_reply);
}

/* --- asking --- */

static void answer_later(struct live_admission *r, enum dm_admit_verdict v)
{
    r->answer.verdict = v;
    r->answer.now_wall = dm_loop_wall(r->handle->loop);
    dm_loop_post(r->handle->loop, &r->task);
}

void live_redis_ask_admit(struct dm_live *l, const struct dm_admit_ask *ask, dm_time deadline,
                          struct dm_live_wait *w, dm_admit_fn fn)
{
    struct live_redis_handle *h = live_redis_handle_of(l);
    struct live_admission *r = take(h->admissions);
    bool token = ask->subject.len > 0 || ask->jti.len > 0;
    live_redis_tie(&r->pending, w);
    r->fn = fn;
    r->deadline = deadline;
    r->n = ask->count ? ask->n_counters : 0;
    r->answer = (struct dm_admit_answer){.verdict = DM_ADMIT_UNKNOWN};
    if (!dm_live_subject_fits(ask->subject, ask->jti)) {
        answer_later(r, DM_ADMIT_REVOKED); /* nobody could revoke such a token */
        return;
    }
    if (!token && r->n == 0) {
        answer_later(r, DM_ADMIT_YES); /* nothing to ask for */
        return;
    }
    /* Known here for sure, also where Redis forgot it: its clock leapt past the end of the key. */
    if (token && dm_live_outage_token_revoked(h->hub->outage, ask->subject, ask->jti)) {
        answer_later(r, DM_ADMIT_REVOKED);
        return;
    }
    live_breaker_patience(&h->breaker, deadline);
    if (h->breaker.open) {
        answer_later(r, DM_ADMIT_UNKNOWN);
        return;
    }
    for (size_t i = 0; i < r->n; i++) {
        const struct dm_counter_ask *c = &ask->counters[i];
        r->counters[i] = *c;
        r->unsent[i] = c->kind == DM_COUNTER_BANDWIDTH
                           ? live_bandwidth_unsent(h->bandwidth, ask->subject, c->window_seconds)
                           : 0;
    }
    if (dm_redis_is_cluster(h->redis))
        live_slots_ask(r, ask, &h->admissions->slot_scripts);
    else
        ask_script(r, ask, token);
}

struct live_admissions *live_admissions_new(struct live_redis_handle *h)
{
    struct live_admissions *a = DM_NEW(struct live_admissions);
    a->handle = h;
    dm_list_init(&a->running);
    dm_list_init(&a->free);
    dm_redis_script_init(&a->script, DM_SCRIPT_COUNTER DM_SCRIPT_ADMIT);
    dm_redis_script_init(&a->slot_scripts.admit, DM_SCRIPT_COUNTER DM_SCRIPT_ADMIT_SLOT);
    dm_redis_script_init(&a->slot_scripts.take_back, DM_SCRIPT_COUNTER DM_SCRIPT_TAKE_BACK);
    return a;
}

void live_admissions_free(struct live_admissions *a)
{
    if (a == NULL)
        return;
    for (struct dm_link *l; (l = dm_list_pop(&a->running)) != NULL;) {
        struct live_admission *r = DM_CONTAINER_OF(l, struct live_admission, link);
        (void)live_redis_untie(&r->pending);
        dm_loop_unpost(&r->task);
        dm_redis_cancel(r->handle->redis, &r->ask);
        live_slots_drop(r);
        record_free(r);
    }
    for (struct dm_link *l; (l = dm_list_pop(&a->free)) != NULL;)
        record_free(DM_CONTAINER_OF(l, struct live_admission, link));
    dm_mem_free(a);
}
