#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "codec/base64.h"
#include "store/mongo/mongo_internal.h"

#include "base/poison.h"

enum {
    DEPTH_MAX = 65,                         /* levels of the JSON parser, and the document itself */
    DOCUMENT_CAP = 16 * 1024 * 1024 - 4096, /* the server's limit, less what we add */
    NAME_CAP = 4 * 1024 * 1024,             /* a name; the document's limit is the real one */
    TEXT_CAP = 16 * 1024 * 1024,
    UUID_BYTES = 16
};

/* A list that stands in a list is stored as {LIST_IN_LIST: list}: some servers refuse the plain
 * form. A plain one, as others wrote it, is read as well. */
#define LIST_IN_LIST "_dm_list"

/* Names that start with $ or hold a dot mean something to a server, and some refuse them: JSON
 * schemas have them ("$ref"). Stored with %24 and %2E instead, and %25 where a percent sign would
 * be read back as one of these. */
static bool name_is_plain(dm_view name)
{
    return (name.len == 0 || name.ptr[0] != '$') && dm_view_find_byte(name, '.', 0) == name.len &&
           dm_view_find_byte(name, '%', 0) == name.len;
}

static bool is_escape(dm_view at)
{
    return dm_view_starts(at, DM_LIT("%24")) || dm_view_starts(at, DM_LIT("%2E")) ||
           dm_view_starts(at, DM_LIT("%25"));
}

static void escape_name(dm_view name, struct dm_buf *out)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (c == '$' && i == 0)
            dm_buf_add(out, DM_LIT("%24"));
        else if (c == '.')
            dm_buf_add(out, DM_LIT("%2E"));
        else if (c == '%' && is_escape(dm_view_sub(name, i, name.len)))
            dm_buf_add(out, DM_LIT("%25"));
        else
            dm_buf_add_byte(out, c);
    }
}

static void unescape_name(dm_view name, struct dm_buf *out)
{
    for (size_t i = 0; i < name.len; i++) {
        if (!is_escape(dm_view_sub(name, i, name.len))) {
            dm_buf_add_byte(out, name.ptr[i]);
            continue;
        }
        dm_buf_add_byte(out, name.ptr[i + 2] == '4' ? '$' : name.ptr[i + 2] == 'E' ? '.' : '%');
        i += 2;
    }
}

/* ---- JSON to BSON ---- */

struct out_level {
    const struct dm_json *next;
    bson_t *bson, child; /* bson: where members go; child: the level's own, but for the first */
    bson_t wrap;         /* around a list in a list */
    bool array, wrapped;
    uint32_t index;
};

static bool append_scalar(bson_t *b, dm_view name, const struct dm_json *j)
{
    int len = (int)name.len;
    dm_view text;
    switch (dm_json_kind(j)) {
    case DM_JSON_NULL:
        return bson_append_null(b, name.ptr, len);
    case DM_JSON_BOOL:
        return bson_append_bool(b, name.ptr, len, dm_json_bool(j, false));
    case DM_JSON_INT:
        return bson_append_int64(b, name.ptr, len, dm_json_i64(j, 0));
    case DM_JSON_DOUBLE:
        return bson_append_double(b, name.ptr, len, dm_json_f64(j, 0));
    case DM_JSON_STRING:
        text = dm_json_str(j);
        return bson_append_utf8(b, name.ptr, len, text.len == 0 ? "" : text.ptr, (int)text.len);
    case DM_JSON_ARRAY:
    case DM_JSON_OBJECT:
        break;
    }
    DM_UNREACHABLE();
}

static bool begin_level(struct out_level *at, struct out_level *deeper, dm_view name,
                        const struct dm_json *j)
{
    int len = (int)name.len;
    *deeper = (struct out_level){.next = dm_json_first(j), .array = dm_json_is(j, DM_JSON_ARRAY)};
    deeper->bson = &deeper->child;
    deeper->wrapped = at->array && deeper->array;
    if (deeper->wrapped)
        return bson_append_document_begin(at->bson, name.ptr, len, &deeper->wrap) &&
               BSON_APPEND_ARRAY_BEGIN(&deeper->wrap, LIST_IN_LIST, &deeper->child);
    return deeper->array ? bson_append_array_begin(at->bson, name.ptr, len, &deeper->child)
                         : bson_append_document_begin(at->bson, name.ptr, len, &deeper->child);
}

static bool close_level(struct out_level *outer, struct out_level *inner)
{
    if (inner->wrapped)
        return bson_append_array_end(&inner->wrap, &inner->child) &&
               bson_append_document_end(outer->bson, &inner->wrap);
    return inner->array ? bson_append_array_end(outer->bson, &inner->child)
                        : bson_append_document_end(outer->bson, &inner->child);
}

