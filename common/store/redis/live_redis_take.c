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
    bool made_group;
};

static void end_take(struct take_call *k, enum dm_code rc, const struct dm_redis_reply *reply)
{
    if (rc == DM_PROTOCOL)
        live_redis_admin_odd(k->call.admin, "records", reply);
    live_redis_call_end(&k->call, rc);
}

/* [[place, [name, value, ...]], ...]; NIL where 6.2 claimed an entry that is gone. An entry that is
 * none of ours is given without id: whoever applies drops it, so it is not met for ever. */
static void add_entries(struct take_call *k, const struct dm_redis_reply *list)
{
    for (size_t i = 0; i < dm_redis_len(list); i++) {
        const struct dm_redis_reply *entry = dm_redis_at(list, i),
                                    *fields = dm_redis_at(entry, 1);
        dm_view id = DM_VIEW_NONE, record = DM_VIEW_NONE;
        if (dm_redis_len(entry) != 2)
            continue;
        for (size_t f = 0; f + 1 < dm_redis_len(fields); f += 2) {
            dm_view name = dm_redis_text(dm_redis_at(fields, f));
            if (dm_view_eq(name, DM_LIT("id")))
                id = dm_redis_text(dm_redis_at(fields, f + 1));
            else if (dm_view_eq(name, DM_LIT("record")))
                record = dm_redis_text(dm_redis_at(fields, f + 1));
        }
        (void)dm_live_batch_add(k->batch, dm_redis_text(dm_redis_at(entry, 0)), id, record);
    }
}

static void read_new(struct take_call *k);

static void on_group(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct take_call *k = DM_CONTAINER_OF(q, struct take_call, ask);
    if (rc == DM_PROTOCOL && dm_view_starts(dm_redis_text(reply), DM_LIT("BUSYGROUP")))
        rc = DM_OK; /* another admin was faster */
    if (rc != DM_OK)
        end_take(k, rc, reply);
    else
        read_new(k);
}

/* From 0: what gateways appended before there was an admin counts too. */
static void make_group(struct take_call *k)
{
    const dm_view key = dm_stream_key(k->stream);
    const dm_view argv[] = {DM_LIT("XGROUP"), DM_LIT("CREATE"), key, GROUP, DM_LIT("0"),
                            DM_LIT("MKSTREAM")};
    k->made_group = true;
    dm_redis_send(k->call.admin->redis, key, argv, DM_COUNT_OF(argv), k->call.deadline, &k->ask,
                  on_group);
}

/* The first answer of a new Redis, or of one that was emptied. */
static bool no_group(struct take_call *k, enum dm_code rc, const struct dm_redis_reply *reply)
{
    return rc == DM_PROTOCOL && !k->made_group &&
           dm_view_starts(dm_redis_text(reply), DM_LIT("NOGROUP"));
}

static void on_read(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct take_call *k = DM_CONTAINER_OF(q, struct take_call, ask);
    if (no_group(k, rc, reply)) {
        make_group(k);
        return;
    }
    if (rc == DM_OK && dm_redis_len(reply) > 0)
        add_entries(k, dm_redis_at(dm_redis_at(reply, 0), 1));
    end_take(k, rc, reply);
}

static void read_new(struct take_call *k)
{
    struct live_redis_admin *a = k->call.admin;
    struct live_number count;
    const dm_view key = dm_stream_key(k->stream);
    const dm_view argv[] = {DM_LIT("XREADGROUP"),
                            DM_LIT("GROUP"),
                            GROUP,
                            dm_view_of(a->consumer),
                            DM_LIT("COUNT"),
                            live_number(&count, DM_STREAM_TAKE_MAX),
                            DM_LIT("STREAMS"),
                            key,
                            DM_LIT(">")};
    dm_redis_send(a->redis, key, argv, DM_COUNT_OF(argv), k->call.deadline, &k->ask, on_read);
}

static void on_claimed(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct take_call *k = DM_CONTAINER_OF(q, struct take_call, ask);
    if (no_group(k, rc, reply)) {
        make_group(k);
        return;
    }
    if (rc == DM_OK)
        add_entries(k, dm_redis_at(reply, 1));
    if (rc != DM_OK || k->batch->n > 0)
        end_take(k, rc, reply);
    else
        read_new(k);
}

static void claim(struct take_call *k)
{
    struct live_redis_admin *a = k->call.admin;
    struct live_number idle, count;
    const dm_view key = dm_stream_key(k->stream);
    const dm_view argv[] = {DM_LIT("XAUTOCLAIM"),
                            key,
                            GROUP,
                            dm_view_of(a->consumer),
                            live_number(&idle, DM_STREAM_IDLE / DM_MS),
                            DM_LIT("0"),
                            DM_LIT("COUNT"),
                            live_number(&count, DM_STREAM_TAKE_MAX)};
    dm_redis_send(a->redis, key, argv, DM_COUNT_OF(argv), k->call.deadline, &k->ask, on_claimed);
}

static void start_take(struct live_redis_call *c)
{
    struct take_call *k = DM_CONTAINER_OF(c, struct take_call, call);
    dm_time now = dm_loop_now(c->admin->loop), *claimed = &c->admin->claimed[k->stream];
    if (*claimed != 0 && now - *claimed < CLAIM_EVERY) {
        read_new(k);
        return;
    }
    *claimed = now;
    claim(k);
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
