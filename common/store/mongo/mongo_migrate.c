#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "crypto/random.h"
#include "store/mongo/mongo_internal.h"

#include "base/poison.h"

#define META "doorman_meta"
#define SCHEMA_ID "schema"
#define LEASE_ID "migration_lease"

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
    char owner[DM_UUID_LEN + 1];
};

static enum dm_code fail(const bson_error_t *e, const char *doing, struct dm_error *err)
{
    bool away;
    return dm_mongo_error(e, doing, META, &away, err);
}

/* The server's time, so that admins with different clocks agree on who holds the lease. */
static enum dm_code server_time(struct migration *g, int64_t *ret_ms, struct dm_error *err)
{
    bson_t command = BSON_INITIALIZER, reply;
    bson_error_t e = {0};
    bson_iter_t it;
    enum dm_code rc = DM_OK;
    BSON_APPEND_INT32(&command, "hello", 1);
    if (!mongoc_client_command_simple(g->client, "admin", &command, NULL, &reply, &e))
        rc = fail(&e, "read the time of", err);
    else if (bson_iter_init_find(&it, &reply, "localTime") && BSON_ITER_HOLDS_DATE_TIME(&it))
        *ret_ms = bson_iter_date_time(&it);
    else
        rc = DM_FAIL(err, DM_PROTOCOL, ERR_NONE, "could not read the time of the document store");
    bson_destroy(&command);
    bson_destroy(&reply);
    return rc;
}

/* One update of the lease, {_id, member op value}; *ret_matched: it was as expected. */
static enum dm_code update_lease(struct migration *g, bson_t *expected, int64_t until,
                                 bool *ret_matched, struct dm_error *err)
{
    bson_t change = BSON_INITIALIZER, set, reply;
    bson_error_t e = {0};
    enum dm_code rc = DM_OK;
    BSON_APPEND_DOCUMENT_BEGIN(&change, "$set", &set);
    BSON_APPEND_UTF8(&set, "owner", g->owner);
    BSON_APPEND_DATE_TIME(&set, "until", until);
    bson_append_document_end(&change, &set);
    if (!mongoc_collection_update_one(g->meta, expected, &change, NULL, &reply, &e))
        rc = fail(&e, "lease", err);
    *ret_matched = rc == DM_OK && dm_mongo_reply_count(&reply, "matchedCount") > 0;
    bson_destroy(&reply);
    bson_destroy(&change);
    return rc;
}

static enum dm_code take_over_lapsed(struct migration *g, int64_t now, bool *ret_taken,
                                     struct dm_error *err)
{
    bson_t expected = BSON_INITIALIZER, range;
    BSON_APPEND_UTF8(&expected, "_id", LEASE_ID);
    BSON_APPEND_DOCUMENT_BEGIN(&expected, "until", &range);
    BSON_APPEND_DATE_TIME(&range, "$lte", now);
    bson_append_document_end(&expected, &range);
    enum dm_code rc = update_lease(g, &expected, now + LEASE_MS, ret_taken, err);
    bson_destroy(&expected);
    return rc;
}

static enum dm_code found_lease(struct migration *g, int64_t now, struct dm_error *err)
{
    bson_t lease = BSON_INITIALIZER;
    bson_error_t e = {0};
    enum dm_code rc = DM_OK;
    BSON_APPEND_UTF8(&lease, "_id", LEASE_ID);
    BSON_APPEND_UTF8(&lease, "owner", g->owner);
    BSON_APPEND_DATE_TIME(&lease, "until", now + LEASE_MS);
    if (!mongoc_collection_insert_one(g->meta, &lease, NULL, NULL, &e))
        rc = fail(&e, "lease", err);
    if (rc == DM_EXISTS)
        rc = DM_FAIL(err, DM_AGAIN, ERR_NONE, "another admin is migrating the document store");
    bson_destroy(&lease);
    return rc;
}

static enum dm_code take_lease(struct migration *g, struct dm_error *err)
{
    int64_t now = 0;
    bool taken = false;
    enum dm_code rc = server_time(g, &now, err);
    if (rc == DM_OK)
        rc = take_over_lapsed(g, now, &taken, err);
    return rc != DM_OK || taken ? rc : found_lease(g, now, err);
}

static enum dm_code keep_lease(void *ctx, struct dm_error *err)
{
    struct migration *g = ctx;
    bson_t expected = BSON_INITIALIZER;
    int64_t now = 0;
    bool ours = false;
    BSON_APPEND_UTF8(&expected, "_id", LEASE_ID);
    BSON_APPEND_UTF8(&expected, "owner", g->owner);
    enum dm_code rc = server_time(g, &now, err);
    if (rc == DM_OK)
        rc = update_lease(g, &expected, now + LEASE_MS, &ours, err);
    bson_destroy(&expected);
    return rc != DM_OK || ours ? rc
                               : DM_FAIL(err, DM_AGAIN, ERR_NONE,
                                         "another admin took over migrating the document store");
}

