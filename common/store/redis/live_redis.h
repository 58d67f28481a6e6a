/* Live state on Redis: the contract of store/live.h with the key names of gateway.md §27.1, §29.4.
 * The data plane takes one handle per worker loop; the admin takes one blocking handle, which runs
 * on a loop and a thread of its own. */
#pragma once

#include "store/live.h"
#include "store/redis/redis.h"

struct dm_live_redis_config { /* borrowed, outlives what is made of it */
    struct dm_redis_config redis;
    struct dm_resolver *resolver;
    const struct dm_policy_keys *policy_keys; /* NULL: policy is not signed (development) */
    dm_view snapshot_file;                    /* last good copy; empty: none. Follower only */
};

/* For one worker. With `follow` the handle also follows published policy (dm_live_subscribe tells
 * of every generation); the others hear only what their principals cache needs. */
enum dm_code dm_live_redis_handle(const struct dm_live_redis_config *c, struct dm_loop *loop,
                                  bool follow, struct dm_live **ret,
                                  struct dm_error *err) DM_MUST_USE;
/* timeout: of one call (REDIS_SOCKET_TIMEOUT). */
enum dm_code dm_live_redis_admin(const struct dm_live_redis_config *c, dm_time timeout,
                                 struct dm_live_admin **ret, struct dm_error *err) DM_MUST_USE;
