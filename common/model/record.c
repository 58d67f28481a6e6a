/* Walking the field tables: validation and coercion of bodies, projection, schema. */
#include "model/record.h"

#include <math.h>
#include "base/assert.h"

static enum dm_code refuse(struct dm_error *err, const struct dm_record_type *t, const struct dm_field *f,
                           const char *why)
{
    return DM_FAIL(err, DM_INVALID, ERR_NONE, "%s.%s: %s", t->noun, f->name, why);
}

/* --- coercion of scalars (pydantic v1: platform-access.md §3, platform-apis.md §0.2) --- */

static struct dm_json *text_of_number(const struct dm_json *value)
{
    struct dm_buf b;
    struct dm_json *text;
    dm_view v;

    dm_buf_init(&b, 64); /* no number is longer */
    dm_json_write(value, &b);
    v = dm_buf_view(&b);
    if (dm_json_kind(value) == DM_JSON_DOUBLE && dm_view_find_byte(v, '.', 0) == v.len &&
        dm_view_find_byte(v, 'e', 0) == v.len)
        dm_buf_add(&b, DM_LIT(".0")); /* 5.0 is "5.0" */
    text = dm_json_new_str(dm_buf_view(&b));
    dm_buf_done(&b);
    return text;
}

static struct dm_json *to_str(const struct dm_json *value)
{
    switch (dm_json_kind(value)) {
    case DM_JSON_STRING:
        return dm_json_clone(value);
    case DM_JSON_BOOL:
        return dm_json_new_str(dm_json_bool(value, false) ? DM_LIT("True") : DM_LIT("False"));
    case DM_JSON_INT:
    case DM_JSON_DOUBLE:
        return text_of_number(value);
    default:
        return NULL;
    }
}

static struct dm_json *to_int(const struct dm_json *value)
{
    dm_view text = dm_view_trim(dm_json_str(value));
    int64_t n;
    double d;

    switch (dm_json_kind(value)) {
    case DM_JSON_INT:
        return dm_json_clone(value);
    case DM_JSON_BOOL:
        return dm_json_new_i64(dm_json_bool(value, false));
    case DM_JSON_DOUBLE:
        d = dm_json_f64(value, 0); /* truncated toward zero by the conversion */
        return d > -9.2e18 && d < 9.2e18 ? dm_json_new_i64((int64_t)d) : NULL;
    case DM_JSON_STRING:
        if (text.len > 0 && text.ptr[0] == '+')
            text = dm_view_sub(text, 1, text.len);
        return dm_parse_i64(text, INT64_MIN, INT64_MAX, &n) ? dm_json_new_i64(n) : NULL;
    default:
        return NULL;
    }
}

static struct dm_json *to_float(const struct dm_json *value)
{
    double d;

    switch (dm_json_kind(value)) {
    case DM_JSON_INT:
    case DM_JSON_DOUBLE:
        return dm_json_clone(value);
    case DM_JSON_BOOL:
        return dm_json_new_i64(dm_json_bool(value, false));
    case DM_JSON_STRING:
        return dm_parse_f64(dm_view_trim(dm_json_str(value)), &d) ? dm_json_new_f64(d) : NULL;
    default:
        return NULL;
    }
}

static struct dm_json *to_bool(const struct dm_json *value)
{
    static const struct {
        const char *word;
        bool truth;
    } words[] = {{"true", true},   {"1", true},   {"yes", true}, {"on", true},  {"t", true},  {"y", true},
                 {"false", false}, {"0", false},  {"no", false}, {"off", false}, {"f", false}, {"n", false}};
    double d = dm_json_f64(value, -1);

    switch (dm_json_kind(value)) {
    case DM_JSON_BOOL:
        return dm_json_clone(value);
    case DM_JSON_INT:
    case DM_JSON_DOUBLE:
        return d == 0 || d == 1 ? dm_json_new_bool(d == 1) : NULL;
    case DM_JSON_STRING:
        for (size_t i = 0; i < DM_COUNT_OF(words); i++) {
            if (dm_view_eq_nocase(dm_json_str(value), dm_view_of(words[i].word)))
                return dm_json_new_bool(words[i].truth);
        }
        return NULL;
    default:
        return NULL;
    }
}

