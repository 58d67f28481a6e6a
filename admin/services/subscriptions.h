/* Who may call what: one record per user with its list of "name/version". Blocking. */
#pragma once

#include "admin/call.h"

enum dm_code adm_subscribe(struct adm_call *c, dm_view username, dm_view nv,
                           struct dm_error *err) DM_MUST_USE; /* DM_EXISTS */
enum dm_code adm_unsubscribe(struct adm_call *c, dm_view username, dm_view nv,
                             struct dm_error *err) DM_MUST_USE; /* DM_NOT_FOUND */
/* A user without a record has an empty list. ret_apis is the caller's. */
enum dm_code adm_subscriptions_of(struct adm_call *c, dm_view username, struct dm_json **ret_apis,
                                  struct dm_error *err) DM_MUST_USE;
/* Takes nv out of every list that holds it: the API is being deleted (R7). */
enum dm_code adm_unsubscribe_all(struct adm_call *c, dm_view nv, struct dm_error *err) DM_MUST_USE;
