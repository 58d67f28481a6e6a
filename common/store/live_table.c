#include "store/live_table.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "store/live_keys.h"

#include "base/poison.h"

enum {
    BLOCK = 256, /* entries that come from the heap at once: 32 KB */
    BUCKETS =
        1 << 16,    /* 256 KB, touched as it fills; chains stay below 4 at the largest cap in use */
    SWEEP_STEP = 8, /* per call; a call adds at most 8 entries, most add none */
    SWEEP_FULL = 2048 /* per call while there is no room: the price of a full table, about 20 us */
};

struct dm_live_table {
    size_t cap, count, made; /* made: entries in blocks so far */
    uint32_t free, *buckets;
    size_t cursor, n_blocks;
    struct dm_live_entry **blocks;
};

struct dm_live_table *dm_live_table_new(size_t cap)
{
    struct dm_live_table *t = DM_NEW(struct dm_live_table);
    t->cap = cap;
    t->buckets = dm_mem_array(BUCKETS, sizeof *t->buckets);
    return t;
}

static struct dm_live_entry *at(const struct dm_live_table *t, size_t index)
{
    return &t->blocks[index / BLOCK][index % BLOCK];
}

void dm_live_table_free(struct dm_live_table *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->made; i++)
        dm_mem_free(at(t, i)->long_key_);
    for (size_t i = 0; i < t->n_blocks; i++)
        dm_mem_free(t->blocks[i]);
    dm_mem_free(t->blocks);
    dm_mem_free(t->buckets);
    dm_mem_free(t);
}

static dm_view key_of(const struct dm_live_entry *e)
{
    return dm_view_make(e->key_len_ <= DM_LIVE_INLINE_KEY ? e->key_ : e->long_key_, e->key_len_);
}

struct dm_live_entry *dm_live_table_get(const struct dm_live_table *t, dm_view key, dm_time now)
{
    uint64_t hash = dm_view_hash(key, 0);
    for (uint32_t i = t->buckets[hash % BUCKETS]; i != 0;) {
        struct dm_live_entry *e = at(t, i - 1);
        if (e->hash_ == hash && dm_view_eq(key_of(e), key))
            return e->expires > now ? e : NULL;
        i = e->next_;
    }
    return NULL;
}

static uint32_t take_free(struct dm_live_table *t)
{
    if (t->free != 0) {
        uint32_t index = t->free;
        t->free = at(t, index - 1)->next_;
        return index;
    }
    if (t->made == t->cap)
        return 0;
    if (t->made == t->n_blocks * BLOCK) {
        t->blocks = dm_mem_grow(t->blocks, t->n_blocks + 1, sizeof(struct dm_live_entry *));
        t->blocks[t->n_blocks++] = dm_mem_array(BLOCK, sizeof(struct dm_live_entry));
    }
    return (uint32_t)++t->made;
}

static void set_key(struct dm_live_entry *e, dm_view key)
{
    DM_REQUIRE(key.len > 0 && key.len <= DM_LIVE_KEY_MAX);
    bool is_long = key.len > DM_LIVE_INLINE_KEY;
    if (is_long && e->long_key_ == NULL)
        e->long_key_ = dm_mem_alloc(DM_LIVE_KEY_MAX);
    e->key_len_ = (uint16_t)key.len;
    memcpy(is_long ? e->long_key_ : e->key_, key.ptr, key.len);
}

void dm_live_table_remove(struct dm_live_table *t, struct dm_live_entry *e)
{
    uint32_t *link = &t->buckets[e->hash_ % BUCKETS];
    while (at(t, *link - 1) != e)
        link = &at(t, *link - 1)->next_;
    uint32_t index = *link;
    *link = e->next_;
    e->used_ = false;
    e->next_ = t->free;
    t->free = index;
    t->count--;
}

struct dm_live_entry *dm_live_table_add(struct dm_live_table *t, dm_view key, uint8_t family,
                                        dm_time expires, dm_time now)
{
    uint64_t hash = dm_view_hash(key, 0);
    uint32_t *bucket = &t->buckets[hash % BUCKETS];
    for (uint32_t i = *bucket; i != 0; i = at(t, i - 1)->next_) {
        struct dm_live_entry *old = at(t, i - 1); /* an expired one that no sweep has met */
        if (old->hash_ == hash && dm_view_eq(key_of(old), key)) {
            DM_REQUIRE(old->expires <= now);
            dm_live_table_remove(t, old);
            break;
        }
    }
    uint32_t index = take_free(t);
    if (index == 0)
        return NULL;
    struct dm_live_entry *e = at(t, index - 1);
    set_key(e, key);
    e->hash_ = hash;
    e->family = family;
    e->expires = expires;
    e->value = 0;
    e->used_ = true;
    e->next_ = *bucket;
    *bucket = index;
    t->count++;
    return e;
}

void dm_live_table_remove_family(struct dm_live_table *t, uint8_t family)
{
    for (size_t i = 0; i < t->made; i++) {
        struct dm_live_entry *e = at(t, i);
        if (e->used_ && e->family == family)
            dm_live_table_remove(t, e);
    }
}

bool dm_live_table_sweep(struct dm_live_table *t, size_t room, dm_time now)
{
    size_t steps = t->count + room > t->cap ? SWEEP_FULL : SWEEP_STEP;
    for (; steps > 0 && t->made > 0; steps--) {
        t->cursor = (t->cursor + 1) % t->made;
        struct dm_live_entry *e = at(t, t->cursor);
        if (e->used_ && e->expires <= now)
            dm_live_table_remove(t, e);
    }
    return t->count + room <= t->cap;
}

size_t dm_live_table_count(const struct dm_live_table *t)
{
    return t->count;
}
