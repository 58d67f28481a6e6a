#include "store/live_names.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/poison.h"

static uint64_t name_hash(dm_view kind, dm_view id)
{
    return dm_view_hash(id, dm_view_hash(kind, 1));
}

void dm_live_names_add(struct dm_live_names *s, dm_view kind, dm_view id)
{
    if (s->n == s->room) {
        s->room = s->room == 0 ? 1024 : 2 * s->room;
        s->hashes = dm_mem_grow(s->hashes, s->room, sizeof *s->hashes);
    }
    s->hashes[s->n++] = name_hash(kind, id);
    s->sorted = false;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

bool dm_live_names_has(struct dm_live_names *s, dm_view kind, dm_view id)
{
    uint64_t hash = name_hash(kind, id);
    if (s->n == 0)
        return false;
    if (!s->sorted)
        qsort(s->hashes, s->n, sizeof *s->hashes, by_number);
    s->sorted = true;
    return bsearch(&hash, s->hashes, s->n, sizeof hash, by_number) != NULL;
}

void dm_live_names_done(struct dm_live_names *s)
{
    dm_mem_free(s->hashes);
    *s = (struct dm_live_names){0};
}
