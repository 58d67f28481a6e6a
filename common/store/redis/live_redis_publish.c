#include "store/redis/live_redis_priv.h"

#include "base/poison.h"

/* Policy is not published to Redis yet: every write is refused. */

enum dm_code live_publisher_new(struct live_redis_admin *a, struct live_publisher **ret,
                                struct dm_error *err)
{
    (void)a;
    (void)err;
    *ret = NULL;
    return DM_OK;
}

void live_publisher_free(struct live_publisher *p)
{
    (void)p;
}

enum dm_code live_redis_publish(struct dm_live_admin *a, const struct dm_live_change *changes,
                                size_t n, uint64_t *ret_generation, struct dm_error *err)
{
    (void)a;
    (void)changes;
    (void)n;
    (void)ret_generation;
    return DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_LIVE_AWAY, "could not publish: not possible");
}
