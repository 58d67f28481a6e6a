/* One server under a fixed address; and the connection to a master, whoever found it. */
#include "store/redis/redis_internal.h"

static void aim(struct dm_redis_conn *c)
{
    c->address = c->redis->hosts[0];
    dm_redis_conn_dial(c);
}

void dm_redis_on_main_ready(struct dm_redis_conn *c)
{
    c->redis->connections++;
    dm_redis_send_waiting(c->redis);
    dm_redis_channels_try(c->redis);
    dm_redis_state_changed(c->redis);
}

void dm_redis_on_main_lost(struct dm_redis_conn *c)
{
    dm_redis_state_changed(c->redis);
}

static const struct dm_redis_conn_kind kind = {
    .aim = aim,
    .on_ready = dm_redis_on_main_ready,
    .on_lost = dm_redis_on_main_lost,
    .select = true,
    .master = true,
};

static void start(struct dm_redis *r)
{
    dm_redis_conn_init(&r->main, r, &kind);
    dm_redis_conn_start(&r->main, 0);
}

static void stop(struct dm_redis *r)
{
    dm_redis_conn_done(&r->main);
}

struct dm_redis_conn *dm_redis_find_main(struct dm_redis *r, const struct dm_redis_command *m,
                                         bool *ret_hopeless)
{
    (void)m;
    (void)ret_hopeless; /* it may come back */
    return r->main.state == DM_REDIS_READY ? &r->main : NULL;
}

bool dm_redis_main_connected(const struct dm_redis *r)
{
    return r->main.state == DM_REDIS_READY;
}

bool dm_redis_no_redirect(struct dm_redis_command *m, const struct dm_redis_reply *reply)
{
    (void)m;
    (void)reply;
    return false;
}

const struct dm_redis_way dm_redis_single = {
    .start = start,
    .stop = stop,
    .find = dm_redis_find_main,
    .connected = dm_redis_main_connected,
    .aim_channels = aim,
    .redirect = dm_redis_no_redirect,
};
