#include "model/record_check.h"

#include "codec/uri.h"

#include <string.h>

#include "base/poison.h"

static bool holds_any(dm_view v, const char *bytes)
{
    for (size_t i = 0; i < v.len; i++) {
        unsigned char c = (unsigned char)v.ptr[i];
        if (c < 0x20 || c == 0x7f || strchr(bytes, c) != NULL)
            return true;
    }
    return false;
}

bool dm_check_name(const struct dm_json *value)
{
    return !holds_any(dm_json_str(value), "/");
}

bool dm_check_credit_group(const struct dm_json *value)
{
    return !holds_any(dm_json_str(value), "/.$:");
}

bool dm_check_uri(const struct dm_json *value)
{
    dm_view uri = dm_json_str(value);
    size_t star = dm_view_find_byte(uri, '*', 0);
    bool last = star + 1 == uri.len && star > 0 && uri.ptr[star - 1] == '/';
    return (star == uri.len || last) && !holds_any(uri, "");
}

bool dm_check_positive(const struct dm_json *value)
{
    return dm_json_f64(value, 0) > 0;
}

bool dm_check_servers(const struct dm_json *value)
{
    for (struct dm_json *s = dm_json_first(value); s != NULL; s = dm_json_next(s)) {
        struct dm_url url;
        if (dm_url_parse(dm_json_str(s), &url, NULL) != DM_OK)
            return false;
    }
    return true;
}

/* ---- other spellings ---- */

static struct dm_json *mapped(dm_view v, bool upper)
{
    char *text = dm_mem_text(v);
    for (size_t i = 0; i < v.len; i++) {
        if (upper && text[i] >= 'a' && text[i] <= 'z')
            text[i] = (char)(text[i] - 'a' + 'A');
        else if (!upper && text[i] >= 'A' && text[i] <= 'Z')
            text[i] = (char)(text[i] - 'A' + 'a');
    }
    struct dm_json *out = dm_json_new_str(dm_view_make(text, v.len));
    dm_mem_free(text);
    return out;
}

struct dm_json *dm_normal_upper(const struct dm_json *value)
{
    return mapped(dm_json_str(value), true);
}

struct dm_json *dm_normal_lower_trimmed(const struct dm_json *value)
{
    return mapped(dm_view_trim(dm_json_str(value)), false);
}

struct dm_json *dm_normal_slash(const struct dm_json *value)
{
    dm_view v = dm_json_str(value);
    struct dm_buf text;
    if (v.len > 0 && v.ptr[0] == '/')
        return dm_json_clone(value);
    dm_buf_init(&text, v.len + 1);
    dm_buf_add_byte(&text, '/');
    dm_buf_add(&text, v);
    struct dm_json *out = dm_json_new_str(dm_buf_view(&text));
    dm_buf_done(&text);
    return out;
}

/* ---- transforms (platform-apis.md §2.6) ---- */

typedef bool (*item_check)(dm_view name, const struct dm_json *value);

static bool is_token(dm_view v)
{
    for (size_t i = 0; i < v.len; i++) {
        unsigned char c = (unsigned char)v.ptr[i];
        if (c <= 0x20 || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c) != NULL)
            return false;
    }
    return v.len > 0;
}

static bool is_scalar(const struct dm_json *v)
{
    return !dm_json_is(v, DM_JSON_OBJECT) && !dm_json_is(v, DM_JSON_ARRAY) &&
           !dm_json_is(v, DM_JSON_NULL);
}

static bool any_name(dm_view name, const struct dm_json *value)
{
    (void)name;
    return dm_json_is(value, DM_JSON_STRING);
}

static bool header_name(dm_view name, const struct dm_json *value)
{
    (void)name;
    return is_token(dm_json_str(value));
}

static bool header_rename(dm_view name, const struct dm_json *value)
{
    return is_token(name) && is_token(dm_json_str(value));
}

static bool header_value(dm_view name, const struct dm_json *value)
{
    return is_token(name) && is_scalar(value) && !holds_any(dm_json_str(value), "");
}

static bool scalar_value(dm_view name, const struct dm_json *value)
{
    (void)name;
    return is_scalar(value);
}

static bool status_value(dm_view name, const struct dm_json *value)
{
    uint64_t status;
    int64_t target = dm_json_i64(value, 0); /* other targets are ignored, says the contract */
    return dm_parse_u64(name, 999, &status) &&
           (!dm_json_is(value, DM_JSON_INT) || (target >= 200 && target <= 599));
}

