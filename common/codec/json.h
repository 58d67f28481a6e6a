/* Strict JSON (RFC 8259): one tokenizer of ours reads first and refuses what cJSON lets pass
 * (duplicate keys, bad UTF-8, `01`, 1e999, \u0000, lone surrogates, depth, size), then feeds the
 * tree. Trees are mutable values owned by one holder; views into a tree live as long as the node.
 * One thread per tree. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

struct dm_json; /* a value: object, array, string, number, bool, null */

enum dm_json_kind {
    DM_JSON_NULL = 0,
    DM_JSON_BOOL,
    DM_JSON_INT,    /* written without fraction or exponent and fits int64: kept exactly */
    DM_JSON_DOUBLE, /* other numbers, finite */
    DM_JSON_STRING,
    DM_JSON_ARRAY,
    DM_JSON_OBJECT
};

struct dm_json_limits {
    size_t max_bytes;
    unsigned max_depth;
    size_t max_values; /* nodes in all */
};
extern const struct dm_json_limits dm_json_default; /* 16 MiB, depth 64, 1,000,000 values */

enum dm_code dm_json_parse(dm_view text, const struct dm_json_limits *limits, struct dm_json **ret,
                           struct dm_error *err) DM_MUST_USE;
/* The same checks without building a tree. */
enum dm_code dm_json_check(dm_view text, const struct dm_json_limits *limits,
                           struct dm_error *err) DM_MUST_USE;
/* Finds member `name` of the top-level object and gives its raw text, without a tree. */
bool dm_json_raw_member(dm_view object_text, dm_view name, dm_view *ret_raw);
/* Decodes a raw string token ("…" with quotes) into out; false when it is not one. */
bool dm_json_raw_string(dm_view raw, struct dm_buf *out);
bool dm_json_raw_i64(dm_view raw, int64_t *ret);

void dm_json_free(struct dm_json *j);
void dm_json_freep(struct dm_json **j);
void dm_json_wipe(struct dm_json *j); /* overwrites every text in it; for trees that hold secrets */
struct dm_json *dm_json_clone(const struct dm_json *j);
/* The order of members does not matter; 1 equals 1.0. */
bool dm_json_equal(const struct dm_json *a, const struct dm_json *b);

enum dm_json_kind dm_json_kind(const struct dm_json *j); /* NULL counts as DM_JSON_NULL */
bool dm_json_is(const struct dm_json *j, enum dm_json_kind kind);
/* Readers give the fallback when the value is absent or of another kind. */
bool dm_json_bool(const struct dm_json *j, bool fallback);
/* A double without fraction counts; a number beyond int64 gives the fallback. */
int64_t dm_json_i64(const struct dm_json *j, int64_t fallback);
double dm_json_f64(const struct dm_json *j, double fallback);
dm_view dm_json_str(const struct dm_json *j); /* DM_VIEW_NONE when not a string */

/* len, get, at, set and remove walk the children: linear. */
size_t dm_json_len(const struct dm_json *j); /* members or items; 0 for scalars */
struct dm_json *dm_json_get(const struct dm_json *object, dm_view name); /* NULL when absent */
struct dm_json *dm_json_at(const struct dm_json *array, size_t index);
/* Iteration: first child of an object or array, then next; name of an object's member. */
struct dm_json *dm_json_first(const struct dm_json *j);
struct dm_json *dm_json_next(const struct dm_json *child);
dm_view dm_json_name(const struct dm_json *child);

struct dm_json *dm_json_new_object(void);
struct dm_json *dm_json_new_array(void);
/* Bytes that are no UTF-8, and zero bytes, become U+FFFD: texts may come from the wire. */
struct dm_json *dm_json_new_str(dm_view v);
struct dm_json *dm_json_new_i64(int64_t n);
struct dm_json *dm_json_new_f64(double n);
struct dm_json *dm_json_new_bool(bool b);
struct dm_json *dm_json_new_null(void);
/* Take ownership of `value`; set replaces. */
void dm_json_set(struct dm_json *object, dm_view name, struct dm_json *value);
void dm_json_push(struct dm_json *array, struct dm_json *value);
bool dm_json_remove(struct dm_json *object, dm_view name);
/* Shorthands of set. */
void dm_json_set_str(struct dm_json *object, dm_view name, dm_view v);
void dm_json_set_i64(struct dm_json *object, dm_view name, int64_t n);
void dm_json_set_bool(struct dm_json *object, dm_view name, bool b);

/* Compact, UTF-8 unescaped, key order kept. */
void dm_json_write(const struct dm_json *j, struct dm_buf *out);
/* One quoted, escaped string; bytes that are no UTF-8 become U+FFFD. */
void dm_json_write_str(dm_view v, struct dm_buf *out);
