/* A set of names of published objects, for whoever publishes everything and then asks what was not
 * among it: 8 bytes a name, whatever its length. Not thread-safe; zero is an empty set. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/view.h"

struct dm_live_names {
    uint64_t *hashes; /* owned */
    size_t n, room;
    bool sorted;
};

void dm_live_names_add(struct dm_live_names *s, dm_view kind, dm_view id);
/* True for every name that was added, and for about one of 2^64 / n that was not. */
bool dm_live_names_has(struct dm_live_names *s, dm_view kind, dm_view id);
void dm_live_names_done(struct dm_live_names *s);
