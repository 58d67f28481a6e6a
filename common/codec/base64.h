/* Base64 and base64url (RFC 4648 §4, §5). Decoding is strict: no blanks, no bits left over, padding
 * either absent or right (url) / required (standard). Pure. */
#pragma once

#include "base/buf.h"

void dm_base64_encode(dm_view in, struct dm_buf *out); /* padded */
void dm_base64url_encode(dm_view in, bool pad, struct dm_buf *out);
bool dm_base64_decode(dm_view in, struct dm_buf *out);
bool dm_base64url_decode(dm_view in, struct dm_buf *out);
/* Into a caller's array, for the hot path; false when bad or larger than size. */
bool dm_base64url_decode_to(dm_view in, unsigned char *out, size_t size, size_t *ret_len);
