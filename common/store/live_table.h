/* Table of expiring numbers under short keys: counters and revocations of the memory backend.
 * Entries are recycled, expired ones swept a few at a time, so the steady state calls no malloc and
 * no turn pays for all; bounded. One thread. */
#pragma once

#include "base/clock.h"

enum { DM_LIVE_INLINE_KEY = 88 }; /* holds every key of a user name of up to 50 bytes */

struct dm_live_entry {
    uint32_t next_; /* in its bucket, or in the free list; index + 1, 0 ends */
    uint16_t key_len_;
    bool used_;
    uint8_t family; /* the caller's */
    uint64_t hash_;
    dm_time expires; /* wall; DM_NEVER */
    int64_t value;
    char *long_key_; /* kept when recycled */
    char key_[DM_LIVE_INLINE_KEY];
};

struct dm_live_table;
struct dm_live_table *dm_live_table_new(size_t cap);
void dm_live_table_free(struct dm_live_table *t);
/* NULL when absent or expired. Entries stay where they are until removed or swept. */
struct dm_live_entry *dm_live_table_get(const struct dm_live_table *t, dm_view key, dm_time now);
/* The key must not be there; NULL when the table is full. */
struct dm_live_entry *dm_live_table_add(struct dm_live_table *t, dm_view key, uint8_t family,
                                        dm_time expires, dm_time now);
void dm_live_table_remove(struct dm_live_table *t, struct dm_live_entry *e);
void dm_live_table_remove_family(struct dm_live_table *t, uint8_t family);
/* Looks at a few entries and drops what expired; true when at least `room` entries can be added. */
bool dm_live_table_sweep(struct dm_live_table *t, size_t room, dm_time now);
size_t dm_live_table_count(const struct dm_live_table *t);
