#include <string.h>

#include "crypto/random.h"
#include "store/mongo/mongo_internal.h"

#include "base/poison.h"

enum {
    LIST_MAX = 1000 * 1000, /* documents.h; the memory backend holds no more either */
    WALK_BATCH = 500        /* documents of one answer while walking: some 500 KB */
};

/* 62 bits: fits the server's signed integer, and is not met again by a document made anew. */
static uint64_t first_version(void)
{
    return (dm_random_u64() >> 2) | 1;
}

static void insertion_order(bson_t *opts, const char *field)
{
    bson_t sort;
    BSON_APPEND_DOCUMENT_BEGIN(opts, "sort", &sort);
    if (field != NULL && strcmp(field, "_id") != 0)
        BSON_APPEND_INT32(&sort, field, 1);
    BSON_APPEND_INT32(&sort, "_id", 1); /* begins with the time, then a count */
    bson_append_document_end(opts, &sort);
}

/* So that the server gives up when we do. */
static void time_limit(const struct dm_mongo *m, bson_t *opts)
{
    BSON_APPEND_INT64(opts, "maxTimeMS", m->operation_timeout_ms);
}

static enum dm_code no_match(const char *collection, struct dm_error *err)
{
    return DM_FAIL(err, DM_NOT_FOUND, ERR_NONE, "no match in \"%s\"", collection);
}

static enum dm_code first_of(struct dm_mongo_call *call, const bson_t *filter, const bson_t *opts,
                             struct dm_json **ret_doc, uint64_t *ret_version, struct dm_error *err)
{
    const bson_t *doc;
    enum dm_code rc;
    mongoc_cursor_t *cursor =
        mongoc_collection_find_with_opts(call->collection, filter, opts, NULL);
    if (mongoc_cursor_next(cursor, &doc)) {
        rc = ret_doc == NULL ? DM_OK : dm_mongo_decode(doc, ret_doc, err);
        if (rc == DM_OK && ret_version != NULL)
            *ret_version = dm_mongo_version_of(doc);
    } else if (mongoc_cursor_error(cursor, &call->error)) {
        rc = dm_mongo_failed(call, "find in", err);
    } else {
        rc = no_match(call->name, err);
    }
    mongoc_cursor_destroy(cursor);
    return rc;
}

static enum dm_code mongo_find(struct dm_documents *d, const char *collection,
                               const struct dm_filter *filters, size_t n_filters,
                               struct dm_json **ret_doc, uint64_t *ret_version,
                               struct dm_error *err)
{
    struct dm_mongo *m = dm_mongo_of(d);
    struct dm_mongo_call call;
    bson_t filter, opts = BSON_INITIALIZER;
    if (!dm_mongo_filter(filters, n_filters, &filter)) {
        bson_destroy(&filter);
        return no_match(collection, err);
    }
    BSON_APPEND_INT64(&opts, "limit", 1);
    time_limit(m, &opts);
    if (!dm_mongo_filter_is_unique(m->schema, collection, filters, n_filters))
        insertion_order(&opts, NULL);
    enum dm_code rc = dm_mongo_begin(m, collection, &call, err);
    if (rc == DM_OK) {
        rc = first_of(&call, &filter, &opts, ret_doc, ret_version, err);
        dm_mongo_end(&call);
    }
    bson_destroy(&filter);
    bson_destroy(&opts);
    return rc;
}

static enum dm_code read_all(struct dm_mongo_call *call, const bson_t *filter, const bson_t *opts,
                             struct dm_json *array, struct dm_error *err)
{
    const bson_t *doc;
    enum dm_code rc = DM_OK;
    mongoc_cursor_t *cursor =
        mongoc_collection_find_with_opts(call->collection, filter, opts, NULL);
    while (rc == DM_OK && mongoc_cursor_next(cursor, &doc)) {
        struct dm_json *j = NULL;
        rc = dm_mongo_decode(doc, &j, err);
        if (rc == DM_OK)
            dm_json_push(array, j);
    }
    if (rc == DM_OK && mongoc_cursor_error(cursor, &call->error))
        rc = dm_mongo_failed(call, "list", err);
    mongoc_cursor_destroy(cursor);
    return rc;
}

static enum dm_code list_into(struct dm_mongo *m, const char *collection, const struct dm_query *q,
                              struct dm_json *array, struct dm_error *err)
{
    struct dm_mongo_call call;
    bson_t filter, opts = BSON_INITIALIZER;
    if (!dm_mongo_filter(q->filters, q->n_filters, &filter)) {
        bson_destroy(&filter);
        return DM_OK;
    }
    size_t limit = q->limit == 0 || q->limit > LIST_MAX ? LIST_MAX : q->limit;
    BSON_APPEND_INT64(&opts, "limit", (int64_t)limit);
    if (q->skip > 0)
        BSON_APPEND_INT64(&opts, "skip", q->skip > LIST_MAX ? LIST_MAX : (int64_t)q->skip);
    insertion_order(&opts, q->sort);
    time_limit(m, &opts);
    enum dm_code rc = dm_mongo_begin(m, collection, &call, err);
    if (rc == DM_OK) {
        rc = read_all(&call, &filter, &opts, array, err);
        dm_mongo_end(&call);
    }
    bson_destroy(&filter);
    bson_destroy(&opts);
    return rc;
}

