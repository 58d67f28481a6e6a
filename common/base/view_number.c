#include "base/view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/poison.h"

/* Longest decimal fraction taken: more digits than a double holds say nothing more, and the bytes
 * are copied to the stack. */
enum { NUMBER_TEXT_MAX = 512 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int hex_digit(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool dm_parse_u64(dm_view v, uint64_t max, uint64_t *ret)
{
    uint64_t n = 0;
    if (v.len == 0)
        return false;
    for (size_t i = 0; i < v.len; i++) {
        if (!is_digit(v.ptr[i]) || __builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(v.ptr[i] - '0'), &n))
            return false;
    }
    if (n > max)
        return false;
    *ret = n;
    return true;
}

bool dm_parse_i64(dm_view v, int64_t min, int64_t max, int64_t *ret)
{
    bool negative = v.len > 0 && v.ptr[0] == '-';
    uint64_t size;
    /* the magnitude of INT64_MIN is one more than INT64_MAX */
    if (!dm_parse_u64(negative ? dm_view_sub(v, 1, v.len) : v, (uint64_t)INT64_MAX + negative,
                      &size))
        return false;
    int64_t n = negative ? (int64_t)(0 - size) : (int64_t)size;
    if (n < min || n > max)
        return false;
    *ret = n;
    return true;
}

bool dm_parse_hex_u64(dm_view v, uint64_t max, uint64_t *ret)
{
    uint64_t n = 0;
    if (v.len == 0)
        return false;
    for (size_t i = 0; i < v.len; i++) {
        int digit = hex_digit(v.ptr[i]);
        if (digit < 0 || n >> 60 != 0)
            return false;
        n = n << 4 | (uint64_t)digit;
    }
    if (n > max)
        return false;
    *ret = n;
    return true;
}

/* Skips digits from *at; false when there is none. */
static bool skip_digits(dm_view v, size_t *at)
{
    size_t start = *at;
    while (*at < v.len && is_digit(v.ptr[*at]))
        (*at)++;
    return *at > start;
}

static bool is_decimal(dm_view v)
{
    size_t at = v.len > 0 && v.ptr[0] == '-' ? 1 : 0;
    if (!skip_digits(v, &at))
        return false;
    if (at < v.len && v.ptr[at] == '.') {
        at++;
        if (!skip_digits(v, &at))
            return false;
    }
    if (at < v.len && (v.ptr[at] == 'e' || v.ptr[at] == 'E')) {
        at++;
        if (at < v.len && (v.ptr[at] == '+' || v.ptr[at] == '-'))
            at++;
        if (!skip_digits(v, &at))
            return false;
    }
    return at == v.len;
}

bool dm_parse_f64(dm_view v, double *ret)
{
    char text[NUMBER_TEXT_MAX];
    if (v.len >= sizeof text || !is_decimal(v))
        return false;
    memcpy(text, v.ptr, v.len);
    text[v.len] = '\0';
    /* correct rounding is the library's; what it would accept beyond plain decimals (hex, inf, nan,
     * blanks) was refused above, and no program here leaves the C locale */
    double n = strtod(text, NULL);
    if (!isfinite(n))
        return false;
    *ret = n;
    return true;
}
