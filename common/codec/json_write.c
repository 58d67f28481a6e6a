#include "base/assert.h"
#include "base/map.h"
#include "codec/json.h"
#include "codec/json_number.h"

#include "base/poison.h"

/* Parsed text is at most DM_JSON_DEPTH_MAX deep and records wrap it in a few levels: more is a bug,
 * and the recursion below stays bounded. */
enum { TREE_DEPTH_MAX = 512 };

/* Objects with more members than this are compared through a table instead of pair by pair. */
enum { FEW_MEMBERS = 16 };

static void write_value(const struct dm_json *j, struct dm_buf *out, unsigned depth);

static void write_children(const struct dm_json *j, struct dm_buf *out, unsigned depth)
{
    bool object = dm_json_is(j, DM_JSON_OBJECT);
    dm_buf_add_byte(out, object ? '{' : '[');
    const struct dm_json *first = dm_json_first(j);
    for (const struct dm_json *child = first; child != NULL; child = dm_json_next(child)) {
        if (child != first)
            dm_buf_add_byte(out, ',');
        if (object) {
            dm_json_write_str(dm_json_name(child), out);
            dm_buf_add_byte(out, ':');
        }
        write_value(child, out, depth + 1);
    }
    dm_buf_add_byte(out, object ? '}' : ']');
}

static void write_value(const struct dm_json *j, struct dm_buf *out, unsigned depth)
{
    char scratch[DM_JSON_NUMBER_TEXT];
    DM_REQUIRE(depth < TREE_DEPTH_MAX);
    switch (dm_json_kind(j)) {
    case DM_JSON_NULL:
        dm_buf_add(out, DM_LIT("null"));
        return;
    case DM_JSON_BOOL:
        dm_buf_add(out, dm_json_bool(j, false) ? DM_LIT("true") : DM_LIT("false"));
        return;
    case DM_JSON_INT:
    case DM_JSON_DOUBLE:
        dm_buf_add(out, dm_json_number_text(j, scratch));
        return;
    case DM_JSON_STRING:
        dm_json_write_str(dm_json_str(j), out);
        return;
    case DM_JSON_ARRAY:
    case DM_JSON_OBJECT:
        write_children(j, out, depth);
        return;
    }
    DM_UNREACHABLE();
}

void dm_json_write(const struct dm_json *j, struct dm_buf *out)
{
    write_value(j, out, 0);
}

static bool equal_value(const struct dm_json *a, const struct dm_json *b, unsigned depth);

static bool equal_items(const struct dm_json *a, const struct dm_json *b, unsigned depth)
{
    a = dm_json_first(a);
    b = dm_json_first(b);
    while (a != NULL && b != NULL && equal_value(a, b, depth + 1)) {
        a = dm_json_next(a);
        b = dm_json_next(b);
    }
    return a == NULL && b == NULL;
}

static bool equal_members(const struct dm_json *a, const struct dm_json *b, unsigned depth)
{
    size_t n = dm_json_len(a);
    if (n != dm_json_len(b))
        return false;
    struct dm_map *table = n > FEW_MEMBERS ? dm_map_new(NULL) : NULL;
    for (struct dm_json *m = dm_json_first(b); table != NULL && m != NULL; m = dm_json_next(m))
        dm_map_put(table, dm_json_name(m), m);
    bool equal = true;
    for (struct dm_json *m = dm_json_first(a); equal && m != NULL; m = dm_json_next(m)) {
        const struct dm_json *other =
            table != NULL ? dm_map_get(table, dm_json_name(m)) : dm_json_get(b, dm_json_name(m));
        equal = other != NULL && equal_value(m, other, depth + 1);
    }
    dm_map_free(table);
    return equal;
}

static bool is_number(enum dm_json_kind kind)
{
    return kind == DM_JSON_INT || kind == DM_JSON_DOUBLE;
}

static bool equal_value(const struct dm_json *a, const struct dm_json *b, unsigned depth)
{
    DM_REQUIRE(depth < TREE_DEPTH_MAX);
    enum dm_json_kind kind = dm_json_kind(a);
    if (is_number(kind) && is_number(dm_json_kind(b)))
        return dm_json_number_equal(a, b);
    if (kind != dm_json_kind(b))
        return false;
    switch (kind) {
    case DM_JSON_BOOL:
        return dm_json_bool(a, false) == dm_json_bool(b, false);
    case DM_JSON_STRING:
        return dm_view_eq(dm_json_str(a), dm_json_str(b));
    case DM_JSON_ARRAY:
        return equal_items(a, b, depth);
    case DM_JSON_OBJECT:
        return equal_members(a, b, depth);
    default:
        return true; /* both null */
    }
}

bool dm_json_equal(const struct dm_json *a, const struct dm_json *b)
{
    return equal_value(a, b, 0);
}
