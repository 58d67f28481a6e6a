/* Who the client is on the network: effective address, scheme and host as the outermost trusted
 * proxy saw them (operations.md §8.11). Pure reads of the request. */
#pragma once

#include "gateway/request.h"

void gw_client_forwarding(const struct dm_fields *fields, struct dm_forwarding *ret);
/* trust: forwarding fields count when the peer is a trusted proxy. */
void gw_client_address(const struct gw_request *rq, bool trust, struct dm_address *ret);
/* api NULL: the global rule. */
bool gw_client_trust(const struct gw_request *rq, const struct dm_policy_api *api);
/* Loopback peer without any forwarding field, and the switch is on: address lists do not apply. */
bool gw_client_bypasses_lists(const struct gw_request *rq);
dm_view gw_client_scheme(const struct gw_request *rq); /* "http" or "https" */
dm_view gw_client_host(const struct gw_request *rq);
