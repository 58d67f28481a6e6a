#include "base/log.h"
#include "store/mongo/mongo_internal.h"

#include "base/poison.h"

enum {
    /* Just under the period at which admins sweep, and not given back: of any number of them one
     * sweeps in each period. */
    LEASE_MS = 55 * 1000
};

static enum dm_code take_lease(struct dm_mongo *m, struct dm_error *err)
{
    struct dm_mongo_call call;
    enum dm_code rc = dm_mongo_begin(m, DM_MONGO_META, &call, err);
    if (rc != DM_OK)
        return rc;
    struct dm_mongo_lease lease = {.client = call.client,
                                   .meta = call.collection,
                                   .id = "sweep_lease",
                                   .doing = "swept lately",
                                   .length_ms = LEASE_MS};
    rc = dm_mongo_lease_take(&lease, err);
    call.away = lease.away;
    call.error = lease.error;
    dm_mongo_end(&call);
    return rc;
}

static enum dm_code sweep_one(struct dm_mongo *m, const struct dm_documents_expiry *e, int64_t now,
                              uint64_t *ret_deleted, struct dm_error *err)
{
    struct dm_mongo_call call;
    bson_t filter = BSON_INITIALIZER, range, reply;
    BSON_APPEND_DOCUMENT_BEGIN(&filter, e->field, &range);
    BSON_APPEND_INT64(&range, "$gt", 0);
    BSON_APPEND_INT64(&range, "$lte", now);
    bson_append_document_end(&filter, &range);
    enum dm_code rc = dm_mongo_begin(m, e->collection, &call, err);
    if (rc == DM_OK) {
        if (!mongoc_collection_delete_many(call.collection, &filter, NULL, &reply, &call.error))
            rc = dm_mongo_failed(&call, "sweep", err);
        *ret_deleted += (uint64_t)dm_mongo_reply_count(&reply, "deletedCount");
        bson_destroy(&reply);
        dm_mongo_end(&call);
    }
    bson_destroy(&filter);
    return rc;
}

enum dm_code dm_documents_mongo_sweep(struct dm_documents *d, int64_t now, uint64_t *ret_deleted,
                                      struct dm_error *err)
{
    struct dm_mongo *m = dm_mongo_of(d);
    enum dm_code rc = take_lease(m, err);
    *ret_deleted = 0;
    for (size_t i = 0; rc == DM_OK && i < m->schema->n_expiries; i++)
        rc = sweep_one(m, &m->schema->expiries[i], now, ret_deleted, err);
    if (rc == DM_OK && *ret_deleted > 0)
        DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "documents.swept",
               DM_FI("deleted", (int64_t)*ret_deleted));
    return rc;
}