/* One member of the level; *ret_deeper: it is a level of its own, and begun. */
static bool append_named(struct out_level *at, struct out_level *deeper, dm_view name,
                         const struct dm_json *j, bool *ret_deeper)
{
    *ret_deeper = dm_json_is(j, DM_JSON_OBJECT) || dm_json_is(j, DM_JSON_ARRAY);
    return *ret_deeper ? begin_level(at, deeper, name, j) : append_scalar(at->bson, name, j);
}

static bool append_member(struct out_level *at, struct out_level *deeper, const struct dm_json *j,
                          bool *ret_deeper)
{
    char digits[16];
    const char *key;
    dm_view name = dm_json_name(j);
    if (at->array) {
        size_t len = bson_uint32_to_string(at->index++, &key, digits, sizeof digits);
        return append_named(at, deeper, dm_view_make(key, len), j, ret_deeper);
    }
    if (name_is_plain(name))
        return append_named(at, deeper, name.len == 0 ? DM_LIT("") : name, j, ret_deeper);
    struct dm_buf escaped;
    dm_buf_init(&escaped, NAME_CAP);
    escape_name(name, &escaped);
    bool ok = dm_buf_ok(&escaped) && append_named(at, deeper, dm_buf_view(&escaped), j, ret_deeper);
    dm_buf_done(&escaped);
    return ok;
}

static bool is_ours(const struct dm_json *member)
{
    dm_view name = dm_json_name(member);
    return dm_view_eq(name, DM_LIT("_id")) || dm_view_eq(name, DM_LIT(DM_MONGO_VERSION)) ||
           dm_view_eq(name, DM_LIT(DM_MONGO_EXPIRES));
}

/* A null of a unique key is left out: where the server has no partial indexes, two nulls would
 * count as equal, two absent members do not. */
static bool is_null_of_key(const struct dm_documents_schema *s, const char *collection,
                           const struct dm_json *member)
{
    if (!dm_json_is(member, DM_JSON_NULL))
        return false;
    for (size_t i = 0; i < s->n_uniques; i++) {
        const struct dm_documents_unique *u = &s->uniques[i];
        if (strcmp(u->collection, collection) != 0)
            continue;
        for (size_t f = 0; u->fields[f] != NULL; f++) {
            if (dm_view_eq(dm_json_name(member), dm_view_of(u->fields[f])))
                return true;
        }
    }
    return false;
}

/* The members of `doc` behind what is in *out. No recursion: depth is a client's choice. */
static bool append_members(const struct dm_documents_schema *s, const char *collection,
                           const struct dm_json *doc, bson_t *out)
{
    struct out_level levels[DEPTH_MAX];
    size_t depth = 0;
    bool ok = true;
    levels[0] = (struct out_level){.next = dm_json_first(doc), .bson = out};
    while (true) {
        struct out_level *at = &levels[depth];
        const struct dm_json *j = at->next;
        bool deeper = false;
        if (j == NULL) {
            if (depth == 0)
                return ok;
            ok = close_level(&levels[depth - 1], at) && ok;
            depth--;
            continue;
        }
        at->next = dm_json_next(j);
        if (depth == 0 && (is_ours(j) || is_null_of_key(s, collection, j)))
            continue;
        if (depth + 1 == DEPTH_MAX &&
            (dm_json_is(j, DM_JSON_OBJECT) || dm_json_is(j, DM_JSON_ARRAY)))
            ok = false;
        else
            ok = ok && append_member(at, &levels[depth + 1], j, &deeper);
        depth += ok && deeper;
    }
}

static bool append_id(const struct dm_json *doc, const bson_oid_t *oid, bson_t *out)
{
    const struct dm_json *own = dm_json_get(doc, DM_LIT("_id"));
    if (oid == NULL)
        return true;
    if (!dm_json_is(own, DM_JSON_STRING))
        return BSON_APPEND_OID(out, "_id", oid);
    return append_scalar(out, DM_LIT("_id"), own);
}

static bool append_expiry(const struct dm_mongo *m, const char *collection,
                          const struct dm_json *doc, bson_t *out)
{
    const char *field = dm_mongo_expiry_field(m->schema, collection);
    int64_t at = field == NULL ? 0 : dm_json_i64(dm_json_get(doc, dm_view_of(field)), 0);
    if (at <= 0 || at > INT64_MAX / 1000)
        return true;
    return BSON_APPEND_DATE_TIME(out, DM_MONGO_EXPIRES, at * 1000);
}

