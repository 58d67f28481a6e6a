#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "embedded/store_redis_scripts.h"
#include "store/redis/live_redis_priv.h"

#include "base/poison.h"

/* Credits: reserve asks once; settle is owed until Redis took it, which may be more than once,
 * since a reservation that is gone is not touched. Both go the same way, so a settle cannot
 * overtake. */

enum {
    KEEP = 256,      /* idle records a handle keeps; more were a burst */
    SAYS_EMPTIED = 2 /* of reserve.lua */
};
static const dm_time SETTLE_WITHIN = 5 * DM_SEC; /* nobody waits */
static const dm_time AGAIN = DM_SEC;
static const dm_time TELL_EVERY = 60 * DM_SEC;

struct reservation {
    struct live_redis_pending pending; /* first */
    struct dm_link link;               /* running or free */
    struct live_credits *of;
    dm_reserve_fn fn;
    enum dm_reserve_verdict verdict; /* of the task */
    struct dm_task task;             /* an answer that needs no Redis */
    struct dm_redis_ask ask;
};

struct owed {
    struct dm_link link; /* under way, spent or back */
    struct live_credits *of;
    struct dm_redis_ask ask;
    bool spent;
    uint8_t id_len;
    char id[DM_LIVE_RESERVATION_MAX];
    struct dm_live_key key; /* of the account */
};

struct live_credits {
    struct live_redis_handle *handle;
    struct dm_redis_script reserve, settle;
    struct dm_link running, free;
    size_t n_free;
    struct dm_link under_way, spent, back; /* settles; the last two wait for another try */
    struct dm_link idle;                   /* records of settles, to be used again */
    size_t n_owed, n_idle;
    struct dm_timer again;
    dm_time told;
};

/* --- reserve --- */

static void give(struct reservation *r)
{
    struct live_credits *c = r->of;
    dm_list_remove(&r->link);
    if (c->n_free == KEEP) {
        dm_mem_free(r);
        return;
    }
    dm_list_add_head(&c->free, &r->link);
    c->n_free++;
}

static void answer(struct reservation *r, enum dm_reserve_verdict v)
{
    struct dm_live_wait *w = live_redis_untie(&r->pending);
    dm_reserve_fn fn = r->fn;
    give(r);
    if (w != NULL)
        fn(w, v);
}

static void on_task(struct dm_task *t)
{
    struct reservation *r = DM_CONTAINER_OF(t, struct reservation, task);
    answer(r, r->verdict);
}

static void answer_later(struct reservation *r, enum dm_reserve_verdict v)
{
    r->verdict = v;
    dm_loop_post(r->of->handle->loop, &r->task);
}

static void on_cancel(struct live_redis_pending *p)
{
    struct reservation *r = DM_CONTAINER_OF(p, struct reservation, pending);
    dm_loop_unpost(&r->task);
    dm_redis_cancel(r->of->handle->redis, &r->ask);
    give(r);
}

static struct reservation *take(struct live_credits *c)
{
    struct dm_link *l = dm_list_pop(&c->free);
    struct reservation *r;
    if (l != NULL) {
        c->n_free--;
        r = DM_CONTAINER_OF(l, struct reservation, link);
    } else {
        r = DM_NEW(struct reservation);
        r->of = c;
        r->pending.cancel = on_cancel;
        dm_list_init(&r->link);
        dm_task_init(&r->task, on_task);
    }
    dm_list_add_tail(&c->running, &r->link);
    return r;
}

