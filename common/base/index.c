#include "base/index.h"

#include "base/assert.h"
#include "base/mem.h"

#include "base/poison.h"

enum { FIRST_SIZE = 16 };

void dm_index_done(struct dm_index *ix)
{
    dm_mem_free(ix->hashes_);
    dm_mem_free(ix->items_);
    *ix = (struct dm_index){0};
}

static void place(struct dm_index *ix, uint32_t hash, void *item)
{
    size_t mask = ix->size_ - 1, at = hash & mask;
    while (ix->items_[at] != NULL)
        at = (at + 1) & mask;
    ix->hashes_[at] = hash;
    ix->items_[at] = item;
}

static void grow(struct dm_index *ix)
{
    struct dm_index old = *ix;
    ix->size_ = old.size_ == 0 ? FIRST_SIZE : old.size_ * 2;
    ix->hashes_ = dm_mem_array(ix->size_, sizeof *ix->hashes_);
    ix->items_ = dm_mem_array(ix->size_, sizeof *ix->items_);
    for (size_t i = 0; i < old.size_; i++) {
        if (old.items_[i] != NULL)
            place(ix, old.hashes_[i], old.items_[i]);
    }
    dm_index_done(&old);
}

void dm_index_put(struct dm_index *ix, uint64_t hash, void *item)
{
    DM_REQUIRE(item != NULL);
    if ((ix->count_ + 1) * 4 > ix->size_ * 3)
        grow(ix);
    place(ix, (uint32_t)hash, item);
    ix->count_++;
}

void *dm_index_find(const struct dm_index *ix, uint64_t hash, dm_index_is_fn is, const void *key)
{
    if (ix->count_ == 0)
        return NULL;
    size_t mask = ix->size_ - 1;
    for (size_t at = (uint32_t)hash & mask; ix->items_[at] != NULL; at = (at + 1) & mask) {
        if (ix->hashes_[at] == (uint32_t)hash && is(ix->items_[at], key))
            return ix->items_[at];
    }
    return NULL;
}

/* Closes the gap by moving back what was pushed past it, so no marks pile up. */
static void close_gap(struct dm_index *ix, size_t gap)
{
    size_t mask = ix->size_ - 1;
    for (size_t at = (gap + 1) & mask; ix->items_[at] != NULL; at = (at + 1) & mask) {
        size_t home = ix->hashes_[at] & mask;
        if (((at - home) & mask) < ((at - gap) & mask))
            continue; /* it would land before its home */
        ix->items_[gap] = ix->items_[at];
        ix->hashes_[gap] = ix->hashes_[at];
        gap = at;
    }
    ix->items_[gap] = NULL;
}

bool dm_index_remove(struct dm_index *ix, uint64_t hash, const void *item)
{
    if (ix->count_ == 0)
        return false;
    size_t mask = ix->size_ - 1;
    for (size_t at = (uint32_t)hash & mask; ix->items_[at] != NULL; at = (at + 1) & mask) {
        if (ix->items_[at] != item)
            continue;
        close_gap(ix, at);
        ix->count_--;
        return true;
    }
    return false;
}
