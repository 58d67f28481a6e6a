/* Documents of the admin: collections of JSON objects with a version each. Blocking: called only
 * from the admin's handler threads and offload jobs, never on a loop. Backends: memory, MongoDB.
 * One contract suite (tests/unit/store/documents_contract.h) runs against every backend.
 * Consistency: single-document atomicity, unique keys, version check on replace; no transactions.
 */
#pragma once

#include "codec/json.h"

struct dm_documents; /* a backend: function table inside */

enum { DM_DOCUMENTS_KEY_MAX = 4 };
/* One unique key: up to four top-level string fields. A document in which one of them is absent or
 * no string is not held to the key. */
struct dm_documents_unique {
    const char *collection;
    const char *fields[DM_DOCUMENTS_KEY_MAX + 1]; /* NULL-ended */
};

enum dm_filter_op {
    DM_FILTER_EQ = 0,
    DM_FILTER_NE,
    DM_FILTER_HAS /* array field holds the string */
};
struct dm_filter { /* typed: never built from a client's object */
    const char *field;
    enum dm_filter_op op;
    enum dm_json_kind kind; /* STRING, INT or BOOL */
    dm_view str;
    int64_t num;
};
struct dm_query {
    const struct dm_filter
        *filters; /* all must hold; at most 8. NE holds where the field is absent */
    size_t n_filters;
    const char *sort; /* a top-level string field, bytewise ascending, absent first, ties and NULL:
                         insertion order */
    size_t skip, limit; /* limit 0: all (bounded by the backend at 1,000,000) */
};

/* ret_doc is owned by the caller. ret_version (may be NULL): for replace. DM_UNAVAILABLE when the
 * store does not answer. */
enum dm_code dm_documents_find(struct dm_documents *d, const char *collection,
                               const struct dm_filter *filters, size_t n_filters,
                               struct dm_json **ret_doc, uint64_t *ret_version,
                               struct dm_error *err) DM_MUST_USE; /* first match; DM_NOT_FOUND */
enum dm_code dm_documents_list(struct dm_documents *d, const char *collection,
                               const struct dm_query *q, struct dm_json **ret_array,
                               struct dm_error *err) DM_MUST_USE;
/* Every document of a collection, in no order, one after the other, so that a hundred thousand cost
 * no more memory than one (memory: a pointer each). `fn` may call the store; anything but DM_OK
 * from it ends the walk and is what this gives. What is written meanwhile may be met or not. */
typedef enum dm_code (*dm_documents_each_fn)(void *ctx, const struct dm_json *doc,
                                             struct dm_error *err);
enum dm_code dm_documents_each(struct dm_documents *d, const char *collection,
                               dm_documents_each_fn fn, void *ctx,
                               struct dm_error *err) DM_MUST_USE;
enum dm_code dm_documents_count(struct dm_documents *d, const char *collection,
                                const struct dm_filter *filters, size_t n_filters, uint64_t *ret,
                                struct dm_error *err) DM_MUST_USE;
/* DM_EXISTS when a unique key is taken. */
enum dm_code dm_documents_insert(struct dm_documents *d, const char *collection,
                                 const struct dm_json *doc, struct dm_error *err) DM_MUST_USE;
/* Replaces the one match whose version is still `version`; DM_CONFLICT when it moved on,
 * DM_NOT_FOUND. */
enum dm_code dm_documents_replace(struct dm_documents *d, const char *collection,
                                  const struct dm_filter *key, size_t n_key, uint64_t version,
                                  const struct dm_json *doc, struct dm_error *err) DM_MUST_USE;
enum dm_code dm_documents_delete(struct dm_documents *d, const char *collection,
                                 const struct dm_filter *filters, size_t n_filters,
                                 uint64_t *ret_deleted, struct dm_error *err) DM_MUST_USE;
enum dm_code dm_documents_ping(struct dm_documents *d, struct dm_error *err) DM_MUST_USE;
void dm_documents_free(struct dm_documents *d);

/* Read, change, replace with the version check, again on DM_CONFLICT (at most 16 times). */
typedef enum dm_code (*dm_documents_change_fn)(void *ctx, struct dm_json *doc,
                                               struct dm_error *err);
enum dm_code dm_documents_update(struct dm_documents *d, const char *collection,
                                 const struct dm_filter *key, size_t n_key,
                                 dm_documents_change_fn change, void *ctx, struct dm_json **ret_doc,
                                 struct dm_error *err) DM_MUST_USE;

#define DM_WHERE(f, v)                                                                             \
    ((struct dm_filter){.field = (f), .op = DM_FILTER_EQ, .kind = DM_JSON_STRING, .str = (v)})

/* In process. Documents are kept as packed JSON text, so 10,000 endpoints cost about 2 MB. */
struct dm_documents *dm_documents_memory_new(const struct dm_documents_unique *uniques, size_t n);
/* All collections as one object {collection: [documents]}. */
struct dm_json *dm_documents_memory_export(struct dm_documents *d);
/* Gives the next document (the taker's, with the collection's name borrowed until the next call);
 * *ret_doc NULL: a collection begins, perhaps an empty one. False: that was all. */
typedef bool (*dm_documents_source_fn)(void *ctx, dm_view *ret_collection,
                                       struct dm_json **ret_doc);
/* Into an empty store, all or nothing; one document is in memory twice, not all of them. `next` is
 * called with the store locked. */
enum dm_code dm_documents_memory_import(struct dm_documents *d, dm_documents_source_fn next,
                                        void *ctx, struct dm_error *err) DM_MUST_USE;
