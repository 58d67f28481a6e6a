/* Which fields pass, both ways (R15, gateway.md §13.1, §15): the standard ones, those the API
 * names, and ours; never a credential of the gateway, never framing. What a name is, is decided by
 * io/headers.def. */
#pragma once

#include "gateway/request.h"

/* Request line and fields of the upstream's request into up.head; false past the arena's cap. */
bool gw_headers_up(struct gw_request *rq);
/* Fields of the client's answer: the upstream's that pass, then ours, which replace same-named
 * ones. */
bool gw_headers_down(struct gw_request *rq, struct dm_fields *out);
/* Trailers that pass (standard as below); what finds no memory is left out. in NULL: none. */
void gw_headers_trailers(struct gw_request *rq, const struct dm_fields *in, unsigned standard,
                         struct dm_fields *out);

/* The rule itself. standard: DM_HF_REQUEST or DM_HF_RESPONSE. */
bool gw_header_passes(const struct dm_policy_api *api, const struct dm_fields *all,
                      const struct dm_field_line *f, unsigned standard);
/* A Cookie value without the gateway's own cookies, into out. */
bool gw_header_has_foreign_cookie(dm_view value);
void gw_header_foreign_cookies(dm_view value, struct dm_buf *out);
bool gw_header_is_own_cookie(dm_view pair); /* "name=value..." */
