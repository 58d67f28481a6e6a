#include <string.h>

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
static enum dm_code settle_lone_host(struct dm_mongo_config *c, struct dm_error *err)
{
    struct dm_mongo_config direct = *c;
    mongoc_uri_t *uri = NULL;
    struct dm_buf set;
    direct.replica_set = DM_VIEW_NONE;
    enum dm_code rc = dm_mongo_uri_build(&direct, &uri, err);
    if (rc != DM_OK)
        return rc;
    dm_buf_init(&set, SET_NAME_CAP);
    (void)mongoc_uri_set_option_as_bool(uri, MONGOC_URI_DIRECTCONNECTION, true);
    rc = ask_host(uri, &set, err);
    if (rc == DM_OK && dm_buf_view(&set).len == 0) {
        DM_LOG(
            DM_LOG_WARNING, DM_VIEW_NONE,
            "MONGO_REPLICA_SET_NAME is set, but the one host is a standalone server: used as such",
            DM_F("host", c->hosts[0]));
        c->replica_set = DM_VIEW_NONE;
    } else if (rc == DM_OK && !dm_view_eq(dm_buf_view(&set), c->replica_set)) {
        rc = DM_FAIL(err, DM_INVALID, ERR_NONE,
                     "could not use MongoDB host \"%.*s\": it belongs to replica set \"%.*s\", "
                     "MONGO_REPLICA_SET_NAME says \"%.*s\"",
                     DM_FMT(c->hosts[0]), DM_FMT(dm_buf_view(&set)), DM_FMT(c->replica_set));
    }
    dm_buf_done(&set);
    mongoc_uri_destroy(uri);
    return rc;
}

void dm_mongo_close(struct dm_documents *d)
{
    struct dm_mongo *m = dm_mongo_of(d);
    if (m->pool != NULL)
        mongoc_client_pool_destroy(m->pool);
    mongoc_uri_destroy(m->uri);
    dm_mem_free(m->database);
    dm_mem_free(m);
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

enum dm_code dm_documents_mongo_open(const struct dm_mongo_config *c, struct dm_documents **ret,
                                     struct dm_error *err)
{
    struct dm_mongo_config settled = *c;
    mongoc_uri_t *uri = NULL;
    enum dm_code rc = DM_OK;
    dm_mongo_driver_start();
    if (c->uri.len == 0 && c->n_hosts == 1 && c->replica_set.len > 0)
        rc = settle_lone_host(&settled, err);
    if (rc == DM_OK)
        rc = dm_mongo_uri_build(&settled, &uri, err);
    if (rc != DM_OK)
        return rc;
    struct dm_mongo *m = DM_NEW(struct dm_mongo);
    m->base.ops = &dm_mongo_ops;
    m->uri = uri;
    m->database = dm_mem_text(dm_view_of(mongoc_uri_get_database(uri)));
    m->schema = c->schema;
    m->operation_timeout_ms = mongoc_uri_get_option_as_int32(uri, MONGOC_URI_SOCKETTIMEOUTMS, 0);
    rc = open_pool(m, err);
    if (rc == DM_OK)
        *ret = &m->base;
    else
        dm_mongo_close(&m->base);
    return rc;
}
