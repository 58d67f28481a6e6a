/* The last good copy of policy on disk (gateway.md §29.4, SNAPSHOT_FILE): `current`, manifest,
 * deltas and objects as they were published, so that a restarted sidecar serves while Redis is
 * away. Written by rename, 0600; read with the same checks as from Redis: signatures, names, every
 * object against its promised hash, nothing left out. What is spoilt is refused with a sentence and
 * stays as it is. Blocking: never on a loop.
 *
 *   "DMPOLICY1\n", then sections: u8 type, u64 length, bytes
 *   'C' current 'M' manifest 'D' delta (in order) 'O' object 'R' revocations 'E' number of objects
 */
#pragma once

#include "store/policy_table.h"

enum { DM_POLICY_COPY_MAX = 512 * 1024 * 1024 }; /* of a file: no sidecar holds that much policy */

struct dm_policy_copy {
    dm_view current, manifest, revocations; /* revocations: opaque here; empty: none kept */
    dm_view *deltas;                        /* from the one after the manifest */
    size_t n_deltas;
    struct dm_policy_record **records;
    size_t n_records;
    uint64_t generation, manifest_generation; /* filled by reading */
    char *bytes_;                             /* of the file that was read */
};
enum dm_code dm_policy_copy_write(const char *path, const struct dm_policy_copy *c,
                                  struct dm_error *err) DM_MUST_USE;
/* DM_NOT_FOUND: no such file. DM_INVALID: spoilt, or not signed by a key of the verifier's. */
enum dm_code dm_policy_copy_read(const char *path, const struct dm_ed25519_verifier *verifier,
                                 struct dm_policy_copy **ret, struct dm_error *err) DM_MUST_USE;
void dm_policy_copy_free(struct dm_policy_copy *c); /* of one that was read; its records too */
