#include "base/view.h"

#include "base/poison.h"

/* Well-formed as in RFC 3629 §4. */
size_t dm_utf8_step(dm_view v, size_t at)
{
    const unsigned char *p = (const unsigned char *)v.ptr + at;
    size_t left = v.len - at;
    size_t len;
    unsigned char low = 0x80, high = 0xBF; /* what the second byte may be */

    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xC2 && p[0] <= 0xDF) { /* C0, C1 would be overlong */
        len = 2;
    } else if (p[0] >= 0xE0 && p[0] <= 0xEF) {
        len = 3;
        if (p[0] == 0xE0)
            low = 0xA0; /* below: overlong */
        if (p[0] == 0xED)
            high = 0x9F; /* above: surrogates */
    } else if (p[0] >= 0xF0 && p[0] <= 0xF4) {
        len = 4;
        if (p[0] == 0xF0)
            low = 0x90;
        if (p[0] == 0xF4)
            high = 0x8F; /* above: over U+10FFFF */
    } else {
        return 0;
    }
    if (left < len || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    }
    return len;
}

bool dm_utf8_valid(dm_view v)
{
    for (size_t at = 0; at < v.len;) {
        size_t len = dm_utf8_step(v, at);
        if (len == 0)
            return false;
        at += len;
    }
    return true;
}

static bool starts_point(char byte)
{
    return ((unsigned char)byte & 0xC0) != 0x80;
}

size_t dm_utf8_count(dm_view v)
{
    size_t n = 0;
    for (size_t i = 0; i < v.len; i++)
        n += starts_point(v.ptr[i]);
    return n;
}

dm_view dm_utf8_cut(dm_view v, size_t max_points)
{
    size_t n = 0;
    for (size_t i = 0; i < v.len; i++) {
        if (starts_point(v.ptr[i]) && n++ == max_points)
            return dm_view_sub(v, 0, i);
    }
    return v;
}