enum dm_code dm_mongo_encode(const struct dm_mongo *m, const char *collection,
                             const struct dm_json *doc, const bson_oid_t *oid, uint64_t version,
                             bson_t *out, struct dm_error *err)
{
    bool ok = append_id(doc, oid, out) && append_members(m->schema, collection, doc, out) &&
              BSON_APPEND_INT64(out, DM_MONGO_VERSION, (int64_t)version) &&
              append_expiry(m, collection, doc, out);
    if (!ok || out->len > DOCUMENT_CAP)
        return DM_FAIL(err, DM_LIMIT, ERR_NONE,
                       "could not store in \"%s\": larger than %d bytes or deeper than %d levels",
                       collection, DOCUMENT_CAP, DEPTH_MAX - 1);
    return DM_OK;
}

/* ---- BSON to JSON ---- */

static struct dm_json *date_json(int64_t ms)
{
    char iso[DM_ISO_LEN + 1];
    int64_t seconds = ms / 1000, rest = ms % 1000;
    if (ms < INT64_MIN / DM_MS || ms > INT64_MAX / DM_MS)
        return dm_json_new_i64(ms); /* outside the years 1678 to 2262: not written by a clock */
    if (rest < 0) {
        seconds--;
        rest += 1000;
    }
    struct dm_buf text;
    dm_buf_init(&text, 64);
    dm_time_iso(seconds * DM_SEC, iso);
    dm_buf_add(&text, dm_view_make(iso, DM_ISO_LEN - 1)); /* without the Z */
    dm_buf_addf(&text, ".%03dZ", (int)rest);
    struct dm_json *j = dm_json_new_str(dm_buf_view(&text));
    dm_buf_done(&text);
    return j;
}

