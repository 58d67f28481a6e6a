/* REST: /api/rest/{name}/{version}/{endpoint path} (gateway.md §6.1); everything passes as it is
 * (R1, R16). */
#include "gateway/protocols/protocol.h"

enum { SEGMENT_NAME = 2, SEGMENT_VERSION = 3, SEGMENT_PATH = 4 };

static int64_t body_limit(const struct dm_settings *s)
{
    return s->max_body_size_bytes_rest;
}

/* "{a}/{b}" is tried as name and version first; then name {a} with X-API-Version (O11). */
static void find_api(struct gw_request *rq)
{
    const struct dm_target *t = &rq->target;

    if (t->n_segments > SEGMENT_VERSION) {
        rq->route.api =
            dm_policy_api(gw_policy(rq), t->segments[SEGMENT_NAME], t->segments[SEGMENT_VERSION]);
        rq->route.first_segment = SEGMENT_PATH;
    }
    if (rq->route.api == NULL && t->n_segments > SEGMENT_NAME) {
        const dm_view version = gw_field(rq, DM_HDR_X_API_VERSION);
        if (version.len > 0)
            rq->route.api = dm_policy_api(gw_policy(rq), t->segments[SEGMENT_NAME], version);
        rq->route.first_segment = SEGMENT_VERSION;
    }
}

/* The query goes up unchanged, repeated names and all (§13.3); a server's own comes first. */
static void build_target(struct gw_request *rq, struct dm_buf *path)
{
    const struct dm_target *t = &rq->target;
    const dm_view base_query = rq->up.server->url.query, query = t->raw_query;
    const size_t first = rq->route.first_segment;

    dm_buf_add(path, rq->up.server->url.path);
    dm_policy_upstream_path(rq->route.endpoint, t->segments + first, t->n_segments - first, path);
    if (base_query.len > 0 || query.ptr != NULL)
        dm_buf_add_byte(path, '?');
    dm_buf_add(path, base_query);
    if (base_query.len > 0 && query.len > 0)
        dm_buf_add_byte(path, '&');
    dm_buf_add(path, query);
}

const struct gw_protocol gw_protocol_rest = {
    .prefix = DM_LIT("rest"),
    .methods = GW_GET | GW_POST | GW_PUT | GW_DELETE | GW_PATCH | GW_HEAD | GW_OPTIONS,
    .allow = DM_LIT("GET, POST, PUT, DELETE, PATCH, HEAD, OPTIONS"),
    .body_refused = GW_COUNT_BODY_REST,
    .body_limit = body_limit,
    .find_api = find_api,
    .build_target = build_target,
};
