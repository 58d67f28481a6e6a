/* Rules about users that span records. Blocking. */
#pragma once

#include "admin/call.h"

/* Page of users the caller may see, one more than the page holds: admins all; managers all but
 * admin users; everybody else only oneself (platform-access.md §8.2, read rules). */
enum dm_code adm_users_visible(struct adm_call *c, const struct adm_page *page,
                               struct dm_json **ret, uint64_t *ret_total,
                               struct dm_error *err) DM_MUST_USE;
/* Deletes the user and what hangs on its name: a later user of that name inherits nothing. */
enum dm_code adm_user_remove(struct adm_call *c, dm_view username,
                             struct dm_error *err) DM_MUST_USE;
/* Adds bandwidth_usage_bytes and bandwidth_resets_at where a limit is in force. */
void adm_user_add_bandwidth(struct adm_call *c, struct dm_json *user);
