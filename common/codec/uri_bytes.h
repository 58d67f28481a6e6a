/* Classes of bytes in URIs (RFC 3986 §2, §3.3). For the files of codec/uri. Pure. */
#pragma once

#include <stdbool.h>
#include <string.h>

static inline bool dm_uri_is_alnum(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* What a path segment may hold unescaped: unreserved, sub-delims, ":" and "@". */
static inline bool dm_uri_is_pchar(unsigned char c)
{
    return dm_uri_is_alnum(c) || (c != '\0' && strchr("-._~!$&'()*+,;=:@", c) != NULL);
}