static void on_reserved(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct reservation *r = DM_CONTAINER_OF(q, struct reservation, ask);
    bool fits = rc == DM_OK && dm_redis_type(reply) == DM_REDIS_INT;
    bool emptied = fits && dm_redis_int(reply) == SAYS_EMPTIED;
    live_breaker_report(&r->of->handle->breaker, rc);
    if (emptied && dm_redis_is_cluster(r->of->handle->redis))
        live_redis_lost(r->of->handle);
    else if (emptied)
        live_breaker_open(&r->of->handle->breaker, LIVE_STORE_EMPTIED);
    if (!fits && (rc == DM_OK || rc == DM_PROTOCOL))
        live_redis_odd(r->of->handle, "reserve", reply);
    bool nothing = fits && dm_redis_int(reply) == 0;
    bool doubtful = nothing && live_breaker_doubts(&r->of->handle->breaker);
    answer(r, emptied                    ? DM_RESERVE_AWAY
              : doubtful                 ? DM_RESERVE_UNKNOWN
              : !fits                    ? DM_RESERVE_UNKNOWN
              : dm_redis_int(reply) == 1 ? DM_RESERVE_YES
                                         : DM_RESERVE_NONE);
}

void live_redis_ask_reserve(struct dm_live *l, const struct dm_reserve_ask *ask, dm_time deadline,
                            struct dm_live_wait *w, dm_reserve_fn fn)
{
    struct live_redis_handle *h = live_redis_handle_of(l);
    struct reservation *r = take(h->credits);
    struct dm_live_key name;
    struct live_number hold;
    live_redis_tie(&r->pending, w);
    r->fn = fn;
    if (!dm_live_credits_fit(ask->group, ask->subject)) {
        answer_later(r, DM_RESERVE_NONE); /* no such account can be */
        return;
    }
    if (h->breaker.open) {
        answer_later(r, DM_RESERVE_AWAY);
        return;
    }
    dm_live_key_credits(&name, ask->group, ask->subject);
    struct live_mark mark;
    const dm_view keys[] = {dm_live_key_view(&name),
                            dm_redis_is_cluster(h->redis)
                                ? live_redis_mark(h, dm_live_key_view(&name), &mark)
                                : DM_LIT(LIVE_CURRENT)};
    const dm_view args[] = {ask->id, live_number(&hold, (ask->hold - 1) / DM_MS + 1)};
    /* In a Cluster that key lies elsewhere: there it is the mark of the account's slot. */
    bool known = atomic_load_explicit(&h->hub->seen_policy, memory_order_relaxed) &&
                 keys[1].len > 0;
    dm_redis_eval(h->redis, &h->credits->reserve, keys, known ? 2 : 1, args, DM_COUNT_OF(args),
                  deadline, &r->ask, on_reserved);
}

/* --- settle --- */

static void drop(struct owed *o)
{
    struct live_credits *c = o->of;
    dm_list_remove(&o->link);
    c->n_owed--;
    if (c->n_idle == KEEP) {
        dm_mem_free(o);
        return;
    }
    dm_list_add_head(&c->idle, &o->link);
    c->n_idle++;
}

static struct owed *take_owed(struct live_credits *c)
{
    struct dm_link *l = dm_list_pop(&c->idle);
    c->n_owed++;
    if (l != NULL) {
        c->n_idle--;
        return DM_CONTAINER_OF(l, struct owed, link);
    }
    struct owed *o = DM_NEW(struct owed);
    o->of = c;
    dm_list_init(&o->link);
    return o;
}

static void tell_dropped(struct live_credits *c)
{
    dm_time now = dm_loop_now(c->handle->loop);
    if (c->told != 0 && now - c->told < TELL_EVERY)
        return;
    c->told = now;
    DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "credits not settled: too many wait",
           DM_FI("waiting", c->n_owed));
}

/* What would give back goes first: the end of its hold gives it back as well. */
static bool make_room(struct live_credits *c, bool spent)
{
    if (c->n_owed < DM_LIVE_OWED_MAX)
        return true;
    tell_dropped(c);
    if (!spent || dm_list_empty(&c->back))
        return false;
    drop(DM_CONTAINER_OF(c->back.next, struct owed, link));
    return true;
}

static void on_settled(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct owed *o = DM_CONTAINER_OF(q, struct owed, ask);
    struct live_credits *c = o->of;
    if (rc == DM_PROTOCOL)
        live_redis_odd(c->handle, "settle", reply);
    if (rc == DM_OK || rc == DM_PROTOCOL) {
        drop(o);
        return;
    }
    dm_list_remove(&o->link);
    dm_list_add_tail(o->spent ? &c->spent : &c->back, &o->link);
    if (!dm_timer_running(&c->again))
        dm_timer_start(c->handle->loop, &c->again, AGAIN);
}

