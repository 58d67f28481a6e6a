/* Finding records by their keys, for handlers and services alike. The caller owns what it gets.
 * DM_NOT_FOUND, DM_UNAVAILABLE as the documents store says. */
#pragma once

#include "admin/app.h"

enum dm_code adm_find_user(struct adm_app *app, dm_view username, struct dm_json **ret,
                           struct dm_error *err) DM_MUST_USE;
enum dm_code adm_find_user_by_email(struct adm_app *app, dm_view email, struct dm_json **ret,
                                    struct dm_error *err) DM_MUST_USE;
enum dm_code adm_find_role(struct adm_app *app, dm_view role_name, struct dm_json **ret,
                           struct dm_error *err) DM_MUST_USE;
enum dm_code adm_find_group(struct adm_app *app, dm_view group_name, struct dm_json **ret,
                            struct dm_error *err) DM_MUST_USE;
enum dm_code adm_find_api(struct adm_app *app, dm_view name, dm_view version, struct dm_json **ret,
                          struct dm_error *err) DM_MUST_USE;
/* Is this user an admin user (its role is an admin role)? An unknown user is not. */
enum dm_code adm_user_is_admin(struct adm_app *app, dm_view username, bool *ret,
                               struct dm_error *err) DM_MUST_USE;
enum dm_code adm_role_name_is_admin(struct adm_app *app, dm_view role_name, bool *ret,
                                    struct dm_error *err) DM_MUST_USE;
/* Do the two lists of strings share a member? */
bool adm_lists_meet(const struct dm_json *a, const struct dm_json *b);
