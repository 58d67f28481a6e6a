#include <string.h>

#include "base/assert.h"
#include "store/mongo/mongo_internal.h"

#include "base/poison.h"

/* A text that no stored document can hold. */
static bool is_impossible(const struct dm_filter *f)
{
    return f->kind == DM_JSON_STRING &&
           (!dm_utf8_valid(f->str) || dm_view_find_byte(f->str, '\0', 0) != f->str.len);
}

static void append_operand(bson_t *b, const char *op, const struct dm_filter *f)
{
    switch (f->kind) {
    case DM_JSON_STRING:
        bson_append_utf8(b, op, -1, f->str.len == 0 ? "" : f->str.ptr, (int)f->str.len);
        return;
    case DM_JSON_INT:
        BSON_APPEND_INT64(b, op, f->num);
        return;
    case DM_JSON_BOOL:
        BSON_APPEND_BOOL(b, op, f->num != 0);
        return;
    default:
        DM_UNREACHABLE(); /* documents.h: string, int or bool */
    }
}

/* {field: {$eq: value}}: the value stands where no operator of a client's can be read. */
static void append_condition(bson_t *b, const struct dm_filter *f)
{
    bson_t ops, inner;
    BSON_APPEND_DOCUMENT_BEGIN(b, f->field, &ops);
    switch (f->op) {
    case DM_FILTER_EQ:
        append_operand(&ops, "$eq", f);
        break;
    case DM_FILTER_NE:
        append_operand(&ops, "$ne", f);
        break;
    case DM_FILTER_HAS:
        BSON_APPEND_DOCUMENT_BEGIN(&ops, "$elemMatch", &inner);
        append_operand(&inner, "$eq", f);
        bson_append_document_end(&ops, &inner);
        break;
    }
    bson_append_document_end(b, &ops);
}

/* Always below $and: two conditions on one field would otherwise be two members of one name. */
bool dm_mongo_filter(const struct dm_filter *filters, size_t n, bson_t *out)
{
    bson_t all, one;
    char digits[16];
    const char *key;
    uint32_t index = 0;
    bson_init(out);
    if (n == 0)
        return true;
    BSON_APPEND_ARRAY_BEGIN(out, "$and", &all);
    bool possible = true;
    for (size_t i = 0; i < n; i++) {
        if (is_impossible(&filters[i])) {
            possible = possible && filters[i].op == DM_FILTER_NE; /* not equal: always so */
            continue;
        }
        (void)bson_uint32_to_string(index++, &key, digits, sizeof digits);
        BSON_APPEND_DOCUMENT_BEGIN(&all, key, &one);
        append_condition(&one, &filters[i]);
        bson_append_document_end(&all, &one);
    }
    bson_append_array_end(out, &all);
    if (index == 0) /* an empty $and is refused */
        bson_reinit(out);
    return possible;
}

static bool asks_for(const struct dm_filter *filters, size_t n, const char *field)
{
    for (size_t i = 0; i < n; i++) {
        if (filters[i].op == DM_FILTER_EQ && filters[i].kind == DM_JSON_STRING &&
            strcmp(filters[i].field, field) == 0)
            return true;
    }
    return false;
}

bool dm_mongo_filter_is_unique(const struct dm_documents_schema *s, const char *collection,
                               const struct dm_filter *filters, size_t n)
{
    for (size_t i = 0; i < s->n_uniques; i++) {
        const struct dm_documents_unique *u = &s->uniques[i];
        size_t f = 0;
        if (strcmp(u->collection, collection) != 0)
            continue;
        while (u->fields[f] != NULL && asks_for(filters, n, u->fields[f]))
            f++;
        if (u->fields[f] == NULL)
            return true;
    }
    return false;
}

const char *dm_mongo_expiry_field(const struct dm_documents_schema *s, const char *collection)
{
    for (size_t i = 0; i < s->n_expiries; i++) {
        if (strcmp(s->expiries[i].collection, collection) == 0)
            return s->expiries[i].field;
    }
    return NULL;
}
