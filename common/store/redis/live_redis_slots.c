#include "store/redis/live_redis_admit.h"

#include "base/assert.h"

#include "base/poison.h"

/* Admission in a Cluster (operations.md §8.15.3). The fixed names of keys fall into different
 * slots, so every key is asked by a command or script of its own, all in one turn. Each looks at
 * its counter and spends at once; when any of them refuses, what the others spent is taken back
 * before the answer. A name holds the index of its window, which must be guessed to know the slot:
 * a script whose node is in another window spends nothing and is asked once more with that node's
 * time. */

enum { PARTS_MAX = DM_COUNTERS_MAX + 2 };
static const dm_time TAKE_BACK_WITHIN = DM_SEC; /* when nobody waits for it any more */

enum part_kind { PART_REVOKED = 0, PART_COUNTER };
enum part_state { PART_UNKNOWN = 0, PART_YES, PART_REFUSES };
struct part {
    struct dm_redis_ask ask;
    struct live_admission *of;
    enum part_kind kind;
    enum part_state state;
    size_t place; /* of the counter */
    int64_t index;
    bool again; /* the guess was corrected once; or asked in two commands */
    struct dm_live_key key; /* of the revocation */
};

struct live_slots {
    const struct live_slot_scripts *scripts;
    size_t n, waiting;
    size_t subject_len;
    char subject[DM_LIVE_SUBJECT_MAX];
    struct part parts[PARTS_MAX];
};

static dm_view subject_of(const struct live_slots *s)
{
    return dm_view_make(s->subject, s->subject_len);
}

/* --- the end --- */

/* What decides is what a single script would have met first: a revocation, then the counters in
 * order. A part that is not known hides what comes after it. */
static enum dm_admit_verdict verdict_of(struct live_admission *r)
{
    struct live_slots *s = r->slots;
    enum dm_admit_verdict v = DM_ADMIT_YES;
    for (size_t i = 0; i < s->n; i++) {
        struct part *p = &s->parts[i];
        if (p->kind == PART_REVOKED && p->state == PART_REFUSES)
            return DM_ADMIT_REVOKED;
        if (v != DM_ADMIT_YES || p->state == PART_YES)
            continue;
        v = p->state == PART_UNKNOWN ? DM_ADMIT_UNKNOWN : DM_ADMIT_OVER;
        r->answer.refused_by = p->place;
    }
    return v;
}

static bool spent(const struct part *p)
{
    return p->kind == PART_COUNTER && p->state == PART_YES &&
           p->of->counters[p->place].kind != DM_COUNTER_BANDWIDTH;
}

static void finish(struct live_admission *r)
{
    live_admission_answer(r, r->answer.verdict);
    live_admission_give(r);
}

static void on_taken_back(struct dm_redis_ask *q, enum dm_code rc,
                          const struct dm_redis_reply *reply)
{
    struct live_admission *r = DM_CONTAINER_OF(q, struct part, ask)->of;
    (void)rc; /* lost: one unit too much is spent until the window ends */
    (void)reply;
    if (--r->slots->waiting == 0)
        finish(r);
}

static void take_back(struct live_admission *r, struct part *p, dm_time deadline)
{
    struct dm_live_key name;
    dm_view key;
    live_counter_key(&name, subject_of(r->slots), &r->counters[p->place], p->index);
    key = dm_live_key_view(&name);
    r->answer.count[p->place]--;
    dm_redis_eval(r->handle->redis, &r->slots->scripts->take_back, &key, 1, NULL, 0, deadline,
                  &p->ask, on_taken_back);
}

static void decide(struct live_admission *r)
{
    struct live_slots *s = r->slots;
    dm_time soon = dm_loop_now(r->handle->loop) + TAKE_BACK_WITHIN;
    if (r->answer.now_wall == 0) /* no counter told */
        r->answer.now_wall = live_redis_guess_wall(r->handle);
    r->answer.verdict = verdict_of(r);
    if (live_breaker_doubts(&r->handle->breaker))
        r->answer.verdict = DM_ADMIT_UNKNOWN;
    if (r->answer.verdict == DM_ADMIT_UNKNOWN) /* its time is over: answered first */
        live_admission_answer(r, DM_ADMIT_UNKNOWN);
    bool heard = r->answer.verdict != DM_ADMIT_UNKNOWN && r->pending.wait != NULL;
    for (size_t i = 0; r->answer.verdict != DM_ADMIT_YES && i < s->n; i++)
        s->waiting += spent(&s->parts[i]);
    if (s->waiting == 0) {
        finish(r);
        return;
    }
    for (size_t i = 0; i < s->n; i++) {
        if (spent(&s->parts[i]))
            take_back(r, &s->parts[i], heard ? r->deadline : soon);
    }
}

