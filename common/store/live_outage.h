/* What a process can tell by itself while the live store is away (R4): a mirror of the revocations
 * with its age, how many processes share the limits, and counters of its own. One per process,
 * filled by the backend on its loop, asked by every worker: locks inside. */
#pragma once

#include "store/live_state.h"

struct dm_live_outage;
struct dm_live_outage *dm_live_outage_new(const struct dm_clock *clock);
void dm_live_outage_free(struct dm_live_outage *o);

/* --- the backend's side: one thread --- */
/* Revocations are being read anew: what is told from here on goes to the new mirror as well. */
void dm_live_outage_load_begin(struct dm_live_outage *o);
void dm_live_outage_loaded(struct dm_live_outage *o, dm_view subject, dm_view jti,
                           dm_time expires_wall); /* one that was read; jti empty: the user */
void dm_live_outage_load_end(struct dm_live_outage *o, bool complete); /* swaps, or drops it */
/* Told of by the store; also while reading anew. */
void dm_live_outage_revoked(struct dm_live_outage *o, dm_view subject, dm_view jti,
                            dm_time expires_wall);
void dm_live_outage_unrevoked(struct dm_live_outage *o, dm_view subject);
/* The mirror holds all that the store knows as of now. Nothing before the first complete load. */
void dm_live_outage_confirm(struct dm_live_outage *o);
/* A mirror read from the last good copy is as old as that copy: monotonic time of its truth. */
void dm_live_outage_date(struct dm_live_outage *o, dm_time as_of);
void dm_live_outage_peers(struct dm_live_outage *o, unsigned n); /* 0 counts as 1 */

/* --- everybody's --- */
void dm_live_outage_look(struct dm_live_outage *o, dm_view subject, dm_view jti,
                         struct dm_live_outlook *ret);
/* Nobody takes the revocation of a single token back, so the mirror may say yes at any age. */
bool dm_live_outage_token_revoked(struct dm_live_outage *o, dm_view subject, dm_view jti);
void dm_live_outage_admit(struct dm_live_outage *o, const struct dm_admit_ask *ask,
                          struct dm_admit_answer *ret);
void dm_live_outage_add_bandwidth(struct dm_live_outage *o, dm_view subject, int64_t window_seconds,
                                  int64_t bytes);