static enum dm_code mongo_list(struct dm_documents *d, const char *collection,
                               const struct dm_query *q, struct dm_json **ret_array,
                               struct dm_error *err)
{
    struct dm_json *array = dm_json_new_array();
    enum dm_code rc = list_into(dm_mongo_of(d), collection, q, array, err);
    if (rc == DM_OK)
        *ret_array = array;
    else
        dm_json_free(array);
    return rc;
}

static enum dm_code walk(struct dm_mongo_call *call, const bson_t *opts, dm_documents_each_fn fn,
                         void *ctx, struct dm_error *err)
{
    const bson_t *doc, everything = BSON_INITIALIZER;
    enum dm_code rc = DM_OK;
    mongoc_cursor_t *cursor =
        mongoc_collection_find_with_opts(call->collection, &everything, opts, NULL);
    while (rc == DM_OK && mongoc_cursor_next(cursor, &doc)) {
        DM_DEFER(dm_json_freep) struct dm_json *j = NULL;
        rc = dm_mongo_decode(doc, &j, err);
        if (rc == DM_OK)
            rc = fn(ctx, j, err);
    }
    if (rc == DM_OK && mongoc_cursor_error(cursor, &call->error))
        rc = dm_mongo_failed(call, "walk through", err);
    mongoc_cursor_destroy(cursor);
    return rc;
}

/* One cursor in the order of the disk: no sort, and no limit on the time of the whole, which grows
 * with the collection; each answer has the silence of a socket as its own. Pages by key would each
 * be a scan where the server does not use an index for them. */
static enum dm_code mongo_each(struct dm_documents *d, const char *collection,
                               dm_documents_each_fn fn, void *ctx, struct dm_error *err)
{
    struct dm_mongo_call call;
    bson_t opts = BSON_INITIALIZER;
    BSON_APPEND_INT32(&opts, "batchSize", WALK_BATCH);
    enum dm_code rc = dm_mongo_begin(dm_mongo_of(d), collection, &call, err);
    if (rc == DM_OK) {
        rc = walk(&call, &opts, fn, ctx, err);
        dm_mongo_end(&call);
    }
    bson_destroy(&opts);
    return rc;
}

static enum dm_code mongo_count(struct dm_documents *d, const char *collection,
                                const struct dm_filter *filters, size_t n_filters, uint64_t *ret,
                                struct dm_error *err)
{
    struct dm_mongo *m = dm_mongo_of(d);
    struct dm_mongo_call call;
    bson_t filter, opts = BSON_INITIALIZER;
    int64_t n = 0;
    bool possible = dm_mongo_filter(filters, n_filters, &filter);
    enum dm_code rc = possible ? dm_mongo_begin(m, collection, &call, err) : DM_OK;
    time_limit(m, &opts);
    if (possible && rc == DM_OK) {
        n = mongoc_collection_count_documents(call.collection, &filter, &opts, NULL, NULL,
                                              &call.error);
        if (n < 0)
            rc = dm_mongo_failed(&call, "count", err);
        dm_mongo_end(&call);
    }
    bson_destroy(&filter);
    bson_destroy(&opts);
    if (rc == DM_OK)
        *ret = (uint64_t)n;
    return rc;
}

/* Names were made harmless by the encoder; the driver's own check would refuse empty ones. */
static void unchecked(bson_t *opts)
{
    BSON_APPEND_BOOL(opts, "validate", false);
}

static enum dm_code mongo_insert(struct dm_documents *d, const char *collection,
                                 const struct dm_json *json, struct dm_error *err)
{
    struct dm_mongo *m = dm_mongo_of(d);
    struct dm_mongo_call call;
    bson_t doc = BSON_INITIALIZER, opts = BSON_INITIALIZER;
    bson_oid_t id;
    bson_oid_init(&id, NULL);
    unchecked(&opts);
    enum dm_code rc = dm_mongo_encode(m, collection, json, &id, first_version(), &doc, err);
    if (rc == DM_OK)
        rc = dm_mongo_begin(m, collection, &call, err);
    if (rc == DM_OK) {
        if (!mongoc_collection_insert_one(call.collection, &doc, &opts, NULL, &call.error))
            rc = dm_mongo_failed(&call, "store in", err);
        dm_mongo_end(&call);
    }
    bson_destroy(&doc);
    bson_destroy(&opts);
    return rc;
}

