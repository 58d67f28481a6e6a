#include "live_served.h"
#include "tests/unit/store/live_contract.h"

/* The contract of live state against a real Redis. Its clock is the rig's: the servers read their
 * time from a file (harness/moved_clock.py), which is written before the loop sees a new time. Only
 * the wall clock is the rig's: to connections a leap of the other one is a server that said nothing
 * for so long. */

static struct dm_live_redis_config config;
static dm_time (*plain_wall)(void *ctx);
static dm_time written;

static dm_time told_wall(void *ctx)
{
    dm_time wall = plain_wall(ctx);
    if (wall != written)
        served_set_clock(wall);
    written = wall;
    return wall;
}

static dm_time running_mono(void *ctx)
{
    (void)ctx;
    return dm_clock_mono(&dm_clock_system);
}

static void open_redis(struct live_rig *r)
{
    struct dm_live_redis *hub;
    struct dm_error err = {0};
    plain_wall = r->clock.clock.wall;
    r->clock.clock.mono = running_mono;
    r->clock.clock.wall = told_wall;
    (void)told_wall(r->clock.clock.ctx);
    served_command_all("FLUSHALL");
    r->loop = dm_loop_new(&r->clock.clock);
    if (dm_live_redis_new(&config, &hub, &err) != DM_OK)
        fail_msg("%s", err.text);
    r->backend = hub;
    r->live = dm_live_redis_handle(hub, r->loop);
    assert_non_null(r->live);
    served_until_trusted(r->live, r->loop);
    if (dm_live_redis_admin(&config, 5 * DM_SEC, &r->admin, &err) != DM_OK)
        fail_msg("%s", err.text);
}

static void close_redis(struct live_rig *r)
{
    dm_live_admin_free(r->admin);
    dm_live_free(r->live);
    dm_live_redis_free(r->backend);
    dm_loop_free(r->loop);
}

int main(void)
{
    const struct live_factory redis = {open_redis, close_redis};
    served_config(&config);
    return live_contract_run("live_redis", &redis);
}
