#include "crypto/random.h"
#include "store/mongo/mongo_internal.h"

#include "base/poison.h"

static enum dm_code fail(struct dm_mongo_lease *l, const char *doing, struct dm_error *err)
{
    return dm_mongo_error(&l->error, doing, DM_MONGO_META, &l->away, err);
}

bool dm_mongo_server_time(mongoc_client_t *client, int64_t *ret_ms, bson_error_t *e)
{
    bson_t command = BSON_INITIALIZER, reply;
    bson_iter_t it;
    BSON_APPEND_INT32(&command, "hello", 1);
    bool ok = mongoc_client_command_simple(client, "admin", &command, NULL, &reply, e);
    if (ok && bson_iter_init_find(&it, &reply, "localTime") && BSON_ITER_HOLDS_DATE_TIME(&it)) {
        *ret_ms = bson_iter_date_time(&it);
    } else if (ok) {
        bson_set_error(e, MONGOC_ERROR_PROTOCOL, 0, "the server does not tell its time");
        ok = false;
    }
    bson_destroy(&command);
    bson_destroy(&reply);
    return ok;
}

static enum dm_code now_of(struct dm_mongo_lease *l, int64_t *ret_ms, struct dm_error *err)
{
    return dm_mongo_server_time(l->client, ret_ms, &l->error) ? DM_OK
                                                              : fail(l, "read the time of", err);
}

/* One update of the lease; *ret_matched: it was as expected. */
static enum dm_code update_lease(struct dm_mongo_lease *l, bson_t *expected, int64_t until,
                                 bool *ret_matched, struct dm_error *err)
{
    bson_t change = BSON_INITIALIZER, set, reply;
    enum dm_code rc = DM_OK;
    BSON_APPEND_DOCUMENT_BEGIN(&change, "$set", &set);
    BSON_APPEND_UTF8(&set, "owner", l->owner);
    BSON_APPEND_DATE_TIME(&set, "until", until);
    bson_append_document_end(&change, &set);
    if (!mongoc_collection_update_one(l->meta, expected, &change, NULL, &reply, &l->error))
        rc = fail(l, "lease", err);
    *ret_matched = rc == DM_OK && dm_mongo_reply_count(&reply, "matchedCount") > 0;
    bson_destroy(&reply);
    bson_destroy(&change);
    return rc;
}

static enum dm_code take_over_lapsed(struct dm_mongo_lease *l, int64_t now, bool *ret_taken,
                                     struct dm_error *err)
{
    bson_t expected = BSON_INITIALIZER, range;
    BSON_APPEND_UTF8(&expected, "_id", l->id);
    BSON_APPEND_DOCUMENT_BEGIN(&expected, "until", &range);
    BSON_APPEND_DATE_TIME(&range, "$lte", now);
    bson_append_document_end(&expected, &range);
    enum dm_code rc = update_lease(l, &expected, now + l->length_ms, ret_taken, err);
    bson_destroy(&expected);
    return rc;
}

static enum dm_code found_lease(struct dm_mongo_lease *l, int64_t now, struct dm_error *err)
{
    bson_t lease = BSON_INITIALIZER;
    enum dm_code rc = DM_OK;
    BSON_APPEND_UTF8(&lease, "_id", l->id);
    BSON_APPEND_UTF8(&lease, "owner", l->owner);
    BSON_APPEND_DATE_TIME(&lease, "until", now + l->length_ms);
    if (!mongoc_collection_insert_one(l->meta, &lease, NULL, NULL, &l->error))
        rc = fail(l, "lease", err);
    if (rc == DM_EXISTS)
        rc = DM_FAIL(err, DM_AGAIN, ERR_NONE, "another admin %s", l->doing);
    bson_destroy(&lease);
    return rc;
}

enum dm_code dm_mongo_lease_take(struct dm_mongo_lease *l, struct dm_error *err)
{
    int64_t now = 0;
    bool taken = false;
    dm_random_uuid(l->owner);
    enum dm_code rc = now_of(l, &now, err);
    if (rc == DM_OK)
        rc = take_over_lapsed(l, now, &taken, err);
    return rc != DM_OK || taken ? rc : found_lease(l, now, err);
}

enum dm_code dm_mongo_lease_keep(struct dm_mongo_lease *l, struct dm_error *err)
{
    bson_t expected = BSON_INITIALIZER;
    int64_t now = 0;
    bool ours = false;
    BSON_APPEND_UTF8(&expected, "_id", l->id);
    BSON_APPEND_UTF8(&expected, "owner", l->owner);
    enum dm_code rc = now_of(l, &now, err);
    if (rc == DM_OK)
        rc = update_lease(l, &expected, now + l->length_ms, &ours, err);
    bson_destroy(&expected);
    return rc != DM_OK || ours
               ? rc
               : DM_FAIL(err, DM_AGAIN, ERR_NONE, "another admin took over: it %s", l->doing);
}

void dm_mongo_lease_give_back(struct dm_mongo_lease *l)
{
    bson_t ours = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&ours, "_id", l->id);
    BSON_APPEND_UTF8(&ours, "owner", l->owner);
    (void)mongoc_collection_delete_one(l->meta, &ours, NULL, NULL, NULL);
    bson_destroy(&ours);
}
