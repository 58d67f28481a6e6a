/* The field tables as JSON schema, for the OpenAPI page: what a client may send, in the words of
 * the table. */
#include "model/record.h"

#include "base/assert.h"

#include "base/poison.h"

static const char *type_name(enum dm_field_type type)
{
    switch (type) {
    case DM_FIELD_STR:
        return "string";
    case DM_FIELD_INT:
        return "integer";
    case DM_FIELD_FLOAT:
        return "number";
    case DM_FIELD_BOOL:
        return "boolean";
    case DM_FIELD_STRS:
        return "array";
    case DM_FIELD_OBJECT:
        return "object";
    case DM_FIELD_ANY:
        break;
    }
    return NULL;
}

static void set_type(struct dm_json *schema, const struct dm_field *f, bool nullable)
{
    const char *name = type_name(f->type);
    if (name == NULL)
        return;
    if (!nullable) {
        dm_json_set_str(schema, DM_LIT("type"), dm_view_of(name));
        return;
    }
    struct dm_json *both = dm_json_new_array();
    dm_json_push(both, dm_json_new_str(dm_view_of(name)));
    dm_json_push(both, dm_json_new_str(DM_LIT("null")));
    dm_json_set(schema, DM_LIT("type"), both);
}

static void set_range(struct dm_json *schema, const struct dm_field *f, bool update)
{
    double min = update && (f->flags & DM_FIELD_UPDATE_MIN) != 0 ? f->update_min : f->min;
    if (f->min > f->max)
        return;
    if (f->type == DM_FIELD_STR || f->type == DM_FIELD_STRS) {
        bool text = f->type == DM_FIELD_STR;
        if (min > 0)
            dm_json_set_i64(schema, text ? DM_LIT("minLength") : DM_LIT("minItems"), (int64_t)min);
        dm_json_set_i64(schema, text ? DM_LIT("maxLength") : DM_LIT("maxItems"), (int64_t)f->max);
        return;
    }
    dm_json_set_i64(schema, DM_LIT("minimum"), (int64_t)min);
    dm_json_set_i64(schema, DM_LIT("maximum"), (int64_t)f->max);
}

static void set_words(struct dm_json *schema, const struct dm_field *f, bool nullable)
{
    struct dm_json *words = dm_json_new_array();
    for (size_t i = 0; f->words[i] != NULL; i++)
        dm_json_push(words, dm_json_new_str(dm_view_of(f->words[i])));
    if (nullable)
        dm_json_push(words, dm_json_new_null());
    dm_json_set(schema, DM_LIT("enum"), words);
}

static struct dm_json *field_schema(const struct dm_field *f, bool update)
{
    struct dm_json *schema = dm_json_new_object(), *initial = NULL;
    bool nullable =
        (f->flags & (update ? DM_FIELD_CLEARABLE : DM_FIELD_NULLABLE | DM_FIELD_NULL_ABSENT)) != 0;
    set_type(schema, f, nullable);
    if (f->type == DM_FIELD_STRS) {
        struct dm_json *items = dm_json_new_object();
        dm_json_set_str(items, DM_LIT("type"), DM_LIT("string"));
        dm_json_set(schema, DM_LIT("items"), items);
    }
    set_range(schema, f, update);
    if (f->words != NULL)
        set_words(schema, f, nullable);
    if (!update && f->default_json != NULL) {
        if (dm_json_parse(dm_view_of(f->default_json), &dm_json_default, &initial, NULL) != DM_OK)
            DM_UNREACHABLE();
        dm_json_set(schema, DM_LIT("default"), initial);
    }
    if ((f->flags & DM_FIELD_SECRET) != 0)
        dm_json_set_bool(schema, DM_LIT("writeOnly"), true);
    return schema;
}

struct dm_json *dm_record_schema(const struct dm_record_type *t, bool update)
{
    struct dm_json *schema = dm_json_new_object(), *fields = dm_json_new_object(),
                   *required = dm_json_new_array();
    for (size_t i = 0; i < t->n_fields; i++) {
        const struct dm_field *f = &t->fields[i];
        if ((f->flags & DM_FIELD_SERVER) != 0)
            continue;
        dm_json_set(fields, dm_view_of(f->name), field_schema(f, update));
        if (!update && (f->flags & DM_FIELD_REQUIRED) != 0)
            dm_json_push(required, dm_json_new_str(dm_view_of(f->name)));
    }
    dm_json_set_str(schema, DM_LIT("type"), DM_LIT("object"));
    dm_json_set(schema, DM_LIT("properties"), fields);
    if (dm_json_len(required) > 0)
        dm_json_set(schema, DM_LIT("required"), required);
    else
        dm_json_free(required);
    return schema;
}