static struct dm_json *to_strs(const struct dm_json *value)
{
    struct dm_json *list;

    if (!dm_json_is(value, DM_JSON_ARRAY))
        return NULL;
    list = dm_json_new_array();
    for (struct dm_json *item = dm_json_first(value); item != NULL; item = dm_json_next(item)) {
        struct dm_json *text = to_str(item);

        if (text == NULL) {
            dm_json_free(list);
            return NULL;
        }
        dm_json_push(list, text);
    }
    return list;
}

static struct dm_json *coerced(enum dm_field_type type, const struct dm_json *value)
{
    switch (type) {
    case DM_FIELD_STR:
        return to_str(value);
    case DM_FIELD_INT:
        return to_int(value);
    case DM_FIELD_FLOAT:
        return to_float(value);
    case DM_FIELD_BOOL:
        return to_bool(value);
    case DM_FIELD_STRS:
        return to_strs(value);
    case DM_FIELD_OBJECT:
        return dm_json_is(value, DM_JSON_OBJECT) ? dm_json_clone(value) : NULL;
    case DM_FIELD_ANY:
        return dm_json_clone(value);
    }
    DM_UNREACHABLE();
}

/* --- ranges --- */

static bool in_range(const struct dm_field *f, double min, const struct dm_json *value)
{
    double measure;

    if (min > f->max)
        return true;
    switch (f->type) {
    case DM_FIELD_STR:
        measure = (double)dm_utf8_count(dm_json_str(value));
        break;
    case DM_FIELD_STRS:
    case DM_FIELD_OBJECT:
        measure = (double)dm_json_len(value);
        break;
    case DM_FIELD_INT:
    case DM_FIELD_FLOAT:
        measure = dm_json_f64(value, NAN);
        break;
    default:
        return true;
    }
    return measure >= min && measure <= f->max;
}

static bool in_words(const struct dm_field *f, const struct dm_json *value)
{
    if (f->words == NULL)
        return true;
    for (size_t i = 0; f->words[i] != NULL; i++) {
        if (dm_view_eq(dm_json_str(value), dm_view_of(f->words[i])))
            return true;
    }
    return false;
}

static enum dm_code coerce(const struct dm_field *f, double min, const struct dm_json *value, struct dm_json **ret)
{
    struct dm_json *v = coerced(f->type, value);

    if (v != NULL && f->normalise != NULL) {
        struct dm_json *right = f->normalise(v);
        dm_json_free(v);
        v = right;
    }
    if (v == NULL)
        return DM_INVALID;
    if (!in_range(f, min, v) || !in_words(f, v) || (f->check != NULL && !f->check(v))) {
        dm_json_free(v);
        return DM_INVALID;
    }
    *ret = v;
    return DM_OK;
}

enum dm_code dm_field_coerce(const struct dm_field *f, const struct dm_json *value, struct dm_json **ret)
{
    return coerce(f, f->min, value, ret);
}

/* --- bodies --- */

/* What an absent (or null) field becomes; NULL: nothing is stored. */
static struct dm_json *default_of(const struct dm_field *f)
{
    struct dm_json *value = NULL;

    if (f->default_json != NULL) {
        enum dm_code rc = dm_json_parse(dm_view_of(f->default_json), &dm_json_default, &value, NULL);
        DM_REQUIRE(rc == DM_OK);
        return value;
    }
    return f->flags & DM_FIELD_ABSENT ? NULL : dm_json_new_null();
}

