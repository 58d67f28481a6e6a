/* Nested values of credit definitions and balances (platform-apis.md §11.2, §11.4): coerced item by
 * item like the fields of a record. What does not fit becomes null, which their check refuses. */
#include "model/record.h"
#include "model/record_check.h"

#include "base/clock.h"

#include <string.h>

#include "base/poison.h"

#define COUNT_MAX 9007199254740991 /* 2^53 - 1: exact in every JSON reader */
#define FREE .min = 1, .max = 0

static const struct dm_field tier_fields[] = {
    {.name = "tier_name", .type = DM_FIELD_STR, .min = 1, .max = 50},
    {.name = "credits", .type = DM_FIELD_INT, FREE},
    {.name = "input_limit", .type = DM_FIELD_INT, FREE},
    {.name = "output_limit", .type = DM_FIELD_INT, FREE},
    {.name = "reset_frequency", .type = DM_FIELD_STR, .min = 0, .max = 255},
};

static const struct dm_field entry_fields[] = {
    {.name = "tier_name", .type = DM_FIELD_STR, .min = 1, .max = 50},
    {.name = "available_credits", .type = DM_FIELD_INT, .min = 0, .max = COUNT_MAX},
    {.name = "reset_date", .type = DM_FIELD_STR, .min = 0, .max = 255, .flags = DM_FIELD_NULLABLE},
    {.name = "user_api_key",
     .type = DM_FIELD_STR,
     .min = 0,
     .max = 4096,
     .flags = DM_FIELD_NULLABLE},
};

/* NULL: a field does not fit. An absent one counts as null. */
static struct dm_json *coerced(const struct dm_field *fields, size_t n, const struct dm_json *value)
{
    if (!dm_json_is(value, DM_JSON_OBJECT))
        return NULL;
    struct dm_json *out = dm_json_new_object();
    for (size_t i = 0; i < n; i++) {
        struct dm_json *v = NULL;
        if (dm_field_coerce(&fields[i], dm_json_get(value, dm_view_of(fields[i].name)), &v) !=
            DM_OK) {
            dm_json_free(out);
            return NULL;
        }
        dm_json_set(out, dm_view_of(fields[i].name), v);
    }
    return out;
}

struct dm_json *dm_normal_credit_tiers(const struct dm_json *value)
{
    if (!dm_json_is(value, DM_JSON_ARRAY))
        return dm_json_new_null();
    struct dm_json *list = dm_json_new_array();
    for (struct dm_json *t = dm_json_first(value); t != NULL; t = dm_json_next(t)) {
        struct dm_json *tier = coerced(tier_fields, DM_COUNT_OF(tier_fields), t);
        if (tier == NULL) {
            dm_json_free(list);
            return dm_json_new_null();
        }
        dm_json_push(list, tier);
    }
    return list;
}

static bool group_fits(dm_view name)
{
    struct dm_json *text = dm_json_new_str(name);
    const bool good = name.len > 0 && dm_utf8_count(name) <= 50 && dm_check_credit_group(text);
    dm_json_free(text);
    return good;
}

struct dm_json *dm_normal_user_credits(const struct dm_json *value)
{
    struct dm_json *out = dm_json_new_object();
    for (struct dm_json *m = dm_json_first(value); m != NULL; m = dm_json_next(m)) {
        struct dm_json *entry = group_fits(dm_json_name(m))
                                    ? coerced(entry_fields, DM_COUNT_OF(entry_fields), m)
                                    : NULL;
        if (entry == NULL) {
            dm_json_free(out);
            return dm_json_new_null();
        }
        dm_json_set(out, dm_json_name(m), entry);
    }
    return out;
}

bool dm_check_array(const struct dm_json *value)
{
    return dm_json_is(value, DM_JSON_ARRAY);
}

bool dm_check_object(const struct dm_json *value)
{
    return dm_json_is(value, DM_JSON_OBJECT);
}

/* --- moments: ISO 8601, or Unix seconds (beyond 2e10: milliseconds, as pydantic reads them) --- */

enum { MOMENT = 19 /* 2024-01-15T10:30:00 */ };
static const double SECONDS_MAX = 2e10, LATEST = 9e9; /* the year 2255: dm_time ends in 2262 */

static struct dm_json *moment_of(dm_time wall)
{
    char text[DM_ISO_LEN + 1];
    dm_time_iso(wall, text);
    return dm_json_new_str(dm_view_of(text));
}

static bool number_moment(double n, dm_time *ret)
{
    if (n > SECONDS_MAX)
        n /= 1000;
    if (!(n >= 0 && n <= LATEST))
        return false;
    *ret = (dm_time)n * DM_SEC;
    return true;
}

/* "", "Z", "+HH:MM", "+HHMM", "+HH" */
static bool offset_of(dm_view zone, dm_time *ret)
{
    uint64_t hours, minutes = 0;
    *ret = 0;
    if (zone.len == 0 || dm_view_eq_nocase(zone, DM_LIT("Z")))
        return true;
    const bool west = zone.ptr[0] == '-';
    if (!west && zone.ptr[0] != '+')
        return false;
    dm_view rest = dm_view_sub(zone, 3, SIZE_MAX);
    if (rest.len == 3 && rest.ptr[0] == ':')
        rest = dm_view_sub(rest, 1, 2);
    if (zone.len < 3 || !dm_parse_u64(dm_view_sub(zone, 1, 2), 23, &hours) ||
        (rest.len > 0 && (rest.len != 2 || !dm_parse_u64(rest, 59, &minutes))))
        return false;
    *ret = (dm_time)(hours * 3600 + minutes * 60) * DM_SEC * (west ? -1 : 1);
    return true;
}

/* A fraction of a second is dropped. */
static dm_view after_fraction(dm_view rest)
{
    size_t n = 1;
    if (rest.len < 2 || rest.ptr[0] != '.')
        return rest;
    while (n < rest.len && rest.ptr[n] >= '0' && rest.ptr[n] <= '9')
        n++;
    return n > 1 ? dm_view_sub(rest, n, SIZE_MAX) : rest;
}

static bool text_moment(dm_view v, dm_time *ret)
{
    char text[DM_ISO_LEN + 1];
    dm_time wall, offset;
    double n;
    if (dm_parse_f64(v, &n))
        return number_moment(n, ret);
    if (v.len < MOMENT || (v.ptr[10] != 'T' && v.ptr[10] != 't' && v.ptr[10] != ' '))
        return false;
    memcpy(text, v.ptr, MOMENT);
    text[10] = 'T';
    text[MOMENT] = 'Z';
    text[MOMENT + 1] = '\0';
    if (!dm_time_from_iso(dm_view_of(text), &wall) ||
        !offset_of(after_fraction(dm_view_sub(v, MOMENT, SIZE_MAX)), &offset))
        return false;
    *ret = wall - offset;
    return *ret >= 0;
}

struct dm_json *dm_normal_moment(const struct dm_json *value)
{
    dm_time wall;
    bool good = false;
    if (dm_json_is(value, DM_JSON_NULL))
        return dm_json_new_null();
    if (dm_json_is(value, DM_JSON_STRING))
        good = text_moment(dm_json_str(value), &wall);
    else if (dm_json_is(value, DM_JSON_INT) || dm_json_is(value, DM_JSON_DOUBLE))
        good = number_moment(dm_json_f64(value, -1), &wall);
    return good ? moment_of(wall) : dm_json_new_bool(false);
}

bool dm_check_moment(const struct dm_json *value)
{
    return dm_json_is(value, DM_JSON_STRING) || dm_json_is(value, DM_JSON_NULL);
}
