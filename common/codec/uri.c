#include "codec/uri.h"

#include <string.h>

#include "base/assert.h"
#include "codec/uri_bytes.h"

#include "base/poison.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The byte that "%xy" at v[at] stands for, -1 when it is none. */
static int escaped_byte(dm_view v, size_t at)
{
    if (v.len - at < 3)
        return -1;
    int high = hex_value(v.ptr[at + 1]);
    int low = hex_value(v.ptr[at + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Decodes into out (room for in.len). SIZE_MAX on a bad escape. */
static size_t decode(dm_view in, bool plus_is_space, char *out)
{
    size_t len = 0;
    for (size_t at = 0; at < in.len; at++) {
        int byte = (unsigned char)in.ptr[at];
        if (byte == '%') {
            byte = escaped_byte(in, at);
            if (byte < 0)
                return SIZE_MAX;
            at += 2;
        } else if (byte == '+' && plus_is_space) {
            byte = ' ';
        }
        out[len++] = (char)byte;
    }
    return len;
}

bool dm_uri_decode(dm_view in, bool plus_is_space, struct dm_buf *out)
{
    char *to = dm_buf_reserve(out, in.len);
    if (to == NULL)
        return false;
    size_t len = decode(in, plus_is_space, to);
    if (len == SIZE_MAX || dm_view_find_byte(dm_view_make(to, len), '\0', 0) != len)
        return false;
    dm_buf_commit(out, len);
    return true;
}

void dm_uri_encode_segment(dm_view segment, struct dm_buf *out)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t from = 0;
    for (size_t at = 0; at < segment.len; at++) {
        unsigned char c = (unsigned char)segment.ptr[at];
        if (dm_uri_is_pchar(c))
            continue;
        char escape[3] = {'%', hex[c >> 4], hex[c & 15]};
        dm_buf_add(out, dm_view_sub(segment, from, at - from));
        dm_buf_add(out, dm_view_make(escape, sizeof(escape)));
        from = at + 1;
    }
    dm_buf_add(out, dm_view_sub(segment, from, SIZE_MAX));
}

/* "." and "..", also before a ";": some servers cut path parameters off first and climb then. */
static bool is_dots(dm_view segment)
{
    dm_view name = dm_view_sub(segment, 0, dm_view_find_byte(segment, ';', 0));
    return dm_view_eq(name, DM_LIT(".")) || dm_view_eq(name, DM_LIT(".."));
}

/* gateway.md §6.1. Bytes that are no UTF-8 too: overlong "." and "/" are an old way past checks. */
static bool segment_allowed(dm_view segment)
{
    if (is_dots(segment) || !dm_utf8_valid(segment))
        return false;
    for (size_t i = 0; i < segment.len; i++) {
        unsigned char c = (unsigned char)segment.ptr[i];
        if (c < 0x20 || c == 0x7F || c == '/' || c == '?' || c == '#' || c == '\\')
            return false;
    }
    return true;
}

static enum dm_code take_segment(dm_view raw, struct dm_arena *arena, struct dm_target *t)
{
    dm_view segment = raw;
    if (t->n_segments == DM_URI_SEGMENTS_MAX)
        return DM_INVALID;
    if (dm_view_find_byte(raw, '%', 0) != raw.len) {
        char *text = dm_arena_alloc(arena, raw.len);
        if (text == NULL)
            return DM_LIMIT;
        size_t len = decode(raw, false, text);
        if (len == SIZE_MAX)
            return DM_INVALID;
        segment = dm_view_make(text, len);
    }
    if (!segment_allowed(segment))
        return DM_INVALID;
    t->segments[t->n_segments++] = segment;
    return DM_OK;
}

static enum dm_code take_path(dm_view path, struct dm_arena *arena, struct dm_target *t)
{
    dm_view rest = path, piece;
    while (dm_view_split(&rest, '/', &piece)) {
        enum dm_code code = piece.len == 0 ? DM_OK : take_segment(piece, arena, t);
        if (code != DM_OK)
            return code;
    }
    return DM_OK;
}

/* Cuts "http://authority" off an absolute-form target (RFC 9112 §3.2.2). */
static bool take_authority(dm_view *target, dm_view *ret_authority)
{
    size_t colon = dm_view_find_byte(*target, ':', 0);
    dm_view scheme = dm_view_sub(*target, 0, colon);
    if (!dm_view_eq_nocase(scheme, DM_LIT("http")) && !dm_view_eq_nocase(scheme, DM_LIT("https")))
        return false;
    dm_view rest = dm_view_sub(*target, colon + 1, SIZE_MAX);
    if (!dm_view_starts(rest, DM_LIT("//")))
        return false;
    rest = dm_view_sub(rest, 2, SIZE_MAX);
    size_t end = 0;
    while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')
        end++;
    *ret_authority = dm_view_sub(rest, 0, end);
    *target = dm_view_sub(rest, end, SIZE_MAX);
    return dm_host_valid(*ret_authority); /* which has no place for user-info */
}

enum dm_code dm_target_parse(dm_view target, struct dm_arena *arena, struct dm_target *ret,
                             dm_view *ret_authority)
{
    dm_view authority = dm_view_make("", 0);
    DM_REQUIRE(arena != NULL && ret != NULL);
    for (size_t i = 0; i < target.len; i++) {
        unsigned char c = (unsigned char)target.ptr[i];
        if (c <= 0x20 || c >= 0x7F || c == '#') /* RFC 9112 §3.2: no fragment, ASCII only */
            return DM_INVALID;
    }
    if (target.len == 0 || (target.ptr[0] != '/' && !take_authority(&target, &authority)))
        return DM_INVALID;
    size_t mark = dm_view_find_byte(target, '?', 0);
    dm_view path = dm_view_sub(target, 0, mark);
    ret->raw_path = path.len == 0 ? DM_LIT("/") : path;
    ret->raw_query = mark == target.len ? DM_VIEW_NONE : dm_view_sub(target, mark + 1, SIZE_MAX);
    ret->n_segments = 0;
    enum dm_code code = take_path(ret->raw_path, arena, ret);
    if (code != DM_OK)
        return code;
    ret->trailing_slash = ret->n_segments > 0 && dm_view_ends(ret->raw_path, DM_LIT("/"));
    if (ret_authority != NULL)
        *ret_authority = authority;
    return DM_OK;
}

void dm_target_write_path(const struct dm_target *t, size_t from, struct dm_buf *out)
{
    if (from >= t->n_segments)
        dm_buf_add_byte(out, '/');
    for (size_t i = from; i < t->n_segments; i++) {
        dm_buf_add_byte(out, '/');
        dm_uri_encode_segment(t->segments[i], out);
    }
}

/* Whether the raw parameter name stands for `name`. Names asked for are short and known. */
static bool name_is(dm_view raw, dm_view name)
{
    enum { NAME_MAX_RAW = 3 * 64 }; /* a name of 64 bytes with every byte escaped */
    char text[NAME_MAX_RAW];
    if (dm_view_eq(raw, name))
        return true;
    if (raw.len > sizeof(text) || raw.len < name.len)
        return false;
    size_t len = decode(raw, true, text);
    return len != SIZE_MAX && dm_view_eq(dm_view_make(text, len), name);
}

bool dm_query_get(dm_view raw_query, dm_view name, struct dm_buf *out)
{
    dm_view rest = raw_query, pair;
    while (dm_view_split(&rest, '&', &pair)) {
        size_t equals = dm_view_find_byte(pair, '=', 0);
        if (name_is(dm_view_sub(pair, 0, equals), name))
            return dm_uri_decode(dm_view_sub(pair, equals + 1, SIZE_MAX), true, out);
    }
    return false;
}
