/* Rules and storage of human passwords (platform-access.md §8.2, O16). Blocking: hashing takes tens
 * of ms. */
#pragma once

#include "admin/call.h"

bool adm_password_strong(dm_view password);      /* 16+ characters, upper, lower, digit, special */
void adm_fail_weak_password(struct adm_call *c); /* 400 USR005 */
/* Hashes and stores; clears force_password_reset. */
enum dm_code adm_password_store(struct adm_call *c, dm_view username, dm_view password,
                                struct dm_error *err) DM_MUST_USE;
/* Replaces the member `password` of an update, where there is one, by its hash; false: result set.
 */
bool adm_password_replace(struct adm_call *c, struct dm_json *patch);
/* The last half of creating a user, by an administrator or by registration: uniqueness, strength,
 * hash, insert; sets the result. doc: a created record with the password in clear, which is
 * replaced. */
void adm_user_insert(struct adm_call *c, struct dm_json *doc);
