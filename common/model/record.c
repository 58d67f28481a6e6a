/* Bodies in, documents and projections out, by the field tables. */
#include "model/record.h"

#include "base/assert.h"

#include "base/poison.h"

static enum dm_code refuse(const struct dm_record_type *t, const struct dm_field *f,
                           const char *why, struct dm_error *err)
{
    return DM_FAIL(err, DM_INVALID, ERR_NONE, "could not take field \"%s\" of %s: %s", f->name,
                   t->noun, why);
}

static const struct dm_json_limits default_limits = {
    .max_bytes = 4096, .max_depth = 4, .max_values = 64};

static void set_default(struct dm_json *doc, const struct dm_field *f)
{
    struct dm_json *value = NULL;
    if (f->default_json != NULL) {
        if (dm_json_parse(dm_view_of(f->default_json), &default_limits, &value, NULL) != DM_OK)
            DM_UNREACHABLE();
        dm_json_set(doc, dm_view_of(f->name), value);
    } else if ((f->flags & DM_FIELD_ABSENT) == 0) {
        dm_json_set(doc, dm_view_of(f->name), dm_json_new_null());
    }
}

static enum dm_code create_field(const struct dm_record_type *t, const struct dm_field *f,
                                 const struct dm_json *body, struct dm_json *doc,
                                 struct dm_error *err)
{
    const struct dm_json *sent = dm_json_get(body, dm_view_of(f->name));
    struct dm_json *value = NULL;
    bool nothing = dm_json_is(sent, DM_JSON_NULL);
    if (nothing && (f->flags & DM_FIELD_REQUIRED) != 0)
        return refuse(t, f, sent == NULL ? "missing" : "null", err);
    if (sent == NULL || (nothing && (f->flags & DM_FIELD_NULL_ABSENT) != 0)) {
        set_default(doc, f);
        return DM_OK;
    }
    if (dm_field_coerce(f, sent, &value) != DM_OK)
        return refuse(t, f, "of another type or out of range", err);
    dm_json_set(doc, dm_view_of(f->name), value);
    return DM_OK;
}

enum dm_code dm_record_create(const struct dm_record_type *t, const struct dm_json *body,
                              struct dm_json **ret, struct dm_error *err)
{
    DM_REQUIRE(t != NULL && ret != NULL);
    if (!dm_json_is(body, DM_JSON_OBJECT))
        return DM_FAIL(err, DM_INVALID, ERR_NONE, "could not take %s: not an object", t->noun);
    DM_DEFER(dm_json_freep) struct dm_json *doc = dm_json_new_object();
    for (size_t i = 0; i < t->n_fields; i++) {
        if ((t->fields[i].flags & DM_FIELD_SERVER) != 0)
            continue;
        enum dm_code rc = create_field(t, &t->fields[i], body, doc, err);
        if (rc != DM_OK)
            return rc;
    }
    *ret = DM_TAKE(doc);
    return DM_OK;
}

static enum dm_code update_field(const struct dm_record_type *t, const struct dm_field *f,
                                 const struct dm_json *sent, struct dm_json *patch,
                                 struct dm_error *err)
{
    struct dm_json *value = NULL;
    struct dm_field rule = *f;
    if (dm_json_is(sent, DM_JSON_NULL)) {
        if ((f->flags & DM_FIELD_CLEARABLE) != 0)
            dm_json_set(patch, dm_view_of(f->name), dm_json_new_null());
        return DM_OK;
    }
    if ((f->flags & DM_FIELD_UPDATE_MIN) != 0)
        rule.min = f->update_min;
    if (dm_field_coerce(&rule, sent, &value) != DM_OK)
        return refuse(t, f, "of another type or out of range", err);
    if ((f->flags & DM_FIELD_CREATE_ONLY) != 0)
        dm_json_free(value);
    else
        dm_json_set(patch, dm_view_of(f->name), value);
    return DM_OK;
}

enum dm_code dm_record_update(const struct dm_record_type *t, const struct dm_json *body,
                              struct dm_json **ret, struct dm_error *err)
{
    DM_REQUIRE(t != NULL && ret != NULL);
    if (!dm_json_is(body, DM_JSON_OBJECT))
        return DM_FAIL(err, DM_INVALID, ERR_NONE, "could not take %s: not an object", t->noun);
    DM_DEFER(dm_json_freep) struct dm_json *patch = dm_json_new_object();
    for (size_t i = 0; i < t->n_fields; i++) {
        const struct dm_json *sent = dm_json_get(body, dm_view_of(t->fields[i].name));
        if (sent == NULL || (t->fields[i].flags & DM_FIELD_SERVER) != 0)
            continue;
        enum dm_code rc = update_field(t, &t->fields[i], sent, patch, err);
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
        const struct dm_json *old = dm_json_get(doc, dm_json_name(m));
        if (old != NULL && dm_json_equal(old, m))
            continue;
        dm_json_set(doc, dm_json_name(m), dm_json_clone(m));
        changed++;
    }
    return changed;
}

/* Of the simple kinds that defaults are: its text is the table's. */
static bool is_default(const struct dm_field *f, const struct dm_json *value)
{
    struct dm_buf text;
    bool same;

    if (f->default_json == NULL)
        return false;
    dm_buf_init(&text, 64); /* longer than any default; what does not fit is none */
    dm_json_write(value, &text);
    same = dm_buf_ok(&text) && dm_view_eq(dm_buf_view(&text), dm_view_of(f->default_json));
    dm_buf_done(&text);
    return same;
}

struct dm_json *dm_record_project(const struct dm_record_type *t, const struct dm_json *doc)
{
    struct dm_json *out = dm_json_new_object();
    for (size_t i = 0; i < t->n_fields; i++) {
        dm_view name = dm_view_of(t->fields[i].name);
        const struct dm_json *value = dm_json_get(doc, name);
        /* Null and the default read as absent: not worth their bytes, thousands of times over. */
        if ((t->fields[i].flags & DM_FIELD_PROJECTED) != 0 && !dm_json_is(value, DM_JSON_NULL) &&
            !is_default(&t->fields[i], value))
            dm_json_set(out, name, dm_json_clone(value));
    }
    return out;
}
