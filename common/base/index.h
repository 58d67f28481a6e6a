/* Hash index over items that hold their own key: open addressing, about 20 bytes an item, so that
 * tens of thousands of small records cost little more than their bytes. The caller hashes and
 * compares. Embedded; zeroed is empty. One thread, or under its owner's lock. */
#pragma once

#include "base/view.h"

struct dm_index {
    uint32_t
        *hashes_;  /* low half of the hash, beside items_ so that a probe rarely touches an item */
    void **items_; /* NULL: free */
    size_t size_, count_;
};

typedef bool (*dm_index_is_fn)(const void *item, const void *key);

void dm_index_done(struct dm_index *ix); /* the items stay their owner's */
/* item must not be in it yet. */
void dm_index_put(struct dm_index *ix, uint64_t hash, void *item);
void *dm_index_find(const struct dm_index *ix, uint64_t hash, dm_index_is_fn is, const void *key);
bool dm_index_remove(struct dm_index *ix, uint64_t hash, const void *item);
static inline size_t dm_index_count(const struct dm_index *ix)
{
    return ix->count_;
}
/* The n-th place: its item, or NULL; n up to dm_index_places. The index must not change meanwhile.
 */
static inline size_t dm_index_places(const struct dm_index *ix)
{
    return ix->size_;
}
static inline void *dm_index_at(const struct dm_index *ix, size_t n)
{
    return ix->items_[n];
}
