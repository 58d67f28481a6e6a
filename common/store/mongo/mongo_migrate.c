#include "base/log.h"
#include "store/mongo/mongo_internal.h"

#include "base/poison.h"

#define META DM_MONGO_META
#define SCHEMA_ID "schema"

enum {
    /* A command of a migration may take longer than one of a handler (building an index). */
    STEP_TIMEOUT_MS = 60 * 1000,
    /* Renewed before every step. Longer than any step of a sane database; when it ends while one
     * still runs, another admin does the same idempotent step again, which costs time only. */
    LEASE_MS = 20 * 1000
};

struct migration {
    struct dm_mongo *m;
    mongoc_client_t *client;
    mongoc_collection_t *meta;
    struct dm_mongo_lease lease;
    struct dm_documents_migrated done;
};

static enum dm_code fail(const bson_error_t *e, const char *doing, struct dm_error *err)
{
    bool away;
    return dm_mongo_error(e, doing, META, &away, err);
}

static enum dm_code read_version(mongoc_collection_t *meta, int64_t *ret, bson_error_t *e)
{
    bson_t filter = BSON_INITIALIZER;
    const bson_t *doc;
    bson_iter_t it;
    enum dm_code rc = DM_OK;
    BSON_APPEND_UTF8(&filter, "_id", SCHEMA_ID);
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(meta, &filter, NULL, NULL);
    *ret = 0;
    if (mongoc_cursor_next(cursor, &doc)) {
        if (bson_iter_init_find(&it, doc, "version"))
            *ret = bson_iter_as_int64(&it);
    } else if (mongoc_cursor_error(cursor, e)) {
        rc = DM_UNAVAILABLE;
    }
    mongoc_cursor_destroy(cursor);
    bson_destroy(&filter);
    return rc;
}

static enum dm_code judge(int64_t version, struct dm_error *err)
{
    return version <= DM_DOCUMENTS_SCHEMA_VERSION
               ? DM_OK
               : DM_FAIL(err, DM_INVALID, ERR_NONE,
                         "the document store has schema version %lld and this program knows %d: "
                         "start the newer doorman-admin that migrated it",
                         (long long)version, DM_DOCUMENTS_SCHEMA_VERSION);
}

static enum dm_code write_version(struct migration *g, struct dm_error *err)
{
    bson_t filter = BSON_INITIALIZER, change = BSON_INITIALIZER, opts = BSON_INITIALIZER, set;
    bson_error_t e = {0};
    int64_t now = 0;
    bool ok = dm_mongo_server_time(g->client, &now, &e);
    BSON_APPEND_UTF8(&filter, "_id", SCHEMA_ID);
    BSON_APPEND_BOOL(&opts, "upsert", true);
    BSON_APPEND_DOCUMENT_BEGIN(&change, "$set", &set);
    BSON_APPEND_INT32(&set, "version", DM_DOCUMENTS_SCHEMA_VERSION);
    BSON_APPEND_UTF8(&set, "program", DOORMAN_VERSION);
    BSON_APPEND_DATE_TIME(&set, "migrated_at", now);
    bson_append_document_end(&change, &set);
    ok = ok && mongoc_collection_update_one(g->meta, &filter, &change, &opts, NULL, &e);
    bson_destroy(&filter);
    bson_destroy(&change);
    bson_destroy(&opts);
    return ok ? DM_OK : fail(&e, "write the schema version of", err);
}

static enum dm_code set_expiry(mongoc_collection_t *c, const bson_t *doc, const char *field,
                               bson_error_t *e)
{
    bson_t filter = BSON_INITIALIZER, change = BSON_INITIALIZER, set;
    bson_iter_t id, at;
    bool ok = true;
    if (bson_iter_init_find(&id, doc, "_id") && bson_iter_init_find(&at, doc, field)) {
        BSON_APPEND_VALUE(&filter, "_id", bson_iter_value(&id));
        BSON_APPEND_DOCUMENT_BEGIN(&change, "$set", &set);
        BSON_APPEND_DATE_TIME(&set, DM_MONGO_EXPIRES, bson_iter_as_int64(&at) * 1000);
        bson_append_document_end(&change, &set);
        ok = mongoc_collection_update_one(c, &filter, &change, NULL, NULL, e);
    }
    bson_destroy(&filter);
    bson_destroy(&change);
    return ok ? DM_OK : DM_UNAVAILABLE;
}

/* Version 1: documents that others wrote get the date that a TTL index needs. */
static enum dm_code fill_expiry(struct migration *g, const struct dm_documents_expiry *x,
                                struct dm_error *err)
{
    bson_t filter = BSON_INITIALIZER, range;
    bson_error_t e = {0};
    const bson_t *doc;
    enum dm_code rc = DM_OK;
    mongoc_collection_t *c = mongoc_client_get_collection(g->client, g->m->database, x->collection);
    BSON_APPEND_NULL(&filter, DM_MONGO_EXPIRES);
    BSON_APPEND_DOCUMENT_BEGIN(&filter, x->field, &range);
    BSON_APPEND_INT64(&range, "$gt", 0);
    BSON_APPEND_INT64(&range, "$lte", INT64_MAX / 1000);
    bson_append_document_end(&filter, &range);
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(c, &filter, NULL, NULL);
    while (rc == DM_OK && mongoc_cursor_next(cursor, &doc))
        rc = set_expiry(c, doc, x->field, &e);
    if (rc != DM_OK || mongoc_cursor_error(cursor, &e))
        rc = fail(&e, "migrate expiry by", err);
    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(c);
    bson_destroy(&filter);
    return rc;
}

