#include "codec/json.h"

#include <cjson/cJSON.h>
#include <string.h>

#include "base/assert.h"
#include "base/map.h"
#include "codec/json_number.h"
#include "codec/json_scan.h"
#include "codec/json_text.h"

#include "base/poison.h"

/* A struct dm_json is a cJSON node under another name. Numbers: a cJSON_Number that is whole and at
 * most 2^53 away from zero is an INT; other doubles are DOUBLE. A cJSON_Raw keeps the text of the
 * rest: larger integers, which a double would round, and doubles that would read as integers
 * ("1.0"). */

static void *alloc_node(size_t size)
{
    return dm_mem_alloc(size);
}

/* Before main, so that no thread can have a node of the other allocator. */
__attribute__((constructor)) static void use_own_heap(void)
{
    cJSON_Hooks hooks = {.malloc_fn = alloc_node, .free_fn = dm_mem_free};
    cJSON_InitHooks(&hooks);
}

static cJSON *node(struct dm_json *j)
{
    return (cJSON *)j;
}

static const cJSON *node_const(const struct dm_json *j)
{
    return (const cJSON *)j;
}

static struct dm_json *value(cJSON *n)
{
    DM_ASSERT(n != NULL); /* the allocator aborts, it never gives NULL */
    return (struct dm_json *)n;
}

static int type_of(const struct dm_json *j)
{
    return j == NULL ? cJSON_NULL : node_const(j)->type & 0xFF;
}

static dm_view raw_number(const struct dm_json *j)
{
    return dm_view_of(node_const(j)->valuestring);
}

/* ---- parsing ---- */

struct builder {
    cJSON *open[DM_JSON_DEPTH_MAX];
    cJSON *root;
    char *name; /* of the next member, NUL-ended, owned */
};

static char *unescaped_text(dm_view raw)
{
    char *text = dm_mem_alloc(raw.len + 1);
    text[dm_json_unescape(raw, text)] = '\0';
    return text;
}

static cJSON *build_string(dm_view raw)
{
    cJSON *n = cJSON_CreateNull();
    n->type = cJSON_String;
    n->valuestring = unescaped_text(raw);
    return n;
}

static cJSON *build_raw(dm_view text)
{
    cJSON *n = cJSON_CreateNull();
    n->type = cJSON_Raw;
    n->valuestring = dm_mem_text(text);
    return n;
}

static cJSON *build_i64(int64_t n)
{
    if (dm_json_i64_is_small(n))
        return cJSON_CreateNumber((double)n);
    char text[DM_JSON_NUMBER_TEXT];
    return build_raw(dm_view_make(text, dm_json_format_i64(n, text)));
}

static cJSON *build_f64(double n)
{
    if (!dm_json_f64_looks_whole(n))
        return cJSON_CreateNumber(n);
    char text[DM_JSON_NUMBER_TEXT];
    return build_raw(dm_view_make(text, dm_json_format_f64(n, text)));
}

static cJSON *build_number(dm_view raw, bool integer)
{
    int64_t whole;
    double real;
    if (integer && dm_parse_i64(raw, INT64_MIN, INT64_MAX, &whole))
        return build_i64(whole);
    if (integer)
        return build_raw(raw); /* beyond int64: written back as it came, read as a double */
    bool finite = dm_parse_f64(raw, &real);
    DM_ASSERT(finite);
    return build_f64(real);
}

static cJSON *build_value(enum dm_json_token token, dm_view raw, const struct dm_json_scan *s)
{
    switch (token) {
    case DM_JSON_TOKEN_OBJECT:
        return cJSON_CreateObject();
    case DM_JSON_TOKEN_ARRAY:
        return cJSON_CreateArray();
    case DM_JSON_TOKEN_STRING:
        return build_string(raw);
    case DM_JSON_TOKEN_NUMBER:
        return build_number(raw, dm_json_scan_integer(s));
    case DM_JSON_TOKEN_TRUE:
        return cJSON_CreateTrue();
    case DM_JSON_TOKEN_FALSE:
        return cJSON_CreateFalse();
    case DM_JSON_TOKEN_NULL:
        return cJSON_CreateNull();
    default:
        DM_UNREACHABLE();
    }
}

static void attach(struct builder *b, cJSON *n, unsigned depth)
{
    n->string = DM_TAKE(b->name);
    if (depth == 0)
        b->root = n;
    else
        cJSON_AddItemToArray(b->open[depth - 1], n); /* for objects too: the name is in place */
}

static void build_token(struct builder *b, const struct dm_json_scan *s, enum dm_json_token token,
                        dm_view raw)
{
    unsigned depth = dm_json_scan_depth(s);
    if (token == DM_JSON_TOKEN_OBJECT_END || token == DM_JSON_TOKEN_ARRAY_END)
        return;
    if (token == DM_JSON_TOKEN_NAME) {
        b->name = unescaped_text(raw);
        return;
    }
    cJSON *n = build_value(token, raw, s);
    if (token == DM_JSON_TOKEN_OBJECT || token == DM_JSON_TOKEN_ARRAY)
        b->open[--depth] = n;
    attach(b, n, depth);
}

