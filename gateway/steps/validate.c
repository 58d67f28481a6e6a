/* Body against the endpoint's schema, then the API's transforms. No schema can be stored yet; an
 * API that asks for a transform is refused rather than served untransformed (docs/limits.md). */
#include "gateway/pipeline.h"

/* Reads route. Never waits. */
enum gw_next step_validate(struct gw_request *rq)
{
    const struct dm_policy_api *api = rq->route.api;

    if (api != NULL && (api->request_transform != NULL || api->response_transform != NULL))
        return gw_refuse(rq, ERR_ADMIN_AWAY, "transform");
    return GW_NEXT;
}
