#include "store/redis/live_redis_admin.h"

#include "store/live_outbox.h"

#include "base/poison.h"

/* The admins of a deployment are one consumer group: each entry goes to one of them, and to another
 * one when that did not end it in time. Redis 6.2 or newer (XAUTOCLAIM). */

#define GROUP DM_LIT("doorman-admin")
static const dm_time CLAIM_EVERY = DM_SEC; /* a look at what dead admins left */

struct take_call {
    struct live_redis_call call;
    struct dm_redis_ask ask;
    enum dm_stream stream;
    struct dm_live_batch *batch;
};

static void on_taken(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct take_call *k = DM_CONTAINER_OF(q, struct take_call, ask);
    if (rc == DM_PROTOCOL)
        live_redis_admin_odd(k->call.admin, "records", reply);
    for (size_t i = 0; rc == DM_OK && i < dm_redis_len(reply); i++) {
        const struct dm_redis_reply *e = dm_redis_at(reply, i);
        (void)dm_live_batch_add(k->batch, dm_redis_text(dm_redis_at(e, 0)),
                                dm_redis_text(dm_redis_at(e, 1)), dm_redis_text(dm_redis_at(e, 2)));
    }
    live_redis_call_end(&k->call, rc);
}

static void start_take(struct live_redis_call *c)
{
    struct take_call *k = DM_CONTAINER_OF(c, struct take_call, call);
    struct live_redis_admin *a = c->admin;
    struct live_number idle, count, longest;
    const dm_view key = dm_stream_key(k->stream);
    dm_time now = dm_loop_now(a->loop), *claimed = &a->claimed[k->stream];
    const bool look = *claimed == 0 || now - *claimed >= CLAIM_EVERY;
    if (look)
        *claimed = now;
    const dm_view args[] = {GROUP, dm_view_of(a->consumer),
                            look ? live_number(&idle, DM_STREAM_IDLE / DM_MS) : DM_VIEW_NONE,
                            live_number(&count, DM_STREAM_TAKE_MAX),
                            live_number(&longest, DM_STREAM_ID_MAX + DM_STREAM_RECORD_MAX)};
    dm_redis_eval(a->redis, &a->scripts.take, &key, 1, args, DM_COUNT_OF(args), c->deadline,
                  &k->ask, on_taken);
}

enum dm_code live_redis_take(struct dm_live_admin *a, enum dm_stream s, struct dm_live_batch *b,
                             struct dm_error *err)
{
    struct take_call k = {.stream = s, .batch = b};
    return live_redis_call(a, &k.call, start_take, "take records", err);
}

/* --- done --- */

struct done_call {
    struct live_redis_call call;
    struct dm_redis_ask ask;
    enum dm_stream stream;
    const struct dm_live_batch *batch;
};

static void on_done(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct done_call *k = DM_CONTAINER_OF(q, struct done_call, ask);
    if (rc == DM_PROTOCOL)
        live_redis_admin_odd(k->call.admin, "records", reply);
    live_redis_call_end(&k->call, rc);
}

static void start_done(struct live_redis_call *c)
{
    struct done_call *k = DM_CONTAINER_OF(c, struct done_call, call);
    const dm_view key = dm_stream_key(k->stream);
    dm_view args[1 + DM_STREAM_TAKE_MAX];
    args[0] = GROUP;
    for (size_t i = 0; i < k->batch->n; i++)
        args[1 + i] = k->batch->entries[i].place;
    dm_redis_eval(c->admin->redis, &c->admin->scripts.done, &key, 1, args, 1 + k->batch->n,
                  c->deadline, &k->ask, on_done);
}

enum dm_code live_redis_done(struct dm_live_admin *a, enum dm_stream s,
                             const struct dm_live_batch *b, struct dm_error *err)
{
    struct done_call k = {.stream = s, .batch = b};
    return b->n == 0 ? DM_OK : live_redis_call(a, &k.call, start_done, "end records", err);
}