static void send_owed(struct owed *o)
{
    struct live_credits *c = o->of;
    const dm_view key = dm_live_key_view(&o->key);
    const dm_view args[] = {dm_view_make(o->id, o->id_len),
                            o->spent ? DM_LIT("spent") : DM_LIT("back")};
    dm_list_remove(&o->link);
    dm_list_add_tail(&c->under_way, &o->link);
    dm_redis_eval(c->handle->redis, &c->settle, &key, 1, args, DM_COUNT_OF(args),
                  dm_loop_now(c->handle->loop) + SETTLE_WITHIN, &o->ask, on_settled);
}

static void on_again(struct dm_timer *t)
{
    struct live_credits *c = DM_CONTAINER_OF(t, struct live_credits, again);
    if (!dm_redis_connected(c->handle->redis)) {
        dm_timer_start(c->handle->loop, &c->again, AGAIN);
        return;
    }
    DM_LIST_EACH_SAFE(&c->spent, l, tmp)
    send_owed(DM_CONTAINER_OF(l, struct owed, link));
    DM_LIST_EACH_SAFE(&c->back, l, tmp)
    send_owed(DM_CONTAINER_OF(l, struct owed, link));
}

void live_redis_settle(struct dm_live *l, dm_view group, dm_view subject, dm_view id, bool spent)
{
    struct live_credits *c = live_redis_handle_of(l)->credits;
    if (!dm_live_credits_fit(group, subject) || !make_room(c, spent))
        return;
    struct owed *o = take_owed(c);
    o->spent = spent;
    o->id_len = (uint8_t)id.len;
    memcpy(o->id, id.ptr, id.len);
    dm_live_key_credits(&o->key, group, subject);
    send_owed(o);
}

size_t live_credits_flush(struct live_credits *c)
{
    on_again(&c->again);
    return c->n_owed;
}

/* --- life --- */

struct live_credits *live_credits_new(struct live_redis_handle *h)
{
    struct live_credits *c = DM_NEW(struct live_credits);
    c->handle = h;
    dm_redis_script_init(&c->reserve, DM_SCRIPT_CREDIT DM_SCRIPT_RESERVE);
    dm_redis_script_init(&c->settle, DM_SCRIPT_CREDIT DM_SCRIPT_SETTLE);
    dm_list_init(&c->running);
    dm_list_init(&c->free);
    dm_list_init(&c->under_way);
    dm_list_init(&c->spent);
    dm_list_init(&c->back);
    dm_list_init(&c->idle);
    dm_timer_init(&c->again, on_again);
    return c;
}

static void drop_all(struct live_credits *c, struct dm_link *list)
{
    DM_LIST_EACH_SAFE(list, l, tmp)
    {
        struct owed *o = DM_CONTAINER_OF(l, struct owed, link);
        dm_redis_cancel(c->handle->redis, &o->ask);
        drop(o);
    }
}

void live_credits_free(struct live_credits *c)
{
    if (c == NULL)
        return;
    dm_timer_stop(&c->again);
    for (struct dm_link *l; (l = dm_list_pop(&c->running)) != NULL;) {
        struct reservation *r = DM_CONTAINER_OF(l, struct reservation, link);
        (void)live_redis_untie(&r->pending);
        dm_loop_unpost(&r->task);
        dm_redis_cancel(c->handle->redis, &r->ask);
        dm_mem_free(r);
    }
    for (struct dm_link *l; (l = dm_list_pop(&c->free)) != NULL;)
        dm_mem_free(DM_CONTAINER_OF(l, struct reservation, link));
    drop_all(c, &c->under_way);
    drop_all(c, &c->spent);
    drop_all(c, &c->back);
    for (struct dm_link *l; (l = dm_list_pop(&c->idle)) != NULL;)
        dm_mem_free(DM_CONTAINER_OF(l, struct owed, link));
    dm_mem_free(c);
}