/* --- the parts --- */

static void end_part(struct part *p, enum part_state state)
{
    p->state = state;
    if (--p->of->slots->waiting == 0)
        decide(p->of);
}

static void fail_part(struct part *p, enum dm_code rc, const struct dm_redis_reply *reply)
{
    if (rc == DM_OK || rc == DM_PROTOCOL)
        live_redis_odd(p->of->handle, "admit", reply);
    end_part(p, PART_UNKNOWN);
}

/* --- a revocation ---
 * EXISTS counts a key as often as it is named: the revocation twice, the mark of its slot once, so
 * one command tells revoked (2, 3), not revoked (1), and lost (0). */

static bool unstable(enum dm_code rc, const struct dm_redis_reply *reply)
{
    return rc == DM_UNAVAILABLE && dm_view_starts(dm_redis_text(reply), DM_LIT("TRYAGAIN"));
}

static void ask_exists(struct part *p, const dm_view *argv, size_t argc, dm_redis_fn fn)
{
    const struct live_admission *r = p->of;
    dm_redis_send(r->handle->redis, argv[1], argv, argc, r->deadline, &p->ask, fn);
}

static void on_mark(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct part *p = DM_CONTAINER_OF(q, struct part, ask);
    live_breaker_report(&p->of->handle->breaker, rc);
    if (rc != DM_OK || dm_redis_type(reply) != DM_REDIS_INT) {
        fail_part(p, rc, reply);
        return;
    }
    if (dm_redis_int(reply) == 0)
        live_redis_lost(p->of->handle);
    end_part(p, dm_redis_int(reply) == 0 ? PART_UNKNOWN : PART_YES);
}

static void ask_both(struct part *p, dm_view key, dm_view mark);

static void on_revoked(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct part *p = DM_CONTAINER_OF(q, struct part, ask);
    struct live_mark name;
    const dm_view key = dm_live_key_view(&p->key);
    const dm_view mark = live_redis_mark(p->of->handle, key, &name);
    if (unstable(rc, reply) && !p->again) { /* the slot is moving: one key is asked for at a time */
        p->again = true;
        ask_both(p, key, DM_VIEW_NONE);
        return;
    }
    live_breaker_report(&p->of->handle->breaker, rc);
    if (rc != DM_OK || dm_redis_type(reply) != DM_REDIS_INT) {
        fail_part(p, rc, reply);
    } else if (dm_redis_int(reply) > 1) {
        end_part(p, PART_REFUSES);
    } else if (p->again && mark.len > 0) {
        const dm_view argv[] = {DM_LIT("EXISTS"), mark};
        ask_exists(p, argv, DM_COUNT_OF(argv), on_mark);
    } else if (dm_redis_int(reply) == 0 && mark.len > 0) {
        live_redis_lost(p->of->handle);
        end_part(p, PART_UNKNOWN);
    } else {
        end_part(p, PART_YES);
    }
}

static void ask_both(struct part *p, dm_view key, dm_view mark)
{
    const dm_view argv[] = {DM_LIT("EXISTS"), key, key, mark};
    ask_exists(p, argv, mark.len > 0 ? 4 : 3, on_revoked);
}

static void ask_counter(struct part *p);

enum { SAYS_YES = 0, SAYS_OVER = 2, SAYS_MOVED = 3, ANSWER_LEN = 4 }; /* of admit_slot.lua */

