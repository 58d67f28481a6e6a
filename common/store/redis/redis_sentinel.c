/* The master that Sentinels name: asked for before every dialling, and once a second while it
 * serves, so that a failover is noticed also where the old master still holds its connections. What
 * they name must say of itself that it is a master (ROLE, in the greeting). */
#include "store/redis/redis_internal.h"

#include "base/poison.h"

static const dm_time LOOK_EVERY = DM_SEC, ANSWER_IN = DM_SEC;

struct dm_redis_sentinel {
    struct dm_redis_conn conn;
    struct dm_redis_own question;
    struct dm_timer look;
    size_t next;  /* Sentinel to be dialled */
    size_t tried; /* since the master was last looked for */
};

static void give_up(struct dm_redis *r, const char *why)
{
    if (r->main.state == DM_REDIS_AIMING)
        dm_redis_conn_fail(&r->main, why);
}

/* --- the question --- */

static void on_named(struct dm_redis_ask *a, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct dm_redis_conn *c = DM_CONTAINER_OF(a, struct dm_redis_own, ask)->conn;
    struct dm_redis *r = c->redis;
    struct dm_redis_address master;
    if (c->state != DM_REDIS_READY)
        return; /* lost: on_lost has seen to it */
    if (rc != DM_OK || !dm_redis_address_set(dm_redis_text(dm_redis_at(reply, 0)),
                                             dm_redis_int(dm_redis_at(reply, 1)), &master)) {
        dm_redis_conn_fail(c, "the Sentinel knows no such master");
        return;
    }
    r->sentinel->tried = 0;
    bool moved = !dm_redis_address_eq(&master, &r->main.address);
    if (r->main.state == DM_REDIS_AIMING) {
        r->main.address = master;
        dm_redis_conn_dial(&r->main);
    } else if (r->main.state > DM_REDIS_AIMING && moved) {
        dm_redis_conn_fail(&r->main, "the Sentinels name another master");
        dm_redis_conn_start(&r->main, 0);
    }
}

static void ask(struct dm_redis *r)
{
    struct dm_redis_sentinel *s = r->sentinel;
    const dm_view argv[] = {DM_LIT("SENTINEL"), DM_LIT("get-master-addr-by-name"),
                            r->config.sentinel_master};
    if (s->question.ask.pending)
        return;
    dm_time deadline = dm_loop_now(r->loop) + ANSWER_IN;
    if (!dm_redis_pipe_ask(&s->conn, argv, 3, deadline, &s->question, on_named))
        dm_redis_conn_fail(&s->conn, "no room for a question");
}

static void on_look(struct dm_timer *t)
{
    struct dm_redis_sentinel *s = DM_CONTAINER_OF(t, struct dm_redis_sentinel, look);
    struct dm_redis *r = s->conn.redis;
    dm_timer_start(r->loop, &s->look, LOOK_EVERY);
    if (s->conn.state == DM_REDIS_READY)
        ask(r);
}

/* --- the connection to a Sentinel --- */

static void sentinel_aim(struct dm_redis_conn *c)
{
    struct dm_redis *r = c->redis;
    c->address = r->hosts[r->sentinel->next++ % r->config.n_hosts];
    dm_redis_conn_dial(c);
}

static void sentinel_ready(struct dm_redis_conn *c)
{
    ask(c->redis);
}

static void sentinel_lost(struct dm_redis_conn *c)
{
    struct dm_redis *r = c->redis;
    if (++r->sentinel->tried < r->config.n_hosts) {
        dm_redis_conn_start(c, 0);
        return;
    }
    r->sentinel->tried = 0;
    give_up(r, "no Sentinel names a master");
}

static const struct dm_redis_conn_kind sentinel_kind = {
    .aim = sentinel_aim, .on_ready = sentinel_ready, .on_lost = sentinel_lost, .sentinel = true};

/* --- the master --- */

static void aim(struct dm_redis_conn *c)
{
    struct dm_redis *r = c->redis;
    dm_time most = (dm_time)(r->config.n_hosts + 1) * DM_REDIS_SENTINEL_DIAL;
    dm_timer_start(r->loop, &c->timer, most);
    if (r->sentinel->conn.state == DM_REDIS_READY)
        ask(r);
    else
        dm_redis_conn_start(&r->sentinel->conn, 0);
}

static void on_ready(struct dm_redis_conn *c)
{
    struct dm_redis *r = c->redis;
    if (r->channels_conn.state > DM_REDIS_AIMING &&
        !dm_redis_address_eq(&r->channels_conn.address, &c->address))
        dm_redis_conn_fail(&r->channels_conn, "the master moved");
    dm_redis_on_main_ready(c);
}

static const struct dm_redis_conn_kind master_kind = {.aim = aim,
                                                      .on_ready = on_ready,
                                                      .on_lost = dm_redis_on_main_lost,
                                                      .select = true,
                                                      .master = true};

static void aim_channels(struct dm_redis_conn *c)
{
    if (c->redis->main.state != DM_REDIS_READY) {
        dm_redis_conn_fail(c, NULL); /* why is told where the master is looked for */
        return;
    }
    c->address = c->redis->main.address;
    dm_redis_conn_dial(c);
}

static void start(struct dm_redis *r)
{
    r->sentinel = DM_NEW(struct dm_redis_sentinel);
    dm_redis_conn_init(&r->sentinel->conn, r, &sentinel_kind);
    dm_timer_init(&r->sentinel->look, on_look);
    dm_timer_start(r->loop, &r->sentinel->look, LOOK_EVERY);
    dm_redis_conn_init(&r->main, r, &master_kind);
    dm_redis_conn_start(&r->main, 0);
}

static void stop(struct dm_redis *r)
{
    dm_timer_stop(&r->sentinel->look);
    dm_redis_conn_done(&r->main);
    dm_redis_conn_done(&r->sentinel->conn);
}

const struct dm_redis_way dm_redis_by_sentinel = {
    .start = start,
    .stop = stop,
    .find = dm_redis_find_main,
    .connected = dm_redis_main_connected,
    .aim_channels = aim_channels,
    .redirect = dm_redis_no_redirect,
};
