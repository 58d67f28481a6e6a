/* Revocation of tokens (platform-access.md §5.5): the live store refuses from the moment this
 * returns; a durable copy in `revocations` is written first, from which a start restores the live
 * store. Blocking. */
#pragma once

#include "admin/app.h"

enum dm_code adm_revoke_user(struct adm_app *app, dm_view username,
                             struct dm_error *err) DM_MUST_USE;
enum dm_code adm_unrevoke_user(struct adm_app *app, dm_view username,
                               struct dm_error *err) DM_MUST_USE;
enum dm_code adm_revoke_token(struct adm_app *app, dm_view username, dm_view jti, int64_t exp,
                              struct dm_error *err) DM_MUST_USE;
/* Document of `revocations`: {id, username, jti ("" for the whole user), expires (Unix seconds, 0:
 * never)}. */
struct dm_json *adm_revocation_doc(dm_view username, dm_view jti, int64_t expires);
/* At start: writes every revocation still in force to the live store, drops expired copies. */
enum dm_code adm_revocations_restore(struct adm_app *app, struct dm_error *err) DM_MUST_USE;
