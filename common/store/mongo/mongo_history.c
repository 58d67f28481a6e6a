#include "base/buf.h"
#include "base/clock.h"
#include "crypto/digest.h"
#include "store/mongo/mongo_internal.h"

#include "base/poison.h"

/* What was done to the database (operations.md S002.2): one document per step, {name, version,
 * applied_at, checksum}, made anew when the step is done again. */

#define HISTORY "schema_migrations"
enum { TEXT_CAP = 64 * 1024 }; /* of a whole schema; a few kilobytes are used */

static void add_fields(const char *const *fields, const char *kind, const char *collection,
                       struct dm_buf *out)
{
    dm_buf_addf(out, "%s %s", kind, collection);
    for (size_t i = 0; fields[i] != NULL; i++)
        dm_buf_addf(out, " %s", fields[i]);
    dm_buf_add_byte(out, '\n');
}

/* Of what a program knows about the schema: another sum tells that another program was here. */
static void checksum(const struct dm_documents_schema *s, const char *step, struct dm_buf *out)
{
    unsigned char sum[DM_SHA256_LEN];
    struct dm_buf text;
    dm_buf_init(&text, TEXT_CAP);
    dm_buf_addf(&text, "%s %d\n", step, DM_DOCUMENTS_SCHEMA_VERSION);
    for (size_t i = 0; i < s->n_uniques; i++)
        add_fields(s->uniques[i].fields, "unique", s->uniques[i].collection, &text);
    for (size_t i = 0; i < s->n_indexes; i++)
        add_fields(s->indexes[i].fields, "index", s->indexes[i].collection, &text);
    for (size_t i = 0; i < s->n_expiries; i++)
        dm_buf_addf(&text, "expiry %s %s\n", s->expiries[i].collection, s->expiries[i].field);
    dm_sha256(dm_buf_view(&text), sum);
    for (size_t i = 0; i < sizeof sum; i++)
        dm_buf_addf(out, "%02x", sum[i]);
    dm_buf_done(&text);
}

enum dm_code dm_mongo_history_note(struct dm_mongo *m, mongoc_client_t *client, const char *step,
                                   struct dm_error *err)
{
    bson_t filter = BSON_INITIALIZER, change = BSON_INITIALIZER, opts = BSON_INITIALIZER, set;
    bson_error_t e = {0};
    struct dm_buf sum;
    int64_t now = 0;
    bool away;
    bool ok = dm_mongo_server_time(client, &now, &e);
    mongoc_collection_t *c = mongoc_client_get_collection(client, m->database, HISTORY);
    dm_buf_init(&sum, TEXT_CAP);
    checksum(m->schema, step, &sum);
    BSON_APPEND_UTF8(&filter, "_id", step);
    BSON_APPEND_BOOL(&opts, "upsert", true);
    BSON_APPEND_DOCUMENT_BEGIN(&change, "$set", &set);
    BSON_APPEND_UTF8(&set, "name", step);
    BSON_APPEND_INT32(&set, "version", DM_DOCUMENTS_SCHEMA_VERSION);
    BSON_APPEND_DATE_TIME(&set, "applied_at", now);
    BSON_APPEND_UTF8(&set, "checksum", dm_buf_cstr(&sum));
    bson_append_document_end(&change, &set);
    ok = ok && mongoc_collection_update_one(c, &filter, &change, &opts, NULL, &e);
    dm_buf_done(&sum);
    mongoc_collection_destroy(c);
    bson_destroy(&filter);
    bson_destroy(&change);
    bson_destroy(&opts);
    return ok ? DM_OK : dm_mongo_error(&e, "note a migration in", HISTORY, &away, err);
}

enum dm_code dm_documents_mongo_history(struct dm_documents *d, struct dm_json **ret,
                                        struct dm_error *err)
{
    const struct dm_query by_time = {.sort = "applied_at"};
    return dm_documents_list(d, HISTORY, &by_time, ret, err);
}
