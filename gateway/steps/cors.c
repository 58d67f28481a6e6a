/* Answers preflights on the spot: no authentication, no address policy, no upstream (gateway.md
 * §7.2). */
#include "gateway/steps/cors.h"

#include "base/assert.h"
#include "gateway/pipeline.h"

static bool add(const struct gw_request *rq, struct dm_fields *out, enum dm_header_id id,
                dm_view value)
{
    return dm_fields_add(out, rq->x->arena, id, dm_header_name(id), value);
}

/* Allow-Origin is the request's origin, never "*"; what depends on it says so to caches. */
static bool add_origin(const struct gw_request *rq, struct dm_fields *out, bool allowed)
{
    const struct dm_policy_cors *cors = &rq->route.api->cors;
    const dm_view origin = gw_field(rq, DM_HDR_ORIGIN);

    if (origin.len > 0 && allowed && dm_policy_cors_origin(cors, origin))
        return add(rq, out, DM_HDR_AC_ALLOW_ORIGIN, origin) &&
               add(rq, out, DM_HDR_VARY, DM_LIT("Origin"));
    if (!cors->any_origin)
        return add(rq, out, DM_HDR_VARY, DM_LIT("Origin"));
    return true;
}

static bool add_rest(const struct gw_request *rq, struct dm_fields *out)
{
    const struct dm_policy_cors *cors = &rq->route.api->cors;

    if (cors->credentials && !add(rq, out, DM_HDR_AC_ALLOW_CREDENTIALS, DM_LIT("true")))
        return false;
    return cors->expose_text.len == 0 || add(rq, out, DM_HDR_AC_EXPOSE_HEADERS, cors->expose_text);
}

bool gw_cors_actual(const struct gw_request *rq, struct dm_fields *out)
{
    return rq->route.api == NULL || (add_origin(rq, out, true) && add_rest(rq, out));
}

bool gw_cors_preflight(const struct gw_request *rq, struct dm_fields *out)
{
    if (rq->route.api == NULL)
        return true;
    const struct dm_policy_cors *cors = &rq->route.api->cors;
    const dm_view method = gw_field(rq, DM_HDR_ACR_METHOD),
                  headers = gw_field(rq, DM_HDR_ACR_HEADERS);
    const bool allowed = (method.ptr == NULL || dm_policy_cors_method(cors, method)) &&
                         (headers.ptr == NULL || dm_policy_cors_headers(cors, headers));

    if (!add_origin(rq, out, allowed) || !add_rest(rq, out))
        return false;
    if (method.ptr != NULL && cors->methods_text.len > 0 &&
        !add(rq, out, DM_HDR_AC_ALLOW_METHODS, cors->methods_text))
        return false;
    return headers.ptr == NULL || cors->headers_text.len == 0 ||
           add(rq, out, DM_HDR_AC_ALLOW_HEADERS, cors->headers_text);
}

/* Passes everything but OPTIONS. Reads in, route. Never waits. */
enum gw_next step_cors(struct gw_request *rq)
{
    if (rq->in.method != GW_OPTIONS)
        return GW_NEXT;
    if (rq->route.api != NULL && rq->route.endpoint == NULL && !rq->route.path_exists &&
        gw_settings(rq)->strict_options_405)
        return gw_refuse(rq, ERR_METHOD_NOT_ALLOWED, "preflight; endpoint");
    return gw_answer(rq, 204, DM_VIEW_NONE);
}
