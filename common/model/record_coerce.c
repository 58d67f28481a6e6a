/* One value by the rules of pydantic v1 (platform-access.md §3, platform-apis.md §0.2), which the
 * clients of the Python Doorman have learnt to rely on. */
#include "model/record.h"

#include "base/assert.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/poison.h"

/* "-1.7976931348623157e+308" and room. */
enum { NUMBER_TEXT = 40, DOUBLE_DIGITS = 17 };

/* str(float) of Python: the shortest digits that read back as the same number, fixed notation while
 * the point lies within 16 digits, always a point or an exponent. */
static dm_view python_float(double n, char out[NUMBER_TEXT])
{
    char digits[NUMBER_TEXT];
    double back = 0;
    int len = 0;
    for (int precision = 0; precision < DOUBLE_DIGITS; precision++) {
        len = snprintf(digits, sizeof(digits), "%.*e", precision, n);
        if (dm_parse_f64(dm_view_make(digits, (size_t)len), &back) && back == n)
            break;
    }
    dm_view all = dm_view_make(digits, (size_t)len);
    size_t mark = dm_view_find_byte(all, 'e', 0);
    int64_t exponent = 0;
    dm_view power = dm_view_sub(all, mark + 1, all.len);
    if (power.len > 0 && power.ptr[0] == '+')
        power = dm_view_sub(power, 1, power.len);
    if (!dm_parse_i64(power, -400, 400, &exponent))
        DM_UNREACHABLE();
    if (exponent < -4 || exponent >= 16) {
        memcpy(out, digits, (size_t)len); /* C and Python write exponents alike */
        return dm_view_make(out, (size_t)len);
    }
    int significant =
        (int)mark - (n < 0 || signbit(n)) - (mark > 2 && memchr(digits, '.', mark) != NULL);
    int decimals = significant - 1 - (int)exponent;
    len = snprintf(out, NUMBER_TEXT, "%.*f", decimals > 1 ? decimals : 1, n);
    return dm_view_make(out, (size_t)len);
}

static struct dm_json *to_text(const struct dm_json *v)
{
    char text[NUMBER_TEXT];
    int len;
    switch (dm_json_kind(v)) {
    case DM_JSON_STRING:
        return dm_json_clone(v);
    case DM_JSON_INT:
        len = snprintf(text, sizeof(text), "%lld", (long long)dm_json_i64(v, 0));
        return dm_json_new_str(dm_view_make(text, (size_t)len));
    case DM_JSON_DOUBLE:
        return dm_json_new_str(python_float(dm_json_f64(v, 0), text));
    case DM_JSON_BOOL:
        return dm_json_new_str(dm_json_bool(v, false) ? DM_LIT("True") : DM_LIT("False"));
    case DM_JSON_NULL:
    case DM_JSON_ARRAY:
    case DM_JSON_OBJECT:
        break;
    }
    return NULL;
}

static bool digits_of(dm_view v, int64_t *ret)
{
    if (v.len > 1 && v.ptr[0] == '+' && v.ptr[1] != '-')
        v = dm_view_sub(v, 1, v.len);
    return dm_parse_i64(v, INT64_MIN, INT64_MAX, ret);
}

static struct dm_json *to_int(const struct dm_json *v)
{
    int64_t n;
    double d = dm_json_f64(v, 0);
    switch (dm_json_kind(v)) {
    case DM_JSON_INT:
        return dm_json_clone(v);
    case DM_JSON_BOOL:
        return dm_json_new_i64(dm_json_bool(v, false));
    case DM_JSON_DOUBLE: /* toward zero; 2^63 is the first that does not fit */
        return d > -9223372036854775808.0 && d < 9223372036854775808.0 ? dm_json_new_i64((int64_t)d)
                                                                       : NULL;
    case DM_JSON_STRING:
        return digits_of(dm_json_str(v), &n) ? dm_json_new_i64(n) : NULL;
    case DM_JSON_NULL:
    case DM_JSON_ARRAY:
    case DM_JSON_OBJECT:
        break;
    }
    return NULL;
}

static struct dm_json *to_float(const struct dm_json *v)
{
    double n;
    switch (dm_json_kind(v)) {
    case DM_JSON_INT:
        return dm_json_new_f64((double)dm_json_i64(v, 0));
    case DM_JSON_DOUBLE:
        return dm_json_clone(v);
    case DM_JSON_BOOL:
        return dm_json_new_f64(dm_json_bool(v, false));
    case DM_JSON_STRING:
        return dm_parse_f64(dm_json_str(v), &n) ? dm_json_new_f64(n) : NULL;
    case DM_JSON_NULL:
    case DM_JSON_ARRAY:
    case DM_JSON_OBJECT:
        break;
    }
    return NULL;
}

