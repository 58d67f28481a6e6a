/* Hash table from byte keys to pointers, over uthash with a keyed hash (client-filled tables cannot
 * be made to collide). Keys are copied; values are borrowed unless a free function is given. One
 * thread, or immutable after building: dm_map_get is safe from any number of readers. */
#pragma once

#include "base/view.h"

struct dm_map;
typedef void (*dm_map_free_fn)(void *value);

struct dm_map *dm_map_new(dm_map_free_fn free_value); /* NULL: values are borrowed */
void dm_map_free(struct dm_map *m);
/* replaces (and frees) an earlier value */
void dm_map_put(struct dm_map *m, dm_view key, void *value);
void *dm_map_get(const struct dm_map *m, dm_view key);       /* NULL when absent */
bool dm_map_remove(struct dm_map *m, dm_view key);
size_t dm_map_count(const struct dm_map *m);
/* Calls fn for each entry in order of insertion; false from fn stops. The table must not change. */
typedef bool (*dm_map_each_fn)(void *ctx, dm_view key, void *value);
void dm_map_each(const struct dm_map *m, dm_map_each_fn fn, void *ctx);
