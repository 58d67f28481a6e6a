/* Balances and keys of users (platform-apis.md §11). Documents keep them; the balance runs in the
 * live store, which is the truth while it lasts: saving sets both, and what was spent is written
 * back to the documents when it is shown, every minute, and before a dump. Blocking. */
#pragma once

#include "admin/app.h"

/* What is shown of a key that is there, and what keeps it in a body (R8). */
#define ADM_CREDITS_MASK "********"

/* Replaces the user's map: groups not in `entries` (typed by dm_record_user_credits) are dropped,
 * with their balances; a key that is the mask keeps the stored one. */
enum dm_code adm_credits_save(struct adm_app *app, dm_view username, const struct dm_json *entries,
                              struct dm_error *err) DM_MUST_USE;
/* A new key of the user's own for the group, in clear into ret_key; an entry is made where there is
 * none. */
enum dm_code adm_credits_rotate(struct adm_app *app, dm_view username, dm_view group,
                                struct dm_buf *ret_key, struct dm_error *err) DM_MUST_USE;
/* The user's document with the balances of this moment, keys sealed. DM_NOT_FOUND. */
enum dm_code adm_credits_find(struct adm_app *app, dm_view username, struct dm_json **ret,
                              struct dm_error *err) DM_MUST_USE;
/* One page of documents by user name, as adm_credits_find gives them, one more than the page holds.
 * search: part of a user's or a group's name, any case; empty: all. */
enum dm_code adm_credits_page(struct adm_app *app, dm_view search, const struct adm_page *page,
                              struct dm_json **ret, uint64_t *ret_total,
                              struct dm_error *err) DM_MUST_USE;
/* With the user; nothing there: fine. */
enum dm_code adm_credits_remove(struct adm_app *app, dm_view username,
                                struct dm_error *err) DM_MUST_USE;
/* A document as the caller may see it: own keys in clear, everybody else's masked (R8). */
void adm_credits_show(struct adm_app *app, struct dm_json *doc, bool own);
/* What the data plane needs of a document: {"username","keys":{group: sealed key}}. */
struct dm_json *adm_credits_project(const struct dm_json *doc);

/* Balances of documents to accounts that the live store does not have: start, and a store that came
 * back empty. */
enum dm_code adm_credits_restore(struct adm_app *app, struct dm_error *err) DM_MUST_USE;
/* Running balances to all documents. */
enum dm_code adm_credits_reconcile(struct adm_app *app, struct dm_error *err) DM_MUST_USE;
