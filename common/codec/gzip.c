#include "codec/gzip.h"

#include <zlib.h>

#include "base/assert.h"

#include "base/poison.h"

enum {
    WINDOW_BITS = 13,  /* 8 KB: JSON repeats itself sooner than that */
    GZIP_WRAPPER = 16, /* zlib: gzip's head and tail instead of its own */
    MEMORY_LEVEL = 6,  /* with the window 64 KB per stream instead of zlib's 256 */
};

struct dm_gzip {
    z_stream z;
};

static void *take(void *arena, unsigned items, unsigned size)
{
    return dm_arena_alloc(arena, (size_t)items * size);
}

static void give(void *arena, void *memory)
{
    (void)arena;
    (void)memory;
}

struct dm_gzip *dm_gzip_new(struct dm_arena *arena, int level)
{
    DM_REQUIRE(level >= Z_BEST_SPEED && level <= Z_BEST_COMPRESSION);
    struct dm_gzip *g = dm_arena_zalloc(arena, sizeof *g);

    if (g == NULL)
        return NULL;
    g->z.zalloc = take;
    g->z.zfree = give;
    g->z.opaque = arena;
    return deflateInit2(&g->z, level, Z_DEFLATED, WINDOW_BITS + GZIP_WRAPPER, MEMORY_LEVEL,
                        Z_DEFAULT_STRATEGY) == Z_OK
               ? g
               : NULL;
}

bool dm_gzip_run(struct dm_gzip *g, enum dm_gzip_mode mode, dm_view *in, char *out, size_t size,
                 size_t *ret_len)
{
    static const int flush[] = {
        [DM_GZIP_MORE] = Z_NO_FLUSH, [DM_GZIP_FLUSH] = Z_SYNC_FLUSH, [DM_GZIP_END] = Z_FINISH};

    DM_REQUIRE(size > 0 && size <= UINT_MAX && in->len <= UINT_MAX);
    g->z.next_in = (Bytef *)(uintptr_t)in->ptr; /* zlib only reads it */
    g->z.avail_in = (uInt)in->len;
    g->z.next_out = (Bytef *)out;
    g->z.avail_out = (uInt)size;
    const int rc = deflate(&g->z, flush[mode]);
    /* Z_BUF_ERROR: there was nothing to do */
    DM_ASSERT(rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR);
    *ret_len = size - g->z.avail_out;
    *in = dm_view_sub(*in, in->len - g->z.avail_in, g->z.avail_in);
    return mode == DM_GZIP_END ? rc == Z_STREAM_END : g->z.avail_in == 0 && g->z.avail_out > 0;
}
