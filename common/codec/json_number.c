#include "codec/json_number.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

#include "base/poison.h"

static const int64_t SMALL = (int64_t)1 << 53; /* above, doubles skip integers */

bool dm_json_i64_is_small(int64_t n)
{
    return n >= -SMALL && n <= SMALL;
}

bool dm_json_f64_looks_whole(double n)
{
    return n >= (double)-SMALL && n <= (double)SMALL && n == (double)(int64_t)n;
}

bool dm_json_f64_is_finite(double n)
{
    return isfinite(n);
}

bool dm_json_f64_to_i64(double n, int64_t *ret)
{
    if (!(n >= -0x1p63 && n < 0x1p63) || n != (double)(int64_t)n)
        return false;
    *ret = (int64_t)n;
    return true;
}

size_t dm_json_format_i64(int64_t n, char out[DM_JSON_NUMBER_TEXT])
{
    return (size_t)snprintf(out, DM_JSON_NUMBER_TEXT, "%lld", (long long)n);
}

/* 17 significant digits always read back as the same double; 15 often do. */
size_t dm_json_format_f64(double n, char out[DM_JSON_NUMBER_TEXT])
{
    enum { DIGITS_FEW = 15, DIGITS_ALL = 17 };
    int len = 0;
    DM_REQUIRE(isfinite(n));
    if (dm_json_f64_looks_whole(n))
        return (size_t)snprintf(out, DM_JSON_NUMBER_TEXT, "%.1f", n);
    for (int digits = DIGITS_FEW; digits <= DIGITS_ALL; digits++) {
        double back;
        len = snprintf(out, DM_JSON_NUMBER_TEXT, "%.*g", digits, n);
        if (dm_parse_f64(dm_view_make(out, (size_t)len), &back) && back == n)
            break;
    }
    if (strpbrk(out, ".e") == NULL) /* "9007199254740994" would read as an integer */
        len += snprintf(out + len, DM_JSON_NUMBER_TEXT - (size_t)len, ".0");
    return (size_t)len;
}
