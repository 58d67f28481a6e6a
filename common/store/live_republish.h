/* Publishing everything, for the admin: at its start, after a failure, after the store lost what
 * was published. Blocking, from the admin's own threads. */
#pragma once

#include "store/live.h"

/* --- objects on demand, without the lock: each stands for itself, and nobody who wants to publish
 * waits while a hundred thousand are looked at. What differs is published under the lock, one by
 * one, as the documents then say. Only where the store has not lost what was published (else
 * republish, whole); a backend of one process never needs it. --- */

/* ret_differs[i]: the store does not hold changes[i] as it is (bytes NULL: as deleted). */
enum dm_code dm_live_compare(struct dm_live_admin *a, const struct dm_live_change *changes,
                             size_t n, bool *ret_differs, struct dm_error *err) DM_MUST_USE;
/* Every object on demand that stands there, deleted ones too, in pieces: bytes are NULL, names
 * borrowed until `fn` returns; what `fn` fails with ends it. */
typedef enum dm_code (*dm_live_names_fn)(void *ctx, const struct dm_live_change *names, size_t n,
                                         struct dm_error *err);
enum dm_code dm_live_names(struct dm_live_admin *a, dm_live_names_fn fn, void *ctx,
                           struct dm_error *err) DM_MUST_USE;

/* --- everything, under dm_live_publish_lock: begin, put any number of times, end --- */

/* Then what is published is what was put, as one generation; what was not put is deleted.
 * ret_whole: the store knows nothing that could be relied on: all objects are to be put, and all
 * are written. Otherwise only those of the snapshot, and only what differs is written; objects on
 * demand are left alone. floor: where the store knows nothing, the generation is above it. forget:
 * what was read on demand is dropped everywhere. A failure ends it. The memory backend publishes in
 * pieces, always the whole, and deletes nothing. */
enum dm_code dm_live_republish_begin(struct dm_live_admin *a, uint64_t floor, bool *ret_whole,
                                     struct dm_error *err) DM_MUST_USE;
enum dm_code dm_live_republish_put(struct dm_live_admin *a, const struct dm_live_change *changes,
                                   size_t n, struct dm_error *err) DM_MUST_USE;
enum dm_code dm_live_republish_end(struct dm_live_admin *a, bool forget, uint64_t *ret_generation,
                                   struct dm_error *err) DM_MUST_USE;

/* Around writing everything anew, revocations included: begin; once all revocations are written,
 * revoked; once accounts and policy are, too, end. From then on data planes take this store's word
 * again, as it was when it began: what it lost meanwhile is not vouched for, and end fails with
 * DM_UNAVAILABLE where that is known. Not under the lock. A backend of one process has nothing to
 * do. */
struct dm_live_restoration;
enum dm_code dm_live_restore_begin(struct dm_live_admin *a, struct dm_live_restoration **ret,
                                   struct dm_error *err) DM_MUST_USE;
enum dm_code dm_live_restore_revoked(struct dm_live_admin *a, struct dm_live_restoration *r,
                                     struct dm_error *err) DM_MUST_USE;
enum dm_code dm_live_restore_end(struct dm_live_admin *a, struct dm_live_restoration *r,
                                 struct dm_error *err) DM_MUST_USE;
void dm_live_restoration_free(struct dm_live_admin *a, struct dm_live_restoration *r); /* or NULL */
/* Whether nothing is known to be missing since the last time. */
enum dm_code dm_live_whole(struct dm_live_admin *a, bool *ret, struct dm_error *err) DM_MUST_USE;
