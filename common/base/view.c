#include "base/view.h"

#include <string.h>

#include "base/poison.h"

static unsigned char lower(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 'A' && u <= 'Z' ? (unsigned char)(u + ('a' - 'A')) : u;
}

dm_view dm_view_of(const char *cstr)
{
    return cstr == NULL ? DM_VIEW_NONE : dm_view_make(cstr, strlen(cstr));
}

bool dm_view_eq(dm_view a, dm_view b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool dm_view_eq_nocase(dm_view a, dm_view b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    }
    return true;
}

bool dm_view_starts(dm_view v, dm_view prefix)
{
    return v.len >= prefix.len && dm_view_eq(dm_view_make(v.ptr, prefix.len), prefix);
}

bool dm_view_ends(dm_view v, dm_view suffix)
{
    return v.len >= suffix.len &&
           dm_view_eq(dm_view_sub(v, v.len - suffix.len, suffix.len), suffix);
}

int dm_view_cmp(dm_view a, dm_view b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common == 0 ? 0 : memcmp(a.ptr, b.ptr, common);
    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

size_t dm_view_find_byte(dm_view v, char byte, size_t from)
{
    if (from >= v.len)
        return v.len;
    const char *hit = memchr(v.ptr + from, byte, v.len - from);
    return hit == NULL ? v.len : (size_t)(hit - v.ptr);
}

size_t dm_view_find(dm_view v, dm_view needle)
{
    if (needle.len == 0)
        return 0;
    if (needle.len > v.len)
        return v.len;
    const char *hit = memmem(v.ptr, v.len, needle.ptr, needle.len);
    return hit == NULL ? v.len : (size_t)(hit - v.ptr);
}

dm_view dm_view_sub(dm_view v, size_t from, size_t len)
{
    if (v.ptr == NULL)
        return v;
    if (from > v.len)
        from = v.len;
    if (len > v.len - from)
        len = v.len - from;
    return dm_view_make(v.ptr + from, len);
}

dm_view dm_view_trim(dm_view v)
{
    while (v.len > 0 && (v.ptr[0] == ' ' || v.ptr[0] == '\t')) {
        v.ptr++;
        v.len--;
    }
    while (v.len > 0 && (v.ptr[v.len - 1] == ' ' || v.ptr[v.len - 1] == '\t'))
        v.len--;
    return v;
}

bool dm_view_split(dm_view *rest, char sep, dm_view *ret_piece)
{
    if (rest->ptr == NULL)
        return false;
    size_t at = dm_view_find_byte(*rest, sep, 0);
    *ret_piece = dm_view_sub(*rest, 0, at);
    /* "a," has two pieces, the second one empty; only after it is the rest exhausted */
    *rest = at == rest->len ? DM_VIEW_NONE : dm_view_make(rest->ptr + at + 1, rest->len - at - 1);
    return true;
}
