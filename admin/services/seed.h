/* What a fresh store needs before it can serve (platform-access.md §6.3): each only if absent. */
#pragma once

#include "admin/app.h"

/* Roles, groups, security settings, and the user `admin` with `password_hash` (empty: keep what is
 * stored, or, for a new one, leave it without a password: nobody can log in until it is set). */
enum dm_code adm_seed(struct adm_app *app, struct dm_error *err) DM_MUST_USE;
/* The slow half: hashes the password of the environment and stores it with user `admin`. In memory
 * mode on every start, elsewhere only when the store had no such user. */
enum dm_code adm_seed_password(struct adm_app *app, struct dm_error *err) DM_MUST_USE;
/* Unique keys of the collections, for the memory store and the indexes of MongoDB. */
const struct dm_documents_unique *adm_uniques(size_t *ret_n);
