#include "gateway/protocols/protocol.h"

static int64_t soap_limit(const struct dm_settings *s)
{
    return s->max_body_size_bytes_soap;
}

static int64_t graphql_limit(const struct dm_settings *s)
{
    return s->max_body_size_bytes_graphql;
}

static int64_t grpc_limit(const struct dm_settings *s)
{
    return s->max_body_size_bytes_grpc;
}

/* Known to the router, so that a wrong method is 405; without a module yet, so that a right one is
 * 404. */
static const struct gw_protocol soap = {
    .prefix = DM_LIT("soap"),
    .methods = GW_POST | GW_GET | GW_OPTIONS,
    .allow = DM_LIT("POST, GET, OPTIONS"),
    .body_refused = GW_COUNT_BODY_SOAP,
    .count_is_consent = true,
    .body_limit = soap_limit,
};
static const struct gw_protocol graphql = {
    .prefix = DM_LIT("graphql"),
    .methods = GW_POST | GW_OPTIONS,
    .allow = DM_LIT("POST, OPTIONS"),
    .body_refused = GW_COUNT_BODY_GRAPHQL,
    .count_is_consent = true,
    .body_limit = graphql_limit,
};
static const struct gw_protocol grpc = {
    .prefix = DM_LIT("grpc"),
    .methods = GW_POST | GW_GET | GW_OPTIONS,
    .allow = DM_LIT("POST, GET, OPTIONS"),
    .body_refused = GW_COUNT_BODY_GRPC,
    .count_is_consent = true,
    .body_limit = grpc_limit,
};

const struct gw_protocol *gw_protocol_find(dm_view prefix)
{
    static const struct gw_protocol *const all[] = {&gw_protocol_rest, &soap, &graphql, &grpc};

    for (size_t i = 0; i < DM_COUNT_OF(all); i++)
        if (dm_view_eq(prefix, all[i]->prefix))
            return all[i];
    return NULL;
}
