/* One server under a fixed address; and the connection to a master, whoever found it. */
#include "store/redis/redis_internal.h"

static void aim(struct dm_redis_conn *c)
{
    c->address = c->redis->hosts[0];
    dm_redis_conn_dial(c);
}

static void on_ready(struct dm_redis_conn *c)
{
    dm_redis_send_waiting(c->redis);
    dm_redis_state_changed(c->redis);
}

static void on_lost(struct dm_redis_conn *c)
{
    dm_redis_state_changed(c->redis);
}

static const struct dm_redis_conn_kind kind = {
    .aim = aim, .on_ready = on_ready, .on_lost = on_lost, .select = true, .master = true};

static void start(struct dm_redis *r)
{
    dm_redis_conn_init(&r->main, r, &kind);
    dm_redis_conn_start(&r->main, 0);
}

static void stop(struct dm_redis *r)
{
    dm_redis_conn_done(&r->main);
}

static struct dm_redis_conn *find(struct dm_redis *r, int slot)
{
    (void)slot;
    return r->main.state == DM_REDIS_READY ? &r->main : NULL;
}

static bool connected(const struct dm_redis *r)
{
    return r->main.state == DM_REDIS_READY;
}

static bool redirect(struct dm_redis_command *m, const struct dm_redis_reply *reply)
{
    (void)m;
    (void)reply;
    return false;
}

const struct dm_redis_way dm_redis_single = {
    .start = start,
    .stop = stop,
    .find = find,
    .connected = connected,
    .aim_channels = aim,
    .redirect = redirect,
};
