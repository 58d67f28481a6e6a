/* Encrypted dump of memory mode (operations.md §8.14): write by temporary name, fsync, rename, 0600; restore
 * order; a truncated, tampered or wrong-key dump is a fault with a sentence, and the file stays untouched.
 * Blocking. */
#pragma once

#include "base/clock.h"
#include "base/secret.h"
#include "codec/json.h"

struct dm_dump_config {
    const char *path; /* MEM_DUMP_PATH, resolved */
    const struct dm_secret *key; /* MEM_ENCRYPTION_KEY */
    size_t keep;
    const struct dm_clock *clock;
};
/* data: {collection: [documents]}. ret_file gets the name written. Never concurrently (internal lock). */
enum dm_code dm_dump_write(const struct dm_dump_config *c, const struct dm_json *data, struct dm_buf *ret_file,
                           struct dm_error *err) DM_MUST_USE;
/* DM_NOT_FOUND: no dump, fresh start. DM_INVALID: the newest cannot be used (err says why). */
enum dm_code dm_dump_restore(const struct dm_dump_config *c, struct dm_json **ret_data,
                             struct dm_buf *ret_file, struct dm_buf *ret_created_at,
                             struct dm_error *err) DM_MUST_USE;
