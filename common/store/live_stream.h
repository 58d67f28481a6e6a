/* Records on their way from gateways to the admin: at least once, in the order of one handle.
 * A gateway's worker emits and forgets; the admin takes, applies, and only then says done: what was
 * taken and not done is taken again, by another admin too, so applying must be idempotent by the
 * record's id. Bounded everywhere, and what is lost is told to whoever emits. Names in Redis:
 * doorman:metrics:records and doorman:audit. */
#pragma once

#include "store/live.h"

enum dm_stream { DM_STREAM_METRICS = 0, DM_STREAM_AUDIT, DM_STREAMS };

enum {
    DM_STREAM_ID_MAX = 64,             /* <instance>-<sequence>, made by the gateway */
    DM_STREAM_RECORD_MAX = 128 * 1024, /* figures of 256 APIs and 64 users of one flush */
    DM_STREAM_TAKE_MAX = 48            /* below the arguments a Redis command may have */
};
dm_view dm_stream_name(enum dm_stream s); /* "metrics", "audit": labels */
dm_view dm_stream_key(enum dm_stream s);  /* the key in Redis */

/* Loop thread. Copies both. Gives how many records were lost by it, for the caller to count: while
 * nobody takes them METRICS gives up its oldest, AUDIT the new one. */
size_t dm_live_emit(struct dm_live *l, enum dm_stream s, dm_view id, dm_view record) DM_MUST_USE;
/* Records of this handle that the store has not got yet. */
size_t dm_live_emit_pending(const struct dm_live *l, enum dm_stream s);
/* So many wait in the store that no admin seems to take them: whoever can puts more into fewer. */
bool dm_live_emit_behind(const struct dm_live *l, enum dm_stream s);
/* On the way down: sends at once what waits (records, bandwidth, settled credits). Gives how many
 * pieces the store has not got yet but may still get: 0 also while it is away. Loop thread. */
size_t dm_live_flush(struct dm_live *l);

/* --- the admin's side: blocking, one thread at a time for each stream --- */
struct dm_live_entry { /* views live as long as the batch */
    dm_view id, record;
    dm_view place; /* the backend's own name of it */
};
struct dm_live_batch {
    size_t n;
    struct dm_live_entry entries[DM_STREAM_TAKE_MAX];
    char *bytes_[DM_STREAM_TAKE_MAX];
};
/* Never waits for records: *ret stays NULL when there are none. First those that an admin took and
 * did not end within DM_STREAM_IDLE, then new ones. */
enum dm_code dm_live_take(struct dm_live_admin *a, enum dm_stream s, struct dm_live_batch **ret,
                          struct dm_error *err) DM_MUST_USE;
/* All of them were applied. Frees nothing. */
enum dm_code dm_live_done(struct dm_live_admin *a, enum dm_stream s, const struct dm_live_batch *b,
                          struct dm_error *err) DM_MUST_USE;
void dm_live_batch_free(struct dm_live_batch *b); /* NULL is fine */
#define DM_STREAM_IDLE (5 * DM_SEC)