static struct dm_json *bool_of_word(dm_view v)
{
    static const char *const words[] = {"true",  "yes", "on",  "t", "y", "1",
                                        "false", "no",  "off", "f", "n", "0"};
    for (size_t i = 0; i < DM_COUNT_OF(words); i++) {
        if (dm_view_eq_nocase(v, dm_view_of(words[i])))
            return dm_json_new_bool(i < DM_COUNT_OF(words) / 2);
    }
    return NULL;
}

static struct dm_json *to_bool(const struct dm_json *v)
{
    double n = dm_json_f64(v, -1);
    switch (dm_json_kind(v)) {
    case DM_JSON_BOOL:
        return dm_json_clone(v);
    case DM_JSON_INT:
    case DM_JSON_DOUBLE:
        return n == 0 || n == 1 ? dm_json_new_bool(n == 1) : NULL;
    case DM_JSON_STRING:
        return bool_of_word(dm_json_str(v));
    case DM_JSON_NULL:
    case DM_JSON_ARRAY:
    case DM_JSON_OBJECT:
        break;
    }
    return NULL;
}

static struct dm_json *to_texts(const struct dm_json *v)
{
    if (!dm_json_is(v, DM_JSON_ARRAY))
        return NULL;
    struct dm_json *list = dm_json_new_array();
    for (struct dm_json *item = dm_json_first(v); item != NULL; item = dm_json_next(item)) {
        struct dm_json *text = to_text(item);
        if (text == NULL) {
            dm_json_free(list);
            return NULL;
        }
        dm_json_push(list, text);
    }
    return list;
}

static struct dm_json *to_type(enum dm_field_type type, const struct dm_json *v)
{
    switch (type) {
    case DM_FIELD_STR:
        return to_text(v);
    case DM_FIELD_INT:
        return to_int(v);
    case DM_FIELD_FLOAT:
        return to_float(v);
    case DM_FIELD_BOOL:
        return to_bool(v);
    case DM_FIELD_STRS:
        return to_texts(v);
    case DM_FIELD_OBJECT:
        return dm_json_is(v, DM_JSON_OBJECT) ? dm_json_clone(v) : NULL;
    case DM_FIELD_ANY:
        return dm_json_clone(v);
    }
    DM_UNREACHABLE();
}

static double measure(const struct dm_json *v)
{
    switch (dm_json_kind(v)) {
    case DM_JSON_STRING:
        return (double)dm_utf8_count(dm_json_str(v));
    case DM_JSON_ARRAY:
    case DM_JSON_OBJECT:
        return (double)dm_json_len(v);
    case DM_JSON_INT:
    case DM_JSON_DOUBLE:
        return dm_json_f64(v, 0);
    case DM_JSON_NULL:
    case DM_JSON_BOOL:
        break;
    }
    return 0;
}

static bool allowed(const struct dm_field *f, const struct dm_json *v)
{
    if (f->min <= f->max && (measure(v) < f->min || measure(v) > f->max))
        return false;
    for (size_t i = 0; f->words != NULL; i++) {
        if (f->words[i] == NULL)
            return false;
        if (dm_view_eq(dm_json_str(v), dm_view_of(f->words[i])))
            break;
    }
    return f->check == NULL || f->check(v);
}

enum dm_code dm_field_coerce(const struct dm_field *f, const struct dm_json *value,
                             struct dm_json **ret)
{
    DM_REQUIRE(f != NULL && ret != NULL);
    if (dm_json_is(value, DM_JSON_NULL) && f->type != DM_FIELD_ANY) {
        if ((f->flags & DM_FIELD_NULLABLE) == 0)
            return DM_INVALID;
        *ret = dm_json_new_null();
        return DM_OK;
    }
    DM_DEFER(dm_json_freep) struct dm_json *v = to_type(f->type, value);
    if (v == NULL)
        return DM_INVALID;
    if (f->normalise != NULL) { /* the length is judged as it was sent */
        struct dm_field sent = {.min = f->min, .max = f->max};
        if (!allowed(&sent, v))
            return DM_INVALID;
        struct dm_json *other = f->normalise(v);
        dm_json_free(v);
        v = other;
    }
    struct dm_field as_is = *f;
    if (f->normalise != NULL)
        as_is.min = 1, as_is.max = 0;
    if (!allowed(&as_is, v))
        return DM_INVALID;
    *ret = DM_TAKE(v);
    return DM_OK;
}