/* Best effort: a lease left behind ends by itself. */
static void give_lease_back(struct migration *g)
{
    bson_t ours = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&ours, "_id", LEASE_ID);
    BSON_APPEND_UTF8(&ours, "owner", g->owner);
    (void)mongoc_collection_delete_one(g->meta, &ours, NULL, NULL, NULL);
    bson_destroy(&ours);
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
    enum dm_code rc = server_time(g, &now, err);
    BSON_APPEND_UTF8(&filter, "_id", SCHEMA_ID);
    BSON_APPEND_BOOL(&opts, "upsert", true);
    BSON_APPEND_DOCUMENT_BEGIN(&change, "$set", &set);
    BSON_APPEND_INT32(&set, "version", DM_DOCUMENTS_SCHEMA_VERSION);
    BSON_APPEND_UTF8(&set, "program", DOORMAN_VERSION);
    BSON_APPEND_DATE_TIME(&set, "migrated_at", now);
    bson_append_document_end(&change, &set);
    if (rc == DM_OK && !mongoc_collection_update_one(g->meta, &filter, &change, &opts, NULL, &e))
        rc = fail(&e, "write the schema version of", err);
    bson_destroy(&filter);
    bson_destroy(&change);
    bson_destroy(&opts);
    return rc;
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

static enum dm_code run_steps(struct migration *g, struct dm_error *err)
{
    bson_error_t e = {0};
    int64_t version = 0;
    if (read_version(g->meta, &version, &e) != DM_OK)
        return fail(&e, "read the schema version of", err);
    enum dm_code rc = judge(version, err);
    if (rc == DM_OK)
        rc = dm_mongo_indexes_ensure(g->m, g->client, keep_lease, g, err);
    for (size_t i = 0; rc == DM_OK && i < DM_COUNT_OF(steps); i++) {
        if (steps[i].version <= version)
            continue;
        DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "documents.migrate", DM_FI("version", steps[i].version),
               DM_FC("step", steps[i].name));
        rc = keep_lease(g, err);
        if (rc == DM_OK)
            rc = steps[i].run(g, err);
    }
    if (rc == DM_OK && version < DM_DOCUMENTS_SCHEMA_VERSION)
        rc = write_version(g, err);
    return rc;
}

enum dm_code dm_documents_mongo_migrate(struct dm_documents *d, struct dm_error *err)
{
    struct migration g = {.m = dm_mongo_of(d)};
    enum dm_code rc = dm_mongo_settle(g.m, err);
    if (rc != DM_OK)
        return rc;
    mongoc_uri_t *uri = mongoc_uri_copy(g.m->uri);
    (void)mongoc_uri_set_option_as_int32(uri, MONGOC_URI_SOCKETTIMEOUTMS, STEP_TIMEOUT_MS);
    g.client = mongoc_client_new_from_uri(uri);
    mongoc_uri_destroy(uri);
    if (g.client == NULL)
        return DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_DOCUMENTS_AWAY,
                       "could not make a client for the migration");
    (void)mongoc_client_set_error_api(g.client, MONGOC_ERROR_API_VERSION_2);
    g.meta = mongoc_client_get_collection(g.client, g.m->database, META);
    dm_random_uuid(g.owner);
    rc = take_lease(&g, err);
    if (rc == DM_OK) {
        rc = run_steps(&g, err);
        give_lease_back(&g);
    }
    mongoc_collection_destroy(g.meta);
    mongoc_client_destroy(g.client);
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

enum dm_code dm_documents_mongo_sweep(struct dm_documents *d, int64_t now, uint64_t *ret_deleted,
                                      struct dm_error *err)
{
    struct dm_mongo *m = dm_mongo_of(d);
    enum dm_code rc = DM_OK;
    *ret_deleted = 0;
    for (size_t i = 0; rc == DM_OK && i < m->schema->n_expiries; i++) {
        const struct dm_documents_expiry *e = &m->schema->expiries[i];
        struct dm_mongo_call call;
        bson_t filter = BSON_INITIALIZER, range, reply;
        BSON_APPEND_DOCUMENT_BEGIN(&filter, e->field, &range);
        BSON_APPEND_INT64(&range, "$gt", 0);
        BSON_APPEND_INT64(&range, "$lte", now);
        bson_append_document_end(&filter, &range);
        rc = dm_mongo_begin(m, e->collection, &call, err);
        if (rc == DM_OK) {
            if (!mongoc_collection_delete_many(call.collection, &filter, NULL, &reply, &call.error))
                rc = dm_mongo_failed(&call, "sweep", err);
            *ret_deleted += (uint64_t)dm_mongo_reply_count(&reply, "deletedCount");
            bson_destroy(&reply);
            dm_mongo_end(&call);
        }
        bson_destroy(&filter);
    }
    return rc;
}
