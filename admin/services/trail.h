/* The audit trail as documents (operations.md §8.5): collection `audit_log`, each record with its
 * place in the chain, the hash of the one before it, and its own over both. Places are unique, so
 * of several writers, also of several admins, one gets each place and the others take the next: the
 * chain cannot fork, and nobody needs a lease that may end while its holder writes. Blocking, any
 * thread. */
#pragma once

#include "admin/app.h"

struct adm_trail;
struct adm_trail *adm_trail_new(void);
void adm_trail_free(struct adm_trail *t);

/* Appends the members of `record` (operations.md §8.5; secrets in its details are redacted).
 * event_id: unique for ever, of an event that may come more than once; empty: none. DM_OK also
 * where that event is there already. */
enum dm_code adm_trail_append(struct adm_app *app, const struct dm_json *record, dm_view event_id,
                              struct dm_error *err) DM_MUST_USE;
/* The same by a writer of its own: `t` is the end of the chain as that writer knows it. */
enum dm_code adm_trail_append_as(struct adm_app *app, struct adm_trail *t,
                                 const struct dm_json *record, dm_view event_id,
                                 struct dm_error *err) DM_MUST_USE;

/* A walk over the whole chain in pieces, so that it never holds anything up. Zeroed: begins. In
 * memory mode the oldest records go: it begins at the oldest that is there. */
enum { ADM_TRAIL_HASH = 64 };
struct adm_trail_walk {
    bool begun, ended, broken;
    int64_t next, end, checked;
    int64_t broken_at; /* seq of the first record that is missing, changed or does not follow */
    char hash[ADM_TRAIL_HASH + 1]; /* of the last one looked at */
};
enum dm_code adm_trail_verify(struct adm_app *app, struct adm_trail_walk *w, size_t most,
                              struct dm_error *err) DM_MUST_USE;

/* --- pure (trail_record.c) --- */
/* An event of a stream, which may be anybody's: NULL, not one of ours. */
struct dm_json *adm_trail_read(dm_view text);
/* The record of an event, without its place. */
struct dm_json *adm_trail_record(const struct dm_json *event, dm_view event_id);
/* SHA-256 over prev_hash and the record as JSON with sorted members, without `hash`; lower-case
 * hex. */
void adm_trail_hash(const struct dm_json *record, char out[ADM_TRAIL_HASH + 1]);
/* Values of secret names, and what looks like a secret, are replaced (operations.md §8.6). */
struct dm_json *adm_trail_sanitised(const struct dm_json *details);
