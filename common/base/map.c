#include "base/map.h"

#include <limits.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#define HASH_FUNCTION(key, len, ret)                                                               \
    ((ret) = (unsigned)dm_view_hash(dm_view_make((const char *)(key), (len)), 0))
#define uthash_malloc(size) dm_mem_alloc(size)
#define uthash_free(ptr, size) dm_mem_free(ptr)
#define uthash_bzero(ptr, size) memset((ptr), 0, (size))
#include <uthash.h>

#include "base/poison.h"

struct entry {
    UT_hash_handle hh;
    void *value;
    char key[];
};

struct dm_map {
    struct entry *head;
    dm_map_free_fn free_value;
};

struct dm_map *dm_map_new(dm_map_free_fn free_value)
{
    struct dm_map *m = DM_NEW(struct dm_map);
    m->free_value = free_value;
    return m;
}

static struct entry *find(const struct dm_map *m, dm_view key)
{
    struct entry *e = NULL;
    const char *bytes = key.len == 0 ? "" : key.ptr;
    DM_REQUIRE(key.len <= UINT_MAX);
    HASH_FIND(hh, m->head, bytes, (unsigned)key.len, e);
    return e;
}

static void drop_value(const struct dm_map *m, void *value)
{
    if (m->free_value != NULL && value != NULL)
        m->free_value(value);
}

static void drop_entry(struct dm_map *m, struct entry *e)
{
    HASH_DELETE(hh, m->head, e);
    drop_value(m, e->value);
    dm_mem_free(e);
}

void dm_map_free(struct dm_map *m)
{
    if (m == NULL)
        return;
    while (m->head != NULL)
        drop_entry(m, m->head);
    dm_mem_free(m);
}

void dm_map_put(struct dm_map *m, dm_view key, void *value)
{
    struct entry *e = find(m, key);
    if (e != NULL) {
        void *old = e->value;
        e->value = value;
        if (old != value)
            drop_value(m, old);
        return;
    }
    e = dm_mem_alloc(sizeof *e + key.len);
    e->value = value;
    if (key.len > 0)
        memcpy(e->key, key.ptr, key.len);
    HASH_ADD_KEYPTR(hh, m->head, e->key, (unsigned)key.len, e);
}

void *dm_map_get(const struct dm_map *m, dm_view key)
{
    const struct entry *e = find(m, key);
    return e == NULL ? NULL : e->value;
}

bool dm_map_remove(struct dm_map *m, dm_view key)
{
    struct entry *e = find(m, key);
    if (e == NULL)
        return false;
    drop_entry(m, e);
    return true;
}

size_t dm_map_count(const struct dm_map *m)
{
    return HASH_COUNT(m->head);
}

void dm_map_each(const struct dm_map *m, dm_map_each_fn fn, void *ctx)
{
    for (const struct entry *e = m->head; e != NULL; e = e->hh.next) {
        if (!fn(ctx, dm_view_make(e->key, e->hh.keylen), e->value))
            return;
    }
}