enum dm_code dm_json_parse(dm_view text, const struct dm_json_limits *limits, struct dm_json **ret,
                           struct dm_error *err)
{
    struct dm_json_scan scan;
    struct builder b = {.root = NULL, .name = NULL};
    dm_view raw = DM_VIEW_NONE;
    dm_json_scan_init(&scan, text, limits);
    enum dm_json_token token = dm_json_scan_next(&scan, &raw);
    while (token != DM_JSON_TOKEN_END && token != DM_JSON_TOKEN_FAULT) {
        build_token(&b, &scan, token, raw);
        token = dm_json_scan_next(&scan, &raw);
    }
    enum dm_code code = dm_json_scan_fault(&scan, err);
    dm_json_scan_done(&scan);
    dm_mem_free(b.name);
    if (code != DM_OK)
        cJSON_Delete(b.root);
    else
        *ret = value(b.root);
    return code;
}

void dm_json_free(struct dm_json *j)
{
    cJSON_Delete(node(j));
}

void dm_json_freep(struct dm_json **j)
{
    dm_json_free(*j);
    *j = NULL;
}

void dm_json_wipe(struct dm_json *j)
{
    if (j == NULL)
        return;
    if (node(j)->valuestring != NULL)
        dm_mem_wipe(node(j)->valuestring, strlen(node(j)->valuestring));
    for (struct dm_json *child = dm_json_first(j); child != NULL; child = dm_json_next(child))
        dm_json_wipe(child); /* recursion as deep as the tree, which is bounded */
}

struct dm_json *dm_json_clone(const struct dm_json *j)
{
    if (j == NULL)
        return dm_json_new_null();
    cJSON *copy = cJSON_Duplicate(node_const(j), true);
    DM_ASSERT(copy != NULL);
    dm_mem_free(copy->string); /* a clone is nobody's member */
    copy->string = NULL;
    return value(copy);
}

/* ---- reading ---- */

enum dm_json_kind dm_json_kind(const struct dm_json *j)
{
    switch (type_of(j)) {
    case cJSON_True:
    case cJSON_False:
        return DM_JSON_BOOL;
    case cJSON_Number:
        return dm_json_f64_looks_whole(node_const(j)->valuedouble) ? DM_JSON_INT : DM_JSON_DOUBLE;
    case cJSON_Raw: {
        int64_t ignored;
        return dm_parse_i64(raw_number(j), INT64_MIN, INT64_MAX, &ignored) ? DM_JSON_INT
                                                                           : DM_JSON_DOUBLE;
    }
    case cJSON_String:
        return DM_JSON_STRING;
    case cJSON_Array:
        return DM_JSON_ARRAY;
    case cJSON_Object:
        return DM_JSON_OBJECT;
    default:
        return DM_JSON_NULL;
    }
}

bool dm_json_is(const struct dm_json *j, enum dm_json_kind kind)
{
    return dm_json_kind(j) == kind;
}

bool dm_json_bool(const struct dm_json *j, bool fallback)
{
    int type = type_of(j);
    return type == cJSON_True || (type != cJSON_False && fallback);
}

/* Exact value of a number that is whole, however it was written. */
static bool whole_number(const struct dm_json *j, int64_t *ret)
{
    double real;
    switch (type_of(j)) {
    case cJSON_Number:
        return dm_json_f64_to_i64(node_const(j)->valuedouble, ret);
    case cJSON_Raw:
        if (dm_parse_i64(raw_number(j), INT64_MIN, INT64_MAX, ret))
            return true;
        /* An integer beyond int64 must not come back rounded into it. */
        return dm_view_find_byte(raw_number(j), '.', 0) < raw_number(j).len &&
               dm_parse_f64(raw_number(j), &real) && dm_json_f64_to_i64(real, ret);
    default:
        return false;
    }
}

int64_t dm_json_i64(const struct dm_json *j, int64_t fallback)
{
    int64_t n;
    return whole_number(j, &n) ? n : fallback;
}

double dm_json_f64(const struct dm_json *j, double fallback)
{
    double real;
    switch (type_of(j)) {
    case cJSON_Raw:
        return dm_parse_f64(raw_number(j), &real) ? real : fallback;
    case cJSON_Number:
        return node_const(j)->valuedouble;
    default:
        return fallback;
    }
}

dm_view dm_json_str(const struct dm_json *j)
{
    return type_of(j) == cJSON_String ? dm_view_of(node_const(j)->valuestring) : DM_VIEW_NONE;
}