static enum dm_code step_expiry(struct migration *g, struct dm_error *err)
{
    enum dm_code rc = DM_OK;
    for (size_t i = 0; rc == DM_OK && i < g->m->schema->n_expiries; i++)
        rc = fill_expiry(g, &g->m->schema->expiries[i], err);
    return rc;
}

/* Every step may be killed half-way and run again. */
static const struct {
    int64_t version; /* the database has it after the step */
    const char *name;
    enum dm_code (*run)(struct migration *g, struct dm_error *err);
} steps[] = {
    {1, "expiry", step_expiry},
};

static enum dm_code keep_lease(void *ctx, struct dm_error *err)
{
    struct migration *g = ctx;
    return dm_mongo_lease_keep(&g->lease, err);
}

static enum dm_code ensure_indexes(struct migration *g, struct dm_error *err)
{
    enum dm_code rc =
        dm_mongo_indexes_ensure(g->m, g->client, keep_lease, g, &g->done.indexes, err);
    return rc != DM_OK || g->done.indexes == 0
               ? rc
               : dm_mongo_history_note(g->m, g->client, "indexes", err);
}

static enum dm_code run_steps(struct migration *g, int64_t version, struct dm_error *err)
{
    enum dm_code rc = DM_OK;
    for (size_t i = 0; rc == DM_OK && i < DM_COUNT_OF(steps); i++) {
        if (steps[i].version <= version)
            continue;
        DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "documents.migrate", DM_FI("version", steps[i].version),
               DM_FC("step", steps[i].name));
        rc = dm_mongo_lease_keep(&g->lease, err);
        if (rc == DM_OK)
            rc = steps[i].run(g, err);
        if (rc == DM_OK)
            rc = dm_mongo_history_note(g->m, g->client, steps[i].name, err);
        g->done.steps++;
    }
    return rc;
}

/* What other programs wrote, at every migration: they may have written again. */
static enum dm_code adapt(struct migration *g, struct dm_error *err)
{
    if (g->m->schema->adapt == NULL)
        return DM_OK;
    enum dm_code rc = dm_mongo_lease_keep(&g->lease, err);
    if (rc == DM_OK)
        rc = g->m->schema->adapt(&g->m->base, &g->done.documents, err);
    return rc != DM_OK || g->done.documents == 0
               ? rc
               : dm_mongo_history_note(g->m, g->client, "documents", err);
}

static enum dm_code migrate(struct migration *g, struct dm_error *err)
{
    bson_error_t e = {0};
    int64_t version = 0;
    if (read_version(g->meta, &version, &e) != DM_OK)
        return fail(&e, "read the schema version of", err);
    enum dm_code rc = judge(version, err);
    if (rc == DM_OK)
        rc = ensure_indexes(g, err);
    if (rc == DM_OK)
        rc = run_steps(g, version, err);
    if (rc == DM_OK)
        rc = adapt(g, err);
    if (rc == DM_OK && version < DM_DOCUMENTS_SCHEMA_VERSION)
        rc = write_version(g, err);
    return rc;
}

static enum dm_code open_client(struct migration *g, struct dm_error *err)
{
    mongoc_uri_t *uri = mongoc_uri_copy(g->m->uri);
    (void)mongoc_uri_set_option_as_int32(uri, MONGOC_URI_SOCKETTIMEOUTMS, STEP_TIMEOUT_MS);
    g->client = mongoc_client_new_from_uri(uri);
    mongoc_uri_destroy(uri);
    if (g->client == NULL)
        return DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_DOCUMENTS_AWAY,
                       "could not make a client for the migration");
    (void)mongoc_client_set_error_api(g->client, MONGOC_ERROR_API_VERSION_2);
    g->meta = mongoc_client_get_collection(g->client, g->m->database, META);
    g->lease = (struct dm_mongo_lease){.client = g->client,
                                       .meta = g->meta,
                                       .id = "migration_lease",
                                       .doing = "is migrating the document store",
                                       .length_ms = LEASE_MS};
    return DM_OK;
}

enum dm_code dm_documents_mongo_migrate(struct dm_documents *d, struct dm_documents_migrated *ret,
                                        struct dm_error *err)
{
    struct migration g = {.m = dm_mongo_of(d)};
    enum dm_code rc = dm_mongo_settle(g.m, err);
    if (rc == DM_OK)
        rc = open_client(&g, err);
    if (rc != DM_OK)
        return rc;
    rc = dm_mongo_lease_take(&g.lease, err);
    if (rc == DM_OK) {
        rc = migrate(&g, err);
        dm_mongo_lease_give_back(&g.lease);
    }
    mongoc_collection_destroy(g.meta);
    mongoc_client_destroy(g.client);
    if (rc == DM_OK && ret != NULL)
        *ret = g.done;
    return rc;
}

enum dm_code dm_documents_mongo_check(struct dm_documents *d, int64_t *ret_version,
                                      struct dm_error *err)
{
    struct dm_mongo_call call;
    int64_t version = 0;
    enum dm_code rc = dm_mongo_begin(dm_mongo_of(d), META, &call, err);
    if (rc != DM_OK)
        return rc;
    if (read_version(call.collection, &version, &call.error) != DM_OK)
        rc = dm_mongo_failed(&call, "read the schema version of", err);
    dm_mongo_end(&call);
    if (rc == DM_OK && ret_version != NULL)
        *ret_version = version;
    return rc == DM_OK ? judge(version, err) : rc;
}
