/* Strings between JSON's escaped form and plain bytes. For the files of codec/json and for readers
 * of scanner tokens. Pure. */
#pragma once

#include "base/buf.h"

/* Writes the unescaped bytes of a name or string that the scanner accepted (never longer than raw)
 * and gives their count. */
size_t dm_json_unescape(dm_view raw, char *out);

/* NUL-ended copy; bytes that are no UTF-8, and zero bytes, become U+FFFD. The caller frees. */
char *dm_json_clean_text(dm_view v);

/* Value of the four hex digits at p, -1 when they are none. */
int32_t dm_json_hex4(const char *p, const char *end);
static inline bool dm_json_is_high(int32_t unit) /* first half of a surrogate pair */
{
    return unit >= 0xD800 && unit <= 0xDBFF;
}
static inline bool dm_json_is_low(int32_t unit)
{
    return unit >= 0xDC00 && unit <= 0xDFFF;
}
