/* What differs between REST, SOAP, GraphQL and gRPC, as a table of functions: the pipeline is one.
 * The row is found by the second segment of the path ("/api/rest/..."). Immutable. */
#pragma once

#include "gateway/metrics.h"
#include "gateway/pipeline.h"

struct gw_protocol {
    dm_view prefix;
    unsigned methods; /* what the router knows for it, of enum gw_method */
    dm_view allow;    /* the same as an Allow field */
    enum gw_count body_refused;
    bool count_is_consent; /* knows only POST: a retry count is itself the consent to repeat (R5) */
    bool crud_costs_credit; /* a CRUD API costs a credit over GraphQL alone (gateway.md §11) */
    int64_t (*body_limit)(const struct dm_settings *s);
    /* Names the API in route and where the endpoint's path begins; leaves api NULL when there is
     * none. NULL: the router knows the prefix, but nothing serves it (yet): 404. */
    void (*find_api)(struct gw_request *rq);
    /* Path and query of the upstream's request line, after the server's own base path and query. */
    void (*build_target)(struct gw_request *rq, struct dm_buf *path);
};

extern const struct gw_protocol gw_protocol_rest;
const struct gw_protocol *gw_protocol_find(dm_view prefix); /* NULL: none of the four */
