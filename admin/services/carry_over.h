/* What the Python Doorman stored in a form that this product does not write, brought into ours
 * (docs/migrate.md): at every start, right after a dump was restored or, over MongoDB, within the
 * lease of the migration. Idempotent, may end anywhere and begin again; only looks where nothing is
 * left to do. Blocking; before anything is served. */
#pragma once

#include "store/documents.h"

/* *ret_changed: documents that were changed; each is logged with what was done. */
enum dm_code adm_carry_over(struct dm_documents *d, uint64_t *ret_changed,
                            struct dm_error *err) DM_MUST_USE;
