/* Gzip (RFC 1952) of a stream, in pieces, with all its memory (about 64 KB) from an arena: it ends
 * when the arena does, nothing is freed. For answers to clients: small window, low effort. One
 * thread. */
#pragma once

#include "base/arena.h"

enum dm_gzip_mode {
    DM_GZIP_MORE = 0, /* keeps what it likes */
    DM_GZIP_FLUSH,    /* all input so far can be read from the output */
    DM_GZIP_END       /* no more input follows */
};

struct dm_gzip;
/* level: 1 to 9. NULL: the arena has no room. */
struct dm_gzip *dm_gzip_new(struct dm_arena *arena, int level);
/* Cuts what it read off *in and writes at most `size` bytes to out. True: all of *in was read and
 * the mode is fulfilled; false: out is full, call again with the same mode. */
bool dm_gzip_run(struct dm_gzip *g, enum dm_gzip_mode mode, dm_view *in, char *out, size_t size,
                 size_t *ret_len);
