#include "gateway/upstream/balance.h"

#include "base/assert.h"
#include "gateway/worker.h"

const struct dm_policy_pool *gw_balance_pool(const struct gw_request *rq)
{
    const dm_view key = gw_field(rq, DM_HDR_CLIENT_KEY);

    if (key.len > 0) {
        const struct dm_policy_routing *routing = dm_policy_routing(gw_policy(rq), key);
        if (routing != NULL && routing->pool.n_servers > 0)
            return &routing->pool;
    }
    if (rq->route.endpoint->pool.n_servers > 0)
        return &rq->route.endpoint->pool;
    return rq->route.api->pool.n_servers > 0 ? &rq->route.api->pool : NULL;
}

const struct dm_policy_server *gw_balance_next(struct gw_worker *w,
                                               const struct dm_policy_pool *pool)
{
    DM_REQUIRE(pool->n_servers > 0);
    if (pool->n_servers == 1)
        return &pool->servers[0];
    return &pool->servers[gw_worker_slot(w, pool->slot)->turn++ % pool->n_servers];
}
