/* Bump allocator of one request: everything that lives as long as the request comes from here and
 * is freed by one reset. Chunks come from a pool owned by the worker, so the steady state calls no
 * malloc. The cap bounds what one request may hold: past it alloc gives NULL and the request ends
 * with a limit error. One thread. */
#pragma once

#include "base/view.h"

struct dm_arena_pool; /* recycled chunks of one worker */
struct dm_arena_chunk;
struct dm_arena {
    struct dm_arena_pool *pool_;
    struct dm_arena_chunk *head_;
    char *at_, *end_;
    size_t used_, cap_;
};

struct dm_arena_pool *dm_arena_pool_new(size_t chunk_size, size_t keep_chunks);
void dm_arena_pool_free(struct dm_arena_pool *pool);

/* takes no chunk yet */
void dm_arena_init(struct dm_arena *a, struct dm_arena_pool *pool, size_t cap);
/* aligned for any type, NOT zeroed; NULL past cap */
void *dm_arena_alloc(struct dm_arena *a, size_t size);
void *dm_arena_zalloc(struct dm_arena *a, size_t size);
dm_view dm_arena_copy(struct dm_arena *a, dm_view v); /* ptr NULL past the cap */
char *dm_arena_text(struct dm_arena *a, dm_view v);   /* NUL-ended copy */
dm_view dm_arena_fmt(struct dm_arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
size_t dm_arena_used(const struct dm_arena *a);
void dm_arena_reset(struct dm_arena *a); /* gives all chunks back to the pool */
