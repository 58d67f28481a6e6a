#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/log.h"
#include "store/mongo/mongo_internal.h"

#include "base/poison.h"

enum { SET_NAME_CAP = 256 };

/* The name of the replica set that the server of `uri` says it belongs to; empty: none. */
static enum dm_code ask_host(const mongoc_uri_t *uri, struct dm_buf *ret_set, struct dm_error *err)
{
    bson_t command = BSON_INITIALIZER, reply;
    bson_error_t e;
    bson_iter_t it;
    bool away;
    enum dm_code rc = DM_OK;
    mongoc_client_t *client = mongoc_client_new_from_uri_with_error(uri, &e);
    if (client == NULL) {
        bson_destroy(&command);
        return DM_FAIL(err, DM_INVALID, ERR_NONE, "could not use the MongoDB settings: %s",
                       e.message);
    }
    mongoc_client_set_error_api(client, MONGOC_ERROR_API_VERSION_2);
    BSON_APPEND_INT32(&command, "hello", 1);
    if (!mongoc_client_command_simple(client, "admin", &command, NULL, &reply, &e))
        rc = dm_mongo_error(&e, "greet", mongoc_uri_get_hosts(uri)->host_and_port, &away, err);
    else if (bson_iter_init_find(&it, &reply, "setName") && BSON_ITER_HOLDS_UTF8(&it))
        dm_buf_add(ret_set, dm_view_of(bson_iter_utf8(&it, NULL)));
    bson_destroy(&reply);
    bson_destroy(&command);
    mongoc_client_destroy(client);
    return rc;
}

/* One host and a replica set's name (configuration.md §2.4): a standalone server is used as such,
 * a member of another set is a mistake. */
static enum dm_code settle_lone_host(struct dm_mongo *m, struct dm_error *err)
{
    const char *wanted = mongoc_uri_get_replica_set(m->uri);
    const char *host = mongoc_uri_get_hosts(m->uri)->host_and_port;
    struct dm_buf set;
    dm_buf_init(&set, SET_NAME_CAP);
    enum dm_code rc = ask_host(m->direct, &set, err);
    if (rc == DM_OK && dm_buf_view(&set).len == 0) {
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE,
               "MONGO_REPLICA_SET_NAME is set, but the one host is a standalone server",
               DM_FC("host", host));
        mongoc_uri_destroy(m->uri);
        m->uri = DM_TAKE(m->direct);
    } else if (rc == DM_OK && !dm_view_eq(dm_buf_view(&set), dm_view_of(wanted))) {
        rc = DM_FAIL(err, DM_INVALID, ERR_NONE,
                     "could not use MongoDB host \"%s\": it belongs to replica set \"%.*s\", "
                     "MONGO_REPLICA_SET_NAME says \"%s\"",
                     host, DM_FMT(dm_buf_view(&set)), wanted);
    }
    dm_buf_done(&set);
    return rc;
}

static enum dm_code open_pool(struct dm_mongo *m, struct dm_error *err)
{
    bson_error_t e = {0};
    m->pool = mongoc_client_pool_new_with_error(m->uri, &e);
    if (m->pool == NULL) /* a file of the TLS settings, or a mongodb+srv name that has no records */
        return DM_FAIL(err, DM_INVALID, ERR_NONE, "could not use the MongoDB settings: %s",
                       e.message);
    (void)mongoc_client_pool_set_error_api(m->pool, MONGOC_ERROR_API_VERSION_2);
    return DM_OK;
}

/* The lock is held while the host is asked: nobody could do anything else meanwhile, and the wait
 * is bounded by the timeouts of the address. */
enum dm_code dm_mongo_settle(struct dm_mongo *m, struct dm_error *err)
{
    enum dm_code rc = DM_OK;
    if (atomic_load(&m->settled))
        return DM_OK;
    (void)pthread_mutex_lock(&m->lock);
    if (!atomic_load(&m->settled)) {
        rc = m->direct == NULL ? DM_OK : settle_lone_host(m, err);
        if (rc == DM_OK)
            rc = open_pool(m, err);
        if (rc == DM_OK)
            atomic_store(&m->settled, true);
    }
    (void)pthread_mutex_unlock(&m->lock);
    return rc;
}

void dm_mongo_close(struct dm_documents *d)
{
    struct dm_mongo *m = dm_mongo_of(d);
    if (m->pool != NULL)
        mongoc_client_pool_destroy(m->pool);
    mongoc_uri_destroy(m->uri);
    mongoc_uri_destroy(m->direct);
    (void)pthread_mutex_destroy(&m->lock);
    dm_mem_free(m->database);
    dm_mem_free(m);
}

/* The address without the name of the set. */
static enum dm_code build_direct(const struct dm_mongo_config *c, mongoc_uri_t **ret,
                                 struct dm_error *err)
{
    struct dm_mongo_config alone = *c;
    alone.replica_set = DM_VIEW_NONE;
    enum dm_code rc = dm_mongo_uri_build(&alone, ret, err);
    if (rc == DM_OK)
        (void)mongoc_uri_set_option_as_bool(*ret, MONGOC_URI_DIRECTCONNECTION, true);
    return rc;
}

enum dm_code dm_documents_mongo_open(const struct dm_mongo_config *c, struct dm_documents **ret,
                                     struct dm_error *err)
{
    mongoc_uri_t *uri = NULL, *direct = NULL;
    dm_mongo_driver_start();
    enum dm_code rc = dm_mongo_uri_build(c, &uri, err);
    if (rc == DM_OK && c->uri.len == 0 && c->n_hosts == 1 && c->replica_set.len > 0)
        rc = build_direct(c, &direct, err);
    if (rc != DM_OK) {
        mongoc_uri_destroy(uri);
        return rc;
    }
    struct dm_mongo *m = DM_NEW(struct dm_mongo);
    DM_REQUIRE(pthread_mutex_init(&m->lock, NULL) == 0);
    m->base.ops = &dm_mongo_ops;
    m->uri = uri;
    m->direct = direct;
    m->database = dm_mongo_database(c, uri);
    m->schema = c->schema;
    m->operation_timeout_ms = mongoc_uri_get_option_as_int32(uri, MONGOC_URI_SOCKETTIMEOUTMS, 0);
    if (direct == NULL) /* so that a bad file of the TLS settings is told at once */
        rc = dm_mongo_settle(m, err);
    if (rc == DM_OK)
        *ret = &m->base;
    else
        dm_mongo_close(&m->base);
    return rc;
}
