#include "store/redis/redis_internal.h"

bool dm_redis_is_cluster(const struct dm_redis *r)
{
    return r->config.mode == DM_REDIS_CLUSTER;
}

size_t dm_redis_nodes(const struct dm_redis *r)
{
    (void)r;
    return 1;
}

void dm_redis_send_node(struct dm_redis *r, size_t node, const dm_view *argv, size_t argc,
                        dm_time deadline, struct dm_redis_ask *a, dm_redis_fn fn)
{
    (void)node;
    dm_redis_send(r, DM_VIEW_NONE, argv, argc, deadline, a, fn);
}
