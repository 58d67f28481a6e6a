#include "codec/json_text.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "codec/json.h"

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

int32_t dm_json_hex4(const char *p, const char *end)
{
    if (end - p < 4)
        return -1;
    int32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(p[i]);
        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

static size_t put_utf8(int32_t point, char *out)
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (char)(0xC0 | (point >> 6));
        out[1] = (char)(0x80 | (point & 0x3F));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (char)(0xE0 | (point >> 12));
        out[1] = (char)(0x80 | ((point >> 6) & 0x3F));
        out[2] = (char)(0x80 | (point & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | (point >> 18));
    out[1] = (char)(0x80 | ((point >> 12) & 0x3F));
    out[2] = (char)(0x80 | ((point >> 6) & 0x3F));
    out[3] = (char)(0x80 | (point & 0x3F));
    return 4;
}

static char simple_escape(char c)
{
    switch (c) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default: /* quote, backslash, slash stand for themselves */
        return c;
    }
}

/* p stands behind "\u" of a checked escape. Gives its end. */
static const char *unescape_point(const char *p, const char *end, char **to)
{
    int32_t point = dm_json_hex4(p, end);
    DM_ASSERT(point > 0);
    p += 4;
    if (dm_json_is_high(point)) {
        int32_t low = end - p >= 6 ? dm_json_hex4(p + 2, end) : -1;
        DM_ASSERT(dm_json_is_low(low));
        point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
        p += 6;
    }
    *to += put_utf8(point, *to);
    return p;
}

size_t dm_json_unescape(dm_view raw, char *out)
{
    const char *p = raw.ptr;
    const char *end = p + raw.len;
    char *to = out;
    while (p < end) {
        if (*p != '\\') {
            *to++ = *p++;
            continue;
        }
        p++;
        DM_ASSERT(p < end);
        if (*p == 'u')
            p = unescape_point(p + 1, end, &to);
        else
            *to++ = simple_escape(*p++);
    }
    return (size_t)(to - out);
}

static void write_escape(unsigned char c, struct dm_buf *out)
{
    static const char hex[] = "0123456789abcdef";
    switch (c) {
    case '"':
        dm_buf_add(out, DM_LIT("\\\""));
        return;
    case '\\':
        dm_buf_add(out, DM_LIT("\\\\"));
        return;
    case '\b':
        dm_buf_add(out, DM_LIT("\\b"));
        return;
    case '\f':
        dm_buf_add(out, DM_LIT("\\f"));
        return;
    case '\n':
        dm_buf_add(out, DM_LIT("\\n"));
        return;
    case '\r':
        dm_buf_add(out, DM_LIT("\\r"));
        return;
    case '\t':
        dm_buf_add(out, DM_LIT("\\t"));
        return;
    default: {
        char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        dm_buf_add(out, dm_view_make(text, sizeof(text)));
        return;
    }
    }
}

/* Length of the UTF-8 sequence at v[at], 0 when it is none. */
static size_t sequence_len(dm_view v, size_t at)
{
    unsigned char lead = (unsigned char)v.ptr[at];
    size_t len = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (len > v.len - at || !dm_utf8_valid(dm_view_make(v.ptr + at, len)))
        return 0;
    return len;
}

#define REPLACEMENT DM_LIT("\xEF\xBF\xBD") /* U+FFFD */

char *dm_json_clean_text(dm_view v)
{
    struct dm_buf b;
    if (dm_utf8_valid(v) && dm_view_find_byte(v, '\0', 0) == v.len)
        return dm_mem_text(v);
    DM_REQUIRE(v.len < SIZE_MAX / 3);
    dm_buf_init(&b, 3 * v.len);
    for (size_t at = 0; at < v.len;) {
        bool ascii = (unsigned char)v.ptr[at] < 0x80;
        size_t len = ascii ? v.ptr[at] != '\0' : sequence_len(v, at);
        dm_buf_add(&b, len == 0 ? REPLACEMENT : dm_view_sub(v, at, len));
        at += len == 0 ? 1 : len;
    }
    return dm_buf_take(&b, NULL);
}

void dm_json_write_str(dm_view v, struct dm_buf *out)
{
    bool valid = dm_utf8_valid(v);
    size_t from = 0; /* first byte not yet written */
    size_t at = 0;
    dm_buf_add_byte(out, '"');
    while (at < v.len) {
        unsigned char c = (unsigned char)v.ptr[at];
        size_t len = 1;
        if (c >= 0x80 && !valid)
            len = sequence_len(v, at);
        if (len != 0 && c >= 0x20 && c != '"' && c != '\\') {
            at += len;
            continue;
        }
        dm_buf_add(out, dm_view_sub(v, from, at - from));
        if (len == 0)
            dm_buf_add(out, REPLACEMENT); /* for a byte that is no UTF-8 */
        else
            write_escape(c, out);
        from = ++at;
    }
    dm_buf_add(out, dm_view_sub(v, from, SIZE_MAX));
    dm_buf_add_byte(out, '"');
}