static void on_counter(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct part *p = DM_CONTAINER_OF(q, struct part, ask);
    struct live_admission *r = p->of;
    const struct dm_counter_ask *c = &r->counters[p->place];
    int64_t says = dm_redis_int(dm_redis_at(reply, 0));
    dm_time wall =
        live_wall_of(dm_redis_int(dm_redis_at(reply, 1)), dm_redis_int(dm_redis_at(reply, 2)));
    int64_t value = dm_redis_int(dm_redis_at(reply, 3));
    bool fits = rc == DM_OK && dm_redis_len(reply) == ANSWER_LEN && wall != 0 && value >= 0 &&
                value <= LIVE_VALUE_MAX;
    live_breaker_report(&r->handle->breaker, rc);
    for (size_t i = 0; fits && i < ANSWER_LEN; i++)
        fits = dm_redis_type(dm_redis_at(reply, i)) == DM_REDIS_INT;
    if (!fits || (says != SAYS_YES && says != SAYS_OVER && says != SAYS_MOVED)) {
        fail_part(p, rc, reply);
        return;
    }
    r->answer.now_wall = wall;
    live_redis_learn_wall(r->handle, wall);
    if (says == SAYS_MOVED && !p->again) {
        p->again = true;
        p->index = wall / DM_SEC / c->window_seconds;
        ask_counter(p);
        return;
    }
    r->answer.count[p->place] = value + r->unsent[p->place];
    r->answer.reset_wall[p->place] = live_window_end(wall / DM_SEC, c->window_seconds);
    /* Moved again: two nodes stand on either side of a window's edge. */
    end_part(p, says == SAYS_YES ? PART_YES : says == SAYS_OVER ? PART_REFUSES : PART_UNKNOWN);
}

static void ask_counter(struct part *p)
{
    struct live_admission *r = p->of;
    const struct dm_counter_ask *c = &r->counters[p->place];
    struct dm_live_key name;
    struct live_number index, window, cap;
    dm_view key;
    live_counter_key(&name, subject_of(r->slots), c, p->index);
    key = dm_live_key_view(&name);
    const dm_view args[] = {live_counter_kind(c), live_number(&index, p->index),
                            live_number(&window, c->window_seconds),
                            live_number(&cap, live_counter_cap(c, r->unsent[p->place]))};
    dm_redis_eval(r->handle->redis, &r->slots->scripts->admit, &key, 1, args, DM_COUNT_OF(args),
                  r->deadline, &p->ask, on_counter);
}

static void ask_revoked(struct part *p)
{
    struct live_mark mark;
    const dm_view key = dm_live_key_view(&p->key);
    ask_both(p, key, live_redis_mark(p->of->handle, key, &mark));
}

static struct part *add_part(struct live_admission *r, enum part_kind kind, size_t place)
{
    struct part *p = &r->slots->parts[r->slots->n++];
    p->ask = (struct dm_redis_ask){0};
    p->of = r;
    p->kind = kind;
    p->state = PART_UNKNOWN;
    p->place = place;
    p->index = 0;
    p->again = false;
    p->key.len = 0; /* its bytes need no zeroes */
    return p;
}

void live_slots_ask(struct live_admission *r, const struct dm_admit_ask *ask,
                    const struct live_slot_scripts *scripts)
{
    bool token = ask->subject.len > 0 || ask->jti.len > 0;
    int64_t now = live_redis_guess_wall(r->handle) / DM_SEC;
    if (r->slots == NULL)
        r->slots = DM_NEW(struct live_slots);
    struct live_slots *s = r->slots;
    s->scripts = scripts;
    s->n = 0;
    s->subject_len = ask->subject.len;
    for (size_t i = 0; i < ask->subject.len; i++)
        s->subject[i] = ask->subject.ptr[i];
    s->waiting = (token ? 2 : 0) + r->n;
    if (token) {
        struct part *all = add_part(r, PART_REVOKED, 0), *one = add_part(r, PART_REVOKED, 0);
        dm_live_key_revoke_all(&all->key, ask->subject);
        dm_live_key_revoked(&one->key, ask->subject, ask->jti);
        ask_revoked(all);
        ask_revoked(one);
    }
    for (size_t i = 0; i < r->n; i++) {
        struct part *p = add_part(r, PART_COUNTER, i);
        p->index = now / r->counters[i].window_seconds;
        ask_counter(p);
    }
}

bool live_slots_busy(const struct live_admission *r)
{
    return r->slots != NULL && r->slots->waiting > 0;
}

void live_slots_drop(struct live_admission *r)
{
    if (!live_slots_busy(r))
        return;
    for (size_t i = 0; i < r->slots->n; i++)
        dm_redis_cancel(r->handle->redis, &r->slots->parts[i].ask);
    r->slots->waiting = 0;
}