int64_t dm_mongo_reply_count(const bson_t *reply, const char *name)
{
    bson_iter_t it;
    return bson_iter_init_find(&it, reply, name) && BSON_ITER_HOLDS_NUMBER(&it)
               ? bson_iter_as_int64(&it)
               : 0;
}

/* {$and: [key, {version}]}: of two writers that read the same document one finds no match. */
static void with_version(const bson_t *key, uint64_t version, bson_t *out)
{
    bson_t all, expected;
    bson_init(out);
    BSON_APPEND_ARRAY_BEGIN(out, "$and", &all);
    BSON_APPEND_DOCUMENT(&all, "0", key);
    BSON_APPEND_DOCUMENT_BEGIN(&all, "1", &expected);
    if (version == 0) /* written by another program: no version yet */
        BSON_APPEND_NULL(&expected, DM_MONGO_VERSION);
    else
        BSON_APPEND_INT64(&expected, DM_MONGO_VERSION, (int64_t)version);
    bson_append_document_end(&all, &expected);
    bson_append_array_end(out, &all);
}

static enum dm_code replace_one(struct dm_mongo_call *call, const bson_t *key, uint64_t version,
                                const bson_t *doc, struct dm_error *err)
{
    bson_t filter, reply, opts = BSON_INITIALIZER;
    enum dm_code rc = DM_OK;
    unchecked(&opts);
    with_version(key, version, &filter);
    bool ok =
        mongoc_collection_replace_one(call->collection, &filter, doc, &opts, &reply, &call->error);
    if (!ok)
        rc = dm_mongo_failed(call, "replace in", err);
    else if (dm_mongo_reply_count(&reply, "matchedCount") == 0)
        rc = first_of(call, key, NULL, NULL, NULL, err);
    if (ok && rc == DM_OK && dm_mongo_reply_count(&reply, "matchedCount") == 0)
        rc = DM_FAIL(err, DM_CONFLICT, ERR_NONE, "could not replace: changed meanwhile");
    bson_destroy(&filter);
    bson_destroy(&reply);
    bson_destroy(&opts);
    return rc;
}

static enum dm_code mongo_replace(struct dm_documents *d, const char *collection,
                                  const struct dm_filter *key, size_t n_key, uint64_t version,
                                  const struct dm_json *json, struct dm_error *err)
{
    struct dm_mongo *m = dm_mongo_of(d);
    struct dm_mongo_call call;
    bson_t filter, doc = BSON_INITIALIZER;
    uint64_t next = version == 0 || version >= INT64_MAX - 1 ? first_version() : version + 1;
    enum dm_code rc = dm_mongo_encode(m, collection, json, NULL, next, &doc, err);
    if (!dm_mongo_filter(key, n_key, &filter))
        rc = no_match(collection, err);
    if (rc == DM_OK)
        rc = dm_mongo_begin(m, collection, &call, err);
    if (rc == DM_OK) {
        rc = replace_one(&call, &filter, version, &doc, err);
        dm_mongo_end(&call);
    }
    bson_destroy(&filter);
    bson_destroy(&doc);
    return rc;
}

static enum dm_code mongo_remove(struct dm_documents *d, const char *collection,
                                 const struct dm_filter *filters, size_t n_filters,
                                 uint64_t *ret_deleted, struct dm_error *err)
{
    struct dm_mongo *m = dm_mongo_of(d);
    struct dm_mongo_call call;
    bson_t filter, reply;
    bool possible = dm_mongo_filter(filters, n_filters, &filter);
    enum dm_code rc = possible ? dm_mongo_begin(m, collection, &call, err) : DM_OK;
    if (possible && rc == DM_OK) {
        if (!mongoc_collection_delete_many(call.collection, &filter, NULL, &reply, &call.error))
            rc = dm_mongo_failed(&call, "delete from", err);
        *ret_deleted = (uint64_t)dm_mongo_reply_count(&reply, "deletedCount");
        bson_destroy(&reply);
        dm_mongo_end(&call);
    }
    bson_destroy(&filter);
    return rc;
}

static enum dm_code mongo_ping(struct dm_documents *d, struct dm_error *err)
{
    struct dm_mongo_call call;
    bson_t command = BSON_INITIALIZER;
    enum dm_code rc = dm_mongo_begin(dm_mongo_of(d), NULL, &call, err);
    BSON_APPEND_INT32(&command, "ping", 1);
    if (rc == DM_OK) {
        if (!mongoc_client_command_simple(call.client, "admin", &command, NULL, NULL, &call.error))
            rc = dm_mongo_failed(&call, "ping", err);
        dm_mongo_end(&call);
    }
    bson_destroy(&command);
    return rc;
}

const struct dm_documents_ops dm_mongo_ops = {
    .find = mongo_find,
    .list = mongo_list,
    .each = mongo_each,
    .count = mongo_count,
    .insert = mongo_insert,
    .replace = mongo_replace,
    .remove = mongo_remove,
    .ping = mongo_ping,
    .free = dm_mongo_close,
};