static enum dm_code create_field(const struct dm_record_type *t, const struct dm_field *f,
                                 const struct dm_json *body, struct dm_json *doc, struct dm_error *err)
{
    const struct dm_json *given = dm_json_get(body, dm_view_of(f->name));
    struct dm_json *value = NULL;

    if (given != NULL && !dm_json_is(given, DM_JSON_NULL)) {
        if (coerce(f, f->min, given, &value) != DM_OK)
            return refuse(err, t, f, "not of the type or range of the field");
    } else if (f->flags & DM_FIELD_REQUIRED) {
        return refuse(err, t, f, "required");
    } else if (given != NULL && (f->flags & DM_FIELD_NULLABLE) == 0) {
        return refuse(err, t, f, "null is no value of this field");
    } else {
        value = default_of(f);
    }
    if (value != NULL)
        dm_json_set(doc, dm_view_of(f->name), value);
    return DM_OK;
}

enum dm_code dm_record_create(const struct dm_record_type *t, const struct dm_json *body, struct dm_json **ret,
                              struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *doc = dm_json_new_object();

    for (size_t i = 0; i < t->n_fields; i++) {
        if (t->fields[i].flags & DM_FIELD_SERVER)
            continue;
        enum dm_code rc = create_field(t, &t->fields[i], body, doc, err);
        if (rc != DM_OK)
            return rc;
    }
    *ret = DM_TAKE(doc);
    return DM_OK;
}

static enum dm_code update_field(const struct dm_record_type *t, const struct dm_field *f,
                                 const struct dm_json *given, struct dm_json *patch, struct dm_error *err)
{
    double min = f->flags & DM_FIELD_UPDATE_MIN ? f->update_min : f->min;
    struct dm_json *value = NULL;

    if (dm_json_is(given, DM_JSON_NULL)) {
        if (f->flags & DM_FIELD_CLEARABLE)
            dm_json_set(patch, dm_view_of(f->name), dm_json_new_null());
        return DM_OK;
    }
    if (coerce(f, min, given, &value) != DM_OK)
        return refuse(err, t, f, "not of the type or range of the field");
    dm_json_set(patch, dm_view_of(f->name), value);
    return DM_OK;
}

enum dm_code dm_record_update(const struct dm_record_type *t, const struct dm_json *body, struct dm_json **ret,
                              struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *patch = dm_json_new_object();

    for (size_t i = 0; i < t->n_fields; i++) {
        const struct dm_field *f = &t->fields[i];
        const struct dm_json *given = dm_json_get(body, dm_view_of(f->name));
        enum dm_code rc;

        if (given == NULL || (f->flags & DM_FIELD_SERVER) != 0)
            continue;
        rc = update_field(t, f, given, patch, err);
        if (rc != DM_OK)
            return rc;
    }
    *ret = DM_TAKE(patch);
    return DM_OK;
}

size_t dm_record_merge(struct dm_json *doc, const struct dm_json *patch)
{
    size_t changed = 0;

    for (struct dm_json *m = dm_json_first(patch); m != NULL; m = dm_json_next(m)) {
        if (dm_json_equal(dm_json_get(doc, dm_json_name(m)), m))
            continue;
        dm_json_set(doc, dm_json_name(m), dm_json_clone(m));
        changed++;
    }
    return changed;
}

struct dm_json *dm_record_project(const struct dm_record_type *t, const struct dm_json *doc)
{
    struct dm_json *o = dm_json_new_object();

    for (size_t i = 0; i < t->n_fields; i++) {
        dm_view name = dm_view_of(t->fields[i].name);
        const struct dm_json *value = dm_json_get(doc, name);

        if (value != NULL && !dm_json_is(value, DM_JSON_NULL) && (t->fields[i].flags & DM_FIELD_PROJECTED) != 0)
            dm_json_set(o, name, dm_json_clone(value));
    }
    return o;
}

const struct dm_record_type *const *dm_record_types(size_t *ret_n)
{
    static const struct dm_record_type *const all[] = {
        &dm_record_api,          &dm_record_endpoint, &dm_record_user,    &dm_record_role, &dm_record_group,
        &dm_record_subscription, &dm_record_routing,  &dm_record_security_settings};

    *ret_n = DM_COUNT_OF(all);
    return all;
}
