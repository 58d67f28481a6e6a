/* Credits: reserved here, settled after the answer (O1). Their store does not exist yet, and
 * without it credits always deny (R4): such an API is refused rather than served free of charge
 * (docs/limits.md). */
#include "gateway/pipeline.h"

/* Reads route. Never waits. */
enum gw_next step_reserve(struct gw_request *rq)
{
    const struct dm_policy_api *api = rq->route.api;

    if (api != NULL && api->credits_enabled && !api->is_public)
        return gw_refuse(rq, ERR_STORE_LIVE_AWAY, "credits");
    return GW_NEXT;
}
