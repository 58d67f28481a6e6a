#include "store/redis/live_redis_priv.h"

#include "base/poison.h"

/* Published policy is not read from Redis yet: objects are away, and nobody hears of anything. */

struct objects_ask {
    struct live_redis_pending pending;
    struct dm_task task;
    size_t n;
    dm_objects_fn fn;
};

struct live_policy *live_policy_hub_new(struct dm_live_redis *hub)
{
    (void)hub;
    return NULL;
}

void live_policy_hub_free(struct live_policy *p)
{
    (void)p;
}

struct live_policy_side *live_policy_side_new(struct live_redis_handle *h)
{
    (void)h;
    return NULL;
}

void live_policy_side_free(struct live_policy_side *s)
{
    (void)s;
}

static void on_cancel(struct live_redis_pending *p)
{
    struct objects_ask *q = DM_CONTAINER_OF(p, struct objects_ask, pending);
    dm_loop_unpost(&q->task);
    dm_mem_free(q);
}

static void on_task(struct dm_task *t)
{
    struct objects_ask *q = DM_CONTAINER_OF(t, struct objects_ask, task);
    struct dm_live_object objects[DM_LIVE_GET_MAX] = {{0}};
    for (size_t i = 0; i < q->n; i++)
        objects[i].code = DM_UNAVAILABLE;
    q->fn(live_redis_untie(&q->pending), objects, q->n);
    dm_mem_free(q);
}

void live_redis_ask_objects(struct dm_live *l, const dm_view (*names)[2], size_t n,
                            dm_time deadline, struct dm_live_wait *w, dm_objects_fn fn)
{
    struct objects_ask *q = DM_NEW(struct objects_ask);
    (void)names;
    (void)deadline;
    q->pending.cancel = on_cancel;
    q->n = n;
    q->fn = fn;
    dm_task_init(&q->task, on_task);
    live_redis_tie(&q->pending, w);
    dm_loop_post(live_redis_handle_of(l)->loop, &q->task);
}

void live_redis_subscribe(struct dm_live *l, struct dm_live_subscriber *s)
{
    (void)l;
    (void)s;
}
