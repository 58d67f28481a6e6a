#include "codec/base64.h"

#include <string.h>

#include "base/assert.h"

#include "base/poison.h"

/* Digits of an alphabet and, for every byte, which digit it is. */
enum { NO = 0xFF };
struct alphabet {
    char digits[65];
    unsigned char values[256];
};

/* clang-format off */
static const struct alphabet standard = {
    .digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    .values = {
        [0 ... 31] = NO, /* then 16 bytes a line, from ' ' */
        NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, 62, NO, NO, NO, 63,
        52, 53, 54, 55, 56, 57, 58, 59, 60, 61, NO, NO, NO, NO, NO, NO,
        NO, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
        15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, NO, NO, NO, NO, NO,
        NO, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
        41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, NO, NO, NO, NO, NO,
        [128 ... 255] = NO}};

static const struct alphabet url = {
    .digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
    .values = {
        [0 ... 31] = NO, /* then 16 bytes a line, from ' ' */
        NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, 62, NO, NO,
        52, 53, 54, 55, 56, 57, 58, 59, 60, 61, NO, NO, NO, NO, NO, NO,
        NO, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
        15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, NO, NO, NO, NO, 63,
        NO, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
        41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, NO, NO, NO, NO, NO,
        [128 ... 255] = NO}};
/* clang-format on */

static void encode(dm_view in, const struct alphabet *alphabet, bool pad, struct dm_buf *out)
{
    const unsigned char *p = (const unsigned char *)in.ptr;
    size_t left = in.len;
    if (left > SIZE_MAX / 4 * 3 - 3) {
        dm_buf_reserve(out, SIZE_MAX); /* marks the buffer */
        return;
    }
    char *to = dm_buf_reserve(out, (left + 2) / 3 * 4);
    if (to == NULL)
        return;
    char *start = to;
    for (; left >= 3; left -= 3, p += 3) {
        uint32_t bits = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        *to++ = alphabet->digits[bits >> 18];
        *to++ = alphabet->digits[bits >> 12 & 63];
        *to++ = alphabet->digits[bits >> 6 & 63];
        *to++ = alphabet->digits[bits & 63];
    }
    if (left > 0) {
        uint32_t bits = (uint32_t)p[0] << 16 | (left == 2 ? (uint32_t)p[1] << 8 : 0);
        *to++ = alphabet->digits[bits >> 18];
        *to++ = alphabet->digits[bits >> 12 & 63];
        if (left == 2)
            *to++ = alphabet->digits[bits >> 6 & 63];
        for (size_t i = left; pad && i < 3; i++)
            *to++ = '=';
    }
    dm_buf_commit(out, (size_t)(to - start));
}

/* Text without its padding; false when the padding is wrong or missing where it is required. */
static bool strip_padding(dm_view in, bool required, dm_view *ret)
{
    size_t len = in.len;
    while (len > 0 && in.len - len < 2 && in.ptr[len - 1] == '=')
        len--;
    if (len != in.len || required) {
        if (in.len % 4 != 0)
            return false;
    }
    *ret = dm_view_make(in.ptr, len);
    return len % 4 != 1;
}

/* in has no padding and a possible length; out has room for len * 3 / 4. */
static bool decode(dm_view in, const struct alphabet *alphabet, unsigned char *out)
{
    const unsigned char *p = (const unsigned char *)in.ptr;
    size_t left = in.len;
    const unsigned char *value = alphabet->values;
    unsigned bad = 0; /* a byte that is no digit sets a bit over 63 */
    for (; left >= 4; left -= 4, p += 4, out += 3) {
        uint32_t a = value[p[0]], b = value[p[1]], c = value[p[2]], d = value[p[3]];
        bad |= a | b | c | d;
        uint32_t bits = a << 18 | b << 12 | c << 6 | d;
        out[0] = (unsigned char)(bits >> 16);
        out[1] = (unsigned char)(bits >> 8);
        out[2] = (unsigned char)bits;
    }
    if (left >= 2) {
        unsigned a = value[p[0]], b = value[p[1]];
        unsigned c = left == 3 ? value[p[2]] : 0;
        bad |= a | b | c;
        /* Bits left over must be zero, else two texts would stand for the same bytes. */
        if ((left == 2 && (b & 15) != 0) || (left == 3 && (c & 3) != 0))
            return false;
        out[0] = (unsigned char)(a << 2 | b >> 4);
        if (left == 3)
            out[1] = (unsigned char)(b << 4 | c >> 2);
    }
    return bad < 64;
}

static size_t decoded_len(dm_view stripped)
{
    return stripped.len / 4 * 3 + (stripped.len % 4 == 0 ? 0 : stripped.len % 4 - 1);
}

static bool decode_buf(dm_view in, const struct alphabet *alphabet, bool pad_required,
                       struct dm_buf *out)
{
    dm_view text;
    if (!strip_padding(in, pad_required, &text))
        return false;
    size_t len = decoded_len(text);
    char *to = dm_buf_reserve(out, len);
    if (to == NULL || !decode(text, alphabet, (unsigned char *)to))
        return false;
    dm_buf_commit(out, len);
    return true;
}

void dm_base64_encode(dm_view in, struct dm_buf *out)
{
    encode(in, &standard, true, out);
}

void dm_base64url_encode(dm_view in, bool pad, struct dm_buf *out)
{
    encode(in, &url, pad, out);
}

bool dm_base64_decode(dm_view in, struct dm_buf *out)
{
    return decode_buf(in, &standard, true, out);
}

bool dm_base64url_decode(dm_view in, struct dm_buf *out)
{
    return decode_buf(in, &url, false, out);
}

bool dm_base64url_decode_to(dm_view in, unsigned char *out, size_t size, size_t *ret_len)
{
    dm_view text;
    if (!strip_padding(in, false, &text) || decoded_len(text) > size || !decode(text, &url, out))
        return false;
    *ret_len = decoded_len(text);
    return true;
}
