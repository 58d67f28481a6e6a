#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "store/mongo/mongo_internal.h"

#include "base/poison.h"

struct dm_mongo *dm_mongo_of(struct dm_documents *d)
{
    return DM_CONTAINER_OF(d, struct dm_mongo, base);
}

static enum dm_code refuse(struct dm_mongo *m, const char *name, const char *why,
                           struct dm_error *err)
{
    atomic_fetch_add_explicit(&m->refused, 1, memory_order_relaxed);
    return DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_DOCUMENTS_AWAY, "could not ask for \"%s\": %s",
                   name, why);
}

/* While the server is away every call would wait for the whole selection timeout, and soon every
 * handler thread would: one of them tries, the others are told at once. */
enum dm_code dm_mongo_begin(struct dm_mongo *m, const char *collection, struct dm_mongo_call *call,
                            struct dm_error *err)
{
    *call = (struct dm_mongo_call){.m = m, .name = collection == NULL ? "admin" : collection};
    atomic_fetch_add_explicit(&m->calls, 1, memory_order_relaxed);
    if (atomic_load(&m->down)) {
        if (atomic_exchange(&m->trying, true))
            return refuse(m, call->name, "document store does not answer", err);
        call->trying = true;
    }
    enum dm_code rc = dm_mongo_settle(m, err);
    if (rc == DM_OK && (call->client = mongoc_client_pool_pop(m->pool)) == NULL)
        rc = refuse(m, call->name, "all clients of the pool are busy", err);
    if (rc != DM_OK) {
        if (call->trying)
            atomic_store(&m->trying, false);
        return rc;
    }
    atomic_fetch_add_explicit(&m->active, 1, memory_order_relaxed);
    if (collection != NULL)
        call->collection = mongoc_client_get_collection(call->client, m->database, collection);
    return DM_OK;
}

void dm_mongo_end(struct dm_mongo_call *call)
{
    struct dm_mongo *m = call->m;
    if (call->collection != NULL)
        mongoc_collection_destroy(call->collection);
    mongoc_client_pool_push(m->pool, call->client);
    atomic_fetch_sub_explicit(&m->active, 1, memory_order_relaxed);
    if (call->away)
        atomic_fetch_add_explicit(&m->failures, 1, memory_order_relaxed);
    bool was_down = atomic_exchange(&m->down, call->away);
    if (call->trying)
        atomic_store(&m->trying, false);
    if (call->away && !was_down)
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "documents.away",
               DM_FC("reason", call->error.message));
    else if (!call->away && was_down)
        DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "documents.back");
}

void dm_documents_mongo_stats(const struct dm_documents *d, struct dm_mongo_stats *ret)
{
    const struct dm_mongo *m = (const struct dm_mongo *)(const void *)d;
    *ret = (struct dm_mongo_stats){
        .up = !atomic_load(&m->down),
        .calls = atomic_load(&m->calls),
        .failures = atomic_load(&m->failures),
        .refused = atomic_load(&m->refused),
        .active = atomic_load(&m->active),
    };
}
