#include "codec/deflate.h"

#include <zlib.h>

#include "base/assert.h"

#include "base/poison.h"

void dm_deflate(dm_view in, struct dm_buf *out)
{
    uLong most = compressBound((uLong)in.len);
    char *room = dm_buf_reserve(out, most);
    if (room == NULL)
        return; /* marked: dm_buf_ok tells */
    DM_ASSERT(compress2((Bytef *)room, &most, (const Bytef *)in.ptr, (uLong)in.len,
                        Z_DEFAULT_COMPRESSION) == Z_OK);
    dm_buf_commit(out, most);
}

bool dm_inflate(dm_view in, size_t len, struct dm_buf *out)
{
    uLongf written = (uLongf)len;
    uLong read = (uLong)in.len;
    char none;
    char *room = len == 0 ? &none : dm_buf_reserve(out, len);
    if (room == NULL)
        return false;
    if (uncompress2((Bytef *)room, &written, (const Bytef *)in.ptr, &read) != Z_OK ||
        written != len || read != in.len)
        return false;
    if (len > 0)
        dm_buf_commit(out, len);
    return true;
}
