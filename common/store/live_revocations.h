/* Every revocation that the live store has, for the admin: another program may have put some there.
 * Blocking, from the admin's own threads (never a loop). */
#pragma once

#include "store/live.h"

/* Called on a thread of the backend's while the caller waits; not DM_OK ends the walk. Texts are
 * borrowed; jti empty: the whole user. ends_ms: how long it goes on, 0: for ever. */
typedef enum dm_code (*dm_live_revoked_fn)(void *ctx, dm_view subject, dm_view jti,
                                           int64_t ends_ms);
/* A backend of one process has none but ours and calls nobody. */
enum dm_code dm_live_revocations(struct dm_live_admin *a, dm_live_revoked_fn fn, void *ctx,
                                 struct dm_error *err) DM_MUST_USE;
