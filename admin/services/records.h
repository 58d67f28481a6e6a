/* Writing records: document first, then the projection to the data plane, nothing at all while the
 * live store is away (design.md §2). Every handler that changes a noun goes through here. Blocking.
 */
#pragma once

#include "admin/call.h"
#include "store/documents.h"

/* DM_EXISTS when a unique key is taken. */
enum dm_code adm_record_insert(struct adm_call *c, const struct dm_record_type *t,
                               const struct dm_json *doc, struct dm_error *err) DM_MUST_USE;
/* Lays patch over the one document found by key. ret_doc (may be NULL) gets the stored result,
 * owned. */
enum dm_code adm_record_patch(struct adm_call *c, const struct dm_record_type *t,
                              const struct dm_filter *key, size_t n_key,
                              const struct dm_json *patch, struct dm_json **ret_doc,
                              struct dm_error *err) DM_MUST_USE;
/* As patch, with a change that needs to look at the document. */
enum dm_code adm_record_change(struct adm_call *c, const struct dm_record_type *t,
                               const struct dm_filter *key, size_t n_key,
                               dm_documents_change_fn change, void *ctx, struct dm_json **ret_doc,
                               struct dm_error *err) DM_MUST_USE;
/* Deletes every match (cascades give several) and publishes each deletion. ret_n: how many there
 * were. */
enum dm_code adm_record_delete(struct adm_call *c, const struct dm_record_type *t,
                               const struct dm_filter *key, size_t n_key, size_t *ret_n,
                               struct dm_error *err) DM_MUST_USE;