struct dm_json *dm_json_first(const struct dm_json *j)
{
    return j == NULL ? NULL : (struct dm_json *)node_const(j)->child;
}

struct dm_json *dm_json_next(const struct dm_json *child)
{
    return child == NULL ? NULL : (struct dm_json *)node_const(child)->next;
}

dm_view dm_json_name(const struct dm_json *child)
{
    return child == NULL ? DM_VIEW_NONE : dm_view_of(node_const(child)->string);
}

size_t dm_json_len(const struct dm_json *j)
{
    size_t n = 0;
    for (struct dm_json *child = dm_json_first(j); child != NULL; child = dm_json_next(child))
        n++;
    return n;
}

struct dm_json *dm_json_get(const struct dm_json *object, dm_view name)
{
    if (type_of(object) != cJSON_Object)
        return NULL;
    struct dm_json *child = dm_json_first(object);
    while (child != NULL && !dm_view_eq(dm_json_name(child), name))
        child = dm_json_next(child);
    return child;
}

struct dm_json *dm_json_at(const struct dm_json *array, size_t index)
{
    if (type_of(array) != cJSON_Array)
        return NULL;
    struct dm_json *child = dm_json_first(array);
    while (child != NULL && index > 0) {
        child = dm_json_next(child);
        index--;
    }
    return child;
}

/* ---- building ---- */

struct dm_json *dm_json_new_object(void)
{
    return value(cJSON_CreateObject());
}

struct dm_json *dm_json_new_array(void)
{
    return value(cJSON_CreateArray());
}

struct dm_json *dm_json_new_str(dm_view v)
{
    cJSON *n = cJSON_CreateNull();
    n->type = cJSON_String;
    n->valuestring = dm_json_clean_text(v);
    return value(n);
}

struct dm_json *dm_json_new_i64(int64_t n)
{
    return value(build_i64(n));
}

struct dm_json *dm_json_new_f64(double n)
{
    DM_REQUIRE(dm_json_f64_is_finite(n));
    return value(build_f64(n));
}

struct dm_json *dm_json_new_bool(bool b)
{
    return value(cJSON_CreateBool(b));
}

struct dm_json *dm_json_new_null(void)
{
    return value(cJSON_CreateNull());
}

void dm_json_set(struct dm_json *object, dm_view name, struct dm_json *member)
{
    DM_REQUIRE(type_of(object) == cJSON_Object && member != NULL && member != object);
    cJSON *old = node(dm_json_get(object, name));
    DM_REQUIRE(old != node(member) && node(member)->string == NULL);
    node(member)->string = dm_json_clean_text(name);
    if (old == NULL) {
        cJSON_AddItemToArray(node(object), node(member));
        return;
    }
    cJSON_ReplaceItemViaPointer(node(object), old, node(member));
}

void dm_json_push(struct dm_json *array, struct dm_json *item)
{
    DM_REQUIRE(type_of(array) == cJSON_Array && item != NULL && item != array);
    DM_REQUIRE(node(item)->string == NULL);
    cJSON_AddItemToArray(node(array), node(item));
}

bool dm_json_remove(struct dm_json *object, dm_view name)
{
    struct dm_json *child = dm_json_get(object, name);
    if (child == NULL)
        return false;
    cJSON_Delete(cJSON_DetachItemViaPointer(node(object), node(child)));
    return true;
}

void dm_json_set_str(struct dm_json *object, dm_view name, dm_view v)
{
    dm_json_set(object, name, dm_json_new_str(v));
}

void dm_json_set_i64(struct dm_json *object, dm_view name, int64_t n)
{
    dm_json_set(object, name, dm_json_new_i64(n));
}

void dm_json_set_bool(struct dm_json *object, dm_view name, bool b)
{
    dm_json_set(object, name, dm_json_new_bool(b));
}

dm_view dm_json_number_text(const struct dm_json *j, char scratch[DM_JSON_NUMBER_TEXT])
{
    if (type_of(j) == cJSON_Raw)
        return raw_number(j);
    DM_REQUIRE(type_of(j) == cJSON_Number);
    double n = node_const(j)->valuedouble;
    size_t len = dm_json_f64_looks_whole(n) ? dm_json_format_i64((int64_t)n, scratch)
                                            : dm_json_format_f64(n, scratch);
    return dm_view_make(scratch, len);
}

bool dm_json_number_equal(const struct dm_json *a, const struct dm_json *b)
{
    int64_t x, y;
    bool whole_a = whole_number(a, &x);
    bool whole_b = whole_number(b, &y);
    if (whole_a || whole_b)
        return whole_a && whole_b && x == y;
    if (type_of(a) == cJSON_Raw && type_of(b) == cJSON_Raw) /* integers beyond int64: by digits */
        return dm_view_eq(raw_number(a), raw_number(b));
    return dm_json_f64(a, 0) == dm_json_f64(b, 0);
}
