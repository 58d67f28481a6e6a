/* zlib's format (RFC 1950), whole texts, with a bound on what comes out. Pure; any thread. */
#pragma once

#include "base/buf.h"

/* Appends. The cap must leave room for the worst case: the text, a thousandth of it, 64 bytes. */
void dm_deflate(dm_view in, struct dm_buf *out);
/* Appends exactly `len` bytes; false when the text is no such stream, is cut, or holds another
 * length (whatever it claims, no more than `len` bytes are written). */
bool dm_inflate(dm_view in, size_t len, struct dm_buf *out);
