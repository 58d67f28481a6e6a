/* From a path to what serves it: route and method, API, the API's address policy, endpoint
 * (gateway.md §18, 3 to 6). */
#include "gateway/audit.h"
#include "gateway/client.h"
#include "gateway/fixed.h"
#include "gateway/pipeline.h"
#include "gateway/protocols/protocol.h"
#include "gateway/worker.h"

static enum gw_next deny(struct gw_request *rq, enum dm_err err, enum gw_count count,
                         const char *why, const char *reason)
{
    const struct dm_policy_api *api = rq->route.api;

    gw_metrics_count(&rq->worker->metrics, count);
    gw_audit_blocked(rq, "ip.api_deny", api->api_id.len > 0 ? api->api_id : api->name, why);
    return gw_refuse(rq, err, reason);
}

/* Blacklist first; in whitelist mode an empty list admits nobody (gateway.md §3.3). */
static enum gw_next check_address(struct gw_request *rq)
{
    const struct dm_policy_api *api = rq->route.api;

    if (api->trust_xff < 0)
        rq->route.client = rq->in.client;
    else
        gw_client_address(rq, gw_client_trust(rq, api), &rq->route.client);
    if ((api->ip_blacklist == NULL && !api->ip_whitelist_mode) || gw_client_bypasses_lists(rq))
        return GW_NEXT;
    if (dm_address_set_has(api->ip_blacklist, &rq->route.client))
        return deny(rq, ERR_API_IP_BLACKLIST, GW_COUNT_IP_API_BLACKLIST, "blacklisted",
                    "api ip; blacklist");
    if (api->ip_whitelist_mode && !dm_address_set_has(api->ip_whitelist, &rq->route.client))
        return deny(rq, ERR_API_IP_WHITELIST, GW_COUNT_IP_API_WHITELIST, "not_in_whitelist",
                    "api ip; whitelist");
    return GW_NEXT;
}

static void find_endpoint(struct gw_request *rq)
{
    const size_t first = rq->route.first_segment;

    rq->route.endpoint =
        dm_policy_match(rq->route.api, rq->x->head.method, rq->target.segments + first,
                        rq->target.n_segments - first, &rq->route.path_exists);
}

/* A preflight may ask about anything and learns nothing but CORS. */
static enum gw_next resolve_preflight(struct gw_request *rq)
{
    if (rq->route.api != NULL) {
        rq->route.client = rq->in.client;
        find_endpoint(rq);
    }
    return GW_NEXT;
}

/* Reads in, target. Writes route. Never waits. */
enum gw_next step_resolve(struct gw_request *rq)
{
    const struct gw_protocol *proto = rq->in.proto;

    if (proto == NULL || rq->target.n_segments + rq->target.trailing_slash < 3)
        return gw_fixed_resolve(rq);
    if (!(proto->methods & rq->in.method)) {
        rq->out.allow = proto->allow;
        return gw_refuse(rq, ERR_METHOD_NOT_ALLOWED, "route; method");
    }
    if (proto->find_api == NULL)
        return gw_refuse(rq, ERR_NOT_FOUND, "route");
    proto->find_api(rq);
    if (rq->in.method == GW_OPTIONS)
        return resolve_preflight(rq);
    if (rq->route.api == NULL)
        return gw_refuse(rq, ERR_NO_API, "api");
    rq->route.guarded = !rq->route.api->is_public && rq->route.api->auth_required;
    if (check_address(rq) != GW_NEXT)
        return GW_REPLY;
    find_endpoint(rq);
    return rq->route.endpoint != NULL ? GW_NEXT : gw_refuse(rq, ERR_NO_ENDPOINT, "endpoint");
}