static struct dm_json *uuid_json(const uint8_t *bytes)
{
    struct dm_buf text;
    dm_buf_init(&text, 64);
    for (int i = 0; i < UUID_BYTES; i++)
        dm_buf_addf(&text, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", bytes[i]);
    struct dm_json *j = dm_json_new_str(dm_buf_view(&text));
    dm_buf_done(&text);
    return j;
}

/* Bytes are what the Python Doorman made of texts (a bcrypt hash): text where they are text. */
static struct dm_json *binary_json(const bson_iter_t *it)
{
    bson_subtype_t kind;
    uint32_t len;
    const uint8_t *bytes;
    bson_iter_binary(it, &kind, &len, &bytes);
    dm_view v = dm_view_make((const char *)bytes, len);
    if (kind == BSON_SUBTYPE_UUID && len == UUID_BYTES)
        return uuid_json(bytes);
    if (dm_utf8_valid(v) && dm_view_find_byte(v, '\0', 0) == v.len)
        return dm_json_new_str(v);
    struct dm_buf text;
    dm_buf_init(&text, 2 * TEXT_CAP);
    dm_base64_encode(v, &text);
    struct dm_json *j = dm_json_new_str(dm_buf_view(&text));
    dm_buf_done(&text);
    return j;
}

static struct dm_json *number_json(double n)
{
    return isfinite(n) ? dm_json_new_f64(n) : dm_json_new_null(); /* JSON has no such numbers */
}

static struct dm_json *decimal_json(const bson_iter_t *it)
{
    bson_decimal128_t d;
    char text[BSON_DECIMAL128_STRING];
    double n;
    (void)bson_iter_decimal128(it, &d);
    bson_decimal128_to_string(&d, text);
    return dm_parse_f64(dm_view_of(text), &n) ? number_json(n) : dm_json_new_str(dm_view_of(text));
}

static struct dm_json *oid_json(const bson_iter_t *it)
{
    char text[25];
    bson_oid_to_string(bson_iter_oid(it), text);
    return dm_json_new_str(dm_view_of(text));
}

static struct dm_json *text_json(const bson_iter_t *it)
{
    uint32_t len = 0;
    switch (bson_iter_type(it)) {
    case BSON_TYPE_UTF8: {
        const char *text = bson_iter_utf8(it, &len);
        return dm_json_new_str(dm_view_make(text, len));
    }
    case BSON_TYPE_SYMBOL: {
        const char *text = bson_iter_symbol(it, &len);
        return dm_json_new_str(dm_view_make(text, len));
    }
    case BSON_TYPE_CODE: {
        const char *text = bson_iter_code(it, &len);
        return dm_json_new_str(dm_view_make(text, len));
    }
    case BSON_TYPE_REGEX:
        return dm_json_new_str(dm_view_of(bson_iter_regex(it, NULL)));
    default:
        return dm_json_new_null(); /* MinKey and their kin: nothing a record could mean */
    }
}

static struct dm_json *scalar_json(const bson_iter_t *it)
{
    uint32_t seconds, step;
    switch (bson_iter_type(it)) {
    case BSON_TYPE_DOUBLE:
        return number_json(bson_iter_double(it));
    case BSON_TYPE_INT32:
        return dm_json_new_i64(bson_iter_int32(it));
    case BSON_TYPE_INT64:
        return dm_json_new_i64(bson_iter_int64(it));
    case BSON_TYPE_BOOL:
        return dm_json_new_bool(bson_iter_bool(it));
    case BSON_TYPE_DATE_TIME:
        return date_json(bson_iter_date_time(it));
    case BSON_TYPE_TIMESTAMP:
        bson_iter_timestamp(it, &seconds, &step);
        return date_json((int64_t)seconds * 1000);
    case BSON_TYPE_OID:
        return oid_json(it);
    case BSON_TYPE_BINARY:
        return binary_json(it);
    case BSON_TYPE_DECIMAL128:
        return decimal_json(it);
    default:
        return text_json(it);
    }
}

struct in_level {
    bson_iter_t it;
    struct dm_json *node;
};

static void add_value(struct dm_json *to, dm_view name, struct dm_json *value)
{
    if (dm_json_is(to, DM_JSON_ARRAY)) {
        dm_json_push(to, value);
    } else if (dm_view_find_byte(name, '%', 0) == name.len) {
        dm_json_set(to, name, value);
    } else {
        struct dm_buf plain;
        dm_buf_init(&plain, NAME_CAP);
        unescape_name(name, &plain);
        dm_json_set(to, dm_buf_view(&plain), value);
        dm_buf_done(&plain);
    }
}

static bool is_hidden(const bson_iter_t *it)
{
    const char *key = bson_iter_key(it);
    return (strcmp(key, "_id") == 0 && bson_iter_type(it) != BSON_TYPE_UTF8) ||
           strcmp(key, DM_MONGO_VERSION) == 0 || strcmp(key, DM_MONGO_EXPIRES) == 0;
}

/* Steps into the list or object at *it; *ret_array: which of them it is for the reader. */
static bool step_into(const bson_iter_t *it, bool in_array, bson_iter_t *ret, bool *ret_array)
{
    bson_iter_t list;
    *ret_array = BSON_ITER_HOLDS_ARRAY(it);
    if (in_array && !*ret_array && bson_iter_recurse(it, &list) &&
        bson_iter_find(&list, LIST_IN_LIST) && BSON_ITER_HOLDS_ARRAY(&list)) {
        *ret_array = true;
        return bson_iter_recurse(&list, ret);
    }
    return bson_iter_recurse(it, ret);
}

static bool read_members(const bson_t *doc, struct dm_json *root)
{
    struct in_level levels[DEPTH_MAX];
    size_t depth = 0;
    levels[0].node = root;
    if (!bson_iter_init(&levels[0].it, doc))
        return false;
    while (true) {
        struct in_level *at = &levels[depth];
        if (!bson_iter_next(&at->it)) {
            if (at->it.err_off != 0)
                return false;
            if (depth-- == 0)
                return true;
            continue;
        }
        bool array;
        if (depth == 0 && is_hidden(&at->it))
            continue;
        dm_view name = dm_view_make(bson_iter_key(&at->it), bson_iter_key_len(&at->it));
        if (!BSON_ITER_HOLDS_ARRAY(&at->it) && !BSON_ITER_HOLDS_DOCUMENT(&at->it)) {
            add_value(at->node, name, scalar_json(&at->it));
            continue;
        }
        if (depth + 1 == DEPTH_MAX ||
            !step_into(&at->it, dm_json_is(at->node, DM_JSON_ARRAY), &levels[depth + 1].it, &array))
            return false;
        levels[++depth].node = array ? dm_json_new_array() : dm_json_new_object();
        add_value(at->node, name, levels[depth].node);
    }
}

enum dm_code dm_mongo_decode(const bson_t *doc, struct dm_json **ret, struct dm_error *err)
{
    struct dm_json *root = dm_json_new_object();
    if (!read_members(doc, root)) {
        dm_json_free(root);
        return DM_FAIL(err, DM_PROTOCOL, ERR_NONE,
                       "could not read stored document: broken or deeper than %d levels",
                       DEPTH_MAX - 1);
    }
    *ret = root;
    return DM_OK;
}

uint64_t dm_mongo_version_of(const bson_t *doc)
{
    bson_iter_t it;
    if (!bson_iter_init_find(&it, doc, DM_MONGO_VERSION) || !BSON_ITER_HOLDS_INT(&it))
        return 0;
    return (uint64_t)bson_iter_as_int64(&it);
}
