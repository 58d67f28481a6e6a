/* What is in force: settings, policy and keys, published together so that one request sees one
 * world. The publisher (loader, reload) swaps a pointer; each worker notices at the start of a turn
 * with one atomic load, and lets go of the old world when its last request that pinned it ended. */
#pragma once

#include "crypto/keyset.h"
#include "model/policy.h"
#include "model/settings.h"

struct gw_world { /* immutable, counted */
    _Atomic unsigned refs_;
    uint64_t number_;             /* of this pairing: raised by every publish */
    struct dm_settings *settings; /* never NULL */
    struct dm_keyset *keyset;     /* never NULL */
    struct dm_policy *policy; /* NULL until the first one was loaded: data-plane calls are 503 */
};

struct gw_snapshot_cell; /* any thread */
struct gw_snapshot_cell *gw_snapshot_cell_new(struct dm_settings *s,
                                              struct dm_keyset *k); /* takes refs of its own */
void gw_snapshot_cell_free(struct gw_snapshot_cell *c);             /* after all readers */
void gw_snapshot_publish_policy(struct gw_snapshot_cell *c,
                                struct dm_policy *p); /* takes the reference */
void gw_snapshot_publish_settings(struct gw_snapshot_cell *c, struct dm_settings *s,
                                  struct dm_keyset *k);
uint64_t gw_snapshot_generation(struct gw_snapshot_cell *c); /* of the policy in force; 0: none */

struct gw_snapshot_reader; /* one per worker, its thread only */
struct gw_snapshot_reader *gw_snapshot_reader_new(struct gw_snapshot_cell *c);
void gw_snapshot_reader_free(struct gw_snapshot_reader *r); /* nothing may be pinned (DM_REQUIRE) */
void gw_snapshot_refresh(struct gw_snapshot_reader *r);     /* at the start of every turn */
const struct gw_world *gw_snapshot_world(struct gw_snapshot_reader *r); /* borrowed for this turn */
const struct gw_world *gw_snapshot_pin(struct gw_snapshot_reader *r);
void gw_snapshot_unpin(struct gw_snapshot_reader *r, const struct gw_world *w);
size_t gw_snapshot_held(
    const struct gw_snapshot_reader *r); /* worlds this worker still holds: 1 when quiet */
