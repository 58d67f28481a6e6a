/* Rules about endpoints that span records. Blocking. */
#pragma once

#include "admin/call.h"

struct adm_endpoint_key {
    dm_view method, api_name, api_version, uri;
};

enum dm_code adm_find_endpoint(struct adm_call *c, const struct adm_endpoint_key *k,
                               struct dm_json **ret, struct dm_error *err) DM_MUST_USE;
/* Another endpoint of the same API and method is seen by clients at this URI: by its client_uri, or
 * by its endpoint_uri when it has none. own_id: the endpoint that is being changed, or empty. */
enum dm_code adm_endpoint_conflict(struct adm_call *c, const struct adm_endpoint_key *k,
                                   dm_view client_uri, dm_view own_id, bool *ret,
                                   struct dm_error *err) DM_MUST_USE;
dm_view adm_endpoint_method(struct adm_call *c,
                            dm_view method); /* upper case, in the call's arena */
