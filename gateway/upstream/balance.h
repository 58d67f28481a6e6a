/* Where a call goes (gateway.md §12): client routing, then the endpoint's servers, then the API's;
 * in turn, from index 0, per pool and worker. */
#pragma once

#include "gateway/request.h"

/* NULL: there is no server for this call. Takes no turn. */
const struct dm_policy_pool *gw_balance_pool(const struct gw_request *rq);
/* Takes the pool's turn. */
const struct dm_policy_server *gw_balance_next(struct gw_worker *w,
                                               const struct dm_policy_pool *pool);
