/* Which objects are published, at which version, and (where they are kept) their projections: what
 * the admin believes to stand in Redis, and what a sidecar has in force. Records are immutable and
 * counted, so other threads may hold them; a table belongs to one thread. */
#pragma once

#include <stdatomic.h>

#include "base/index.h"
#include "store/policy_envelope.h"

struct dm_policy_record {
    _Atomic unsigned refs_;
    uint16_t kind_len_, id_len_;
    bool deleted, packed_;
    uint32_t len, kept_;     /* bytes of the projection: as published, and as they stand here */
    uint64_t version, born_; /* born_: rises from record to record */
    unsigned char sha256[DM_SHA256_LEN];
    char text_[];
};
/* payload is copied, packed where it is of the snapshot; DM_VIEW_NONE: not kept. */
struct dm_policy_record *dm_policy_record_new(const struct dm_policy_entry *e, dm_view payload);
struct dm_policy_record *dm_policy_record_ref(struct dm_policy_record *r);
void dm_policy_record_unref(struct dm_policy_record *r);
struct dm_policy_entry dm_policy_record_entry(const struct dm_policy_record *r); /* borrowed */
/* Appends the projection to `room`; a view of it there, good until the next append that grows. */
dm_view dm_policy_record_payload(const struct dm_policy_record *r, struct dm_buf *room);
/* The same object at the same version with the same content. */
bool dm_policy_record_same(const struct dm_policy_record *a, const struct dm_policy_record *b);

struct dm_policy_table { /* zeroed is empty */
    struct dm_index index_;
};
void dm_policy_table_done(struct dm_policy_table *t);
struct dm_policy_record *dm_policy_table_get(const struct dm_policy_table *t, dm_view kind,
                                             dm_view id); /* or NULL */
/* Takes the reference; replaces what stood there. */
void dm_policy_table_put(struct dm_policy_table *t, struct dm_policy_record *r);
void dm_policy_table_remove(struct dm_policy_table *t, dm_view kind, dm_view id);
size_t dm_policy_table_count(const struct dm_policy_table *t);
/* All records in the order in which they were made, so that what is told comes in the order in
 * which it was published; the array is the caller's, the references are not. */
struct dm_policy_record **dm_policy_table_all(const struct dm_policy_table *t);
/* Every entry of a list, without projections, the later of two winning; deleted ones stay as
 * such. False: the list is not of its form, or holds too many. */
bool dm_policy_table_merge(struct dm_policy_table *t, dm_view list);
