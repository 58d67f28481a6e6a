/* Free list of equal blocks, so that a steady flow of requests allocates nothing. Blocks are not
 * cleared. Under AddressSanitizer nothing is kept, so a use after give is reported. One thread. */
#pragma once

#include "base/mem.h"

struct dm_slab {
    void *first_;
    size_t size_, kept_, keep_;
};

void dm_slab_init(struct dm_slab *s, size_t size, size_t keep);
void *dm_slab_take(struct dm_slab *s);
void dm_slab_give(struct dm_slab *s, void *block); /* NULL is fine */
void dm_slab_done(struct dm_slab *s);
