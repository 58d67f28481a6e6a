/* The field tables as JSON Schema, for OpenAPI. */
#include "model/record.h"

static void set_bounds(struct dm_json *schema, const struct dm_field *f, double min)
{
    static const struct {
        const char *low, *high;
    } names[] = {
        [DM_FIELD_STR] = {"minLength", "maxLength"}, [DM_FIELD_INT] = {"minimum", "maximum"},
        [DM_FIELD_FLOAT] = {"minimum", "maximum"},   [DM_FIELD_STRS] = {"minItems", "maxItems"},
        [DM_FIELD_OBJECT] = {"minProperties", "maxProperties"},
    };

    if (min > f->max || f->type == DM_FIELD_BOOL || f->type == DM_FIELD_ANY)
        return;
    dm_json_set(schema, dm_view_of(names[f->type].low), dm_json_new_f64(min));
    if (f->max < 1e15)
        dm_json_set(schema, dm_view_of(names[f->type].high), dm_json_new_f64(f->max));
}

static void set_words(struct dm_json *schema, const struct dm_field *f)
{
    struct dm_json *list;

    if (f->words == NULL)
        return;
    list = dm_json_new_array();
    for (size_t i = 0; f->words[i] != NULL; i++)
        dm_json_push(list, dm_json_new_str(dm_view_of(f->words[i])));
    dm_json_set(schema, DM_LIT("enum"), list);
}

static struct dm_json *field_schema(const struct dm_field *f, bool update)
{
    static const char *const types[] = {
        [DM_FIELD_STR] = "string",   [DM_FIELD_INT] = "integer",   [DM_FIELD_FLOAT] = "number",
        [DM_FIELD_BOOL] = "boolean", [DM_FIELD_STRS] = "array",    [DM_FIELD_OBJECT] = "object",
    };
    struct dm_json *schema = dm_json_new_object();

    if (f->type == DM_FIELD_ANY)
        return schema;
    dm_json_set_str(schema, DM_LIT("type"), dm_view_of(types[f->type]));
    if (f->type == DM_FIELD_STRS) {
        struct dm_json *items = dm_json_new_object();
        dm_json_set_str(items, DM_LIT("type"), DM_LIT("string"));
        dm_json_set(schema, DM_LIT("items"), items);
    }
    set_bounds(schema, f, update && (f->flags & DM_FIELD_UPDATE_MIN) ? f->update_min : f->min);
    set_words(schema, f);
    if (f->flags & DM_FIELD_SECRET)
        dm_json_set_bool(schema, DM_LIT("writeOnly"), true);
    return schema;
}

struct dm_json *dm_record_schema(const struct dm_record_type *t, bool update)
{
    struct dm_json *o = dm_json_new_object(), *properties = dm_json_new_object(), *required = dm_json_new_array();

    for (size_t i = 0; i < t->n_fields; i++) {
        const struct dm_field *f = &t->fields[i];

        if (f->flags & DM_FIELD_SERVER)
            continue;
        dm_json_set(properties, dm_view_of(f->name), field_schema(f, update));
        if (!update && (f->flags & DM_FIELD_REQUIRED) != 0)
            dm_json_push(required, dm_json_new_str(dm_view_of(f->name)));
    }
    dm_json_set_str(o, DM_LIT("type"), DM_LIT("object"));
    dm_json_set(o, DM_LIT("properties"), properties);
    if (dm_json_len(required) > 0)
        dm_json_set(o, DM_LIT("required"), required);
    else
        dm_json_free(required);
    return o;
}
