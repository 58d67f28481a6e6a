#include "base/assert.h"
#include "base/fault.h"
#include "store/documents_backend.h"

#include "base/poison.h"

/* A writer that lost this often in a row meets a livelock, not a race. */
enum { UPDATE_TRIES = 16 };

enum dm_code dm_documents_find(struct dm_documents *d, const char *collection,
                               const struct dm_filter *filters, size_t n_filters,
                               struct dm_json **ret_doc, uint64_t *ret_version,
                               struct dm_error *err)
{
    uint64_t version = 0;
    enum dm_code rc = d->ops->find(d, collection, filters, n_filters, ret_doc, &version, err);
    if (rc == DM_OK && ret_version != NULL)
        *ret_version = version;
    return rc;
}

enum dm_code dm_documents_list(struct dm_documents *d, const char *collection,
                               const struct dm_query *q, struct dm_json **ret_array,
                               struct dm_error *err)
{
    return d->ops->list(d, collection, q, ret_array, err);
}

enum dm_code dm_documents_each(struct dm_documents *d, const char *collection,
                               dm_documents_each_fn fn, void *ctx, struct dm_error *err)
{
    return d->ops->each(d, collection, fn, ctx, err);
}

enum dm_code dm_documents_count(struct dm_documents *d, const char *collection,
                                const struct dm_filter *filters, size_t n_filters, uint64_t *ret,
                                struct dm_error *err)
{
    return d->ops->count(d, collection, filters, n_filters, ret, err);
}

/* Tests end the process between two writes and look at what the next start makes of it. */
static enum dm_code written(enum dm_code rc)
{
    if (rc == DM_OK)
        (void)dm_fault(DM_FAULT_STORE_WRITE_EXIT);
    return rc;
}

enum dm_code dm_documents_insert(struct dm_documents *d, const char *collection,
                                 const struct dm_json *doc, struct dm_error *err)
{
    DM_REQUIRE(dm_json_is(doc, DM_JSON_OBJECT));
    return written(d->ops->insert(d, collection, doc, err));
}

enum dm_code dm_documents_replace(struct dm_documents *d, const char *collection,
                                  const struct dm_filter *key, size_t n_key, uint64_t version,
                                  const struct dm_json *doc, struct dm_error *err)
{
    DM_REQUIRE(dm_json_is(doc, DM_JSON_OBJECT) && n_key > 0);
    return written(d->ops->replace(d, collection, key, n_key, version, doc, err));
}

enum dm_code dm_documents_delete(struct dm_documents *d, const char *collection,
                                 const struct dm_filter *filters, size_t n_filters,
                                 uint64_t *ret_deleted, struct dm_error *err)
{
    uint64_t deleted = 0;
    enum dm_code rc = d->ops->remove(d, collection, filters, n_filters, &deleted, err);
    if (rc == DM_OK && ret_deleted != NULL)
        *ret_deleted = deleted;
    return deleted == 0 ? rc : written(rc);
}

enum dm_code dm_documents_ping(struct dm_documents *d, struct dm_error *err)
{
    return d->ops->ping(d, err);
}

void dm_documents_free(struct dm_documents *d)
{
    if (d != NULL)
        d->ops->free(d);
}

enum dm_code dm_documents_update(struct dm_documents *d, const char *collection,
                                 const struct dm_filter *key, size_t n_key,
                                 dm_documents_change_fn change, void *ctx, struct dm_json **ret_doc,
                                 struct dm_error *err)
{
    for (int i = 0; i < UPDATE_TRIES; i++) {
        DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
        uint64_t version = 0;
        enum dm_code rc = dm_documents_find(d, collection, key, n_key, &doc, &version, err);
        if (rc == DM_OK)
            rc = change(ctx, doc, err);
        if (rc != DM_OK)
            return rc;
        rc = dm_documents_replace(d, collection, key, n_key, version, doc, err);
        if (rc == DM_OK && ret_doc != NULL)
            *ret_doc = DM_TAKE(doc);
        if (rc != DM_CONFLICT)
            return rc;
    }
    return DM_FAIL(err, DM_CONFLICT, ERR_NONE,
                   "could not update in \"%s\": changed %d times meanwhile", collection,
                   UPDATE_TRIES);
}
