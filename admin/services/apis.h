/* Rules about APIs that span fields or records. Blocking where an error can come back. */
#pragma once

#include "admin/call.h"

/* Every entry of the IP lists is an address or CIDR; else the bad one (O6). */
bool adm_api_lists_good(const struct dm_json *doc, dm_view *ret_bad);
/* ws-security password as "********" in what is shown (R8). */
void adm_api_mask(struct dm_json *api);
/* WARN for what is legal but dangerous: any origin with credentials (O15). */
void adm_api_warn(struct adm_call *c, const struct dm_json *api);
/* null on a field that is already null counts as absent (platform-apis.md §1.4). */
void adm_api_drop_unchanged_nulls(struct dm_json *patch, const struct dm_json *stored);
/* The API with its endpoints, validations and subscriptions (R7). The API goes first: from that
 * moment no call can be made; a crash later leaves orphans that the next deletion or start removes.
 */
enum dm_code adm_api_remove(struct adm_call *c, const struct dm_json *api,
                            struct dm_error *err) DM_MUST_USE;