/* Every item of `holder.name`, which is absent, null or of that kind. */
static bool each(const struct dm_json *holder, const char *name, enum dm_json_kind kind,
                 item_check check)
{
    const struct dm_json *list = dm_json_get(holder, dm_view_of(name));
    if (dm_json_is(list, DM_JSON_NULL))
        return true;
    if (!dm_json_is(list, kind))
        return false;
    for (struct dm_json *item = dm_json_first(list); item != NULL && check != NULL;
         item = dm_json_next(item)) {
        if (!check(dm_json_name(item), item))
            return false;
    }
    return true;
}

static bool section(const struct dm_json *config, const char *name, const struct dm_json **ret)
{
    *ret = dm_json_get(config, dm_view_of(name));
    return dm_json_is(*ret, DM_JSON_NULL) || dm_json_is(*ret, DM_JSON_OBJECT);
}

static bool check_transform(const struct dm_json *config, const char *wrapper, bool response)
{
    const struct dm_json *s, *inner = dm_json_get(config, dm_view_of(wrapper));
    if (dm_json_is(inner, DM_JSON_OBJECT))
        config = inner;
    else if (!dm_json_is(inner, DM_JSON_NULL))
        return false;
    if (!section(config, "headers", &s) || !each(s, "remove", DM_JSON_ARRAY, header_name) ||
        !each(s, "rename", DM_JSON_OBJECT, header_rename) ||
        !each(s, "add", DM_JSON_OBJECT, header_value))
        return false;
    if (!section(config, "query", &s) || !each(s, "remove", DM_JSON_ARRAY, any_name) ||
        !each(s, "rename", DM_JSON_OBJECT, any_name) ||
        !each(s, "add", DM_JSON_OBJECT, scalar_value))
        return false;
    if (!section(config, "body", &s) || !each(s, "remove", DM_JSON_ARRAY, any_name) ||
        !each(s, "rename", DM_JSON_OBJECT, any_name) || !each(s, "set", DM_JSON_OBJECT, NULL) ||
        !each(s, "wrap", DM_JSON_STRING, NULL))
        return false;
    return !response || each(config, "status_map", DM_JSON_OBJECT, status_value);
}

bool dm_check_request_transform(const struct dm_json *value)
{
    return check_transform(value, "request", false);
}

bool dm_check_response_transform(const struct dm_json *value)
{
    return check_transform(value, "response", true);
}

/* ---- CRUD schema (platform-apis.md §12.2) ---- */

/* Nesting of `properties`: documents deeper than this are nobody's table. */
enum { SCHEMA_DEPTH = 16 };

static bool kind_or_absent(const struct dm_json *rules, const char *name, enum dm_json_kind kind)
{
    const struct dm_json *v = dm_json_get(rules, dm_view_of(name));
    return dm_json_is(v, DM_JSON_NULL) || dm_json_is(v, kind);
}

static bool number_or_absent(const struct dm_json *rules, const char *name)
{
    return kind_or_absent(rules, name, DM_JSON_INT) || kind_or_absent(rules, name, DM_JSON_DOUBLE);
}

static bool check_fields(const struct dm_json *fields, unsigned depth)
{
    for (struct dm_json *rules = dm_json_first(fields); rules != NULL;
         rules = dm_json_next(rules)) {
        if (depth == SCHEMA_DEPTH || !dm_json_is(rules, DM_JSON_OBJECT) ||
            !kind_or_absent(rules, "required", DM_JSON_BOOL) ||
            !kind_or_absent(rules, "type", DM_JSON_STRING) ||
            !kind_or_absent(rules, "pattern", DM_JSON_STRING) ||
            !kind_or_absent(rules, "enum", DM_JSON_ARRAY) ||
            !kind_or_absent(rules, "min_length", DM_JSON_INT) ||
            !kind_or_absent(rules, "max_length", DM_JSON_INT) ||
            !number_or_absent(rules, "min_value") || !number_or_absent(rules, "max_value") ||
            !kind_or_absent(rules, "properties", DM_JSON_OBJECT) ||
            !check_fields(dm_json_get(rules, DM_LIT("properties")), depth + 1))
            return false;
    }
    return true;
}

bool dm_check_crud_schema(const struct dm_json *value)
{
    return check_fields(value, 0);
}
