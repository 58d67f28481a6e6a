#include <pthread.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "store/mongo/mongo_internal.h"

#include "base/poison.h"

enum {
    URI_CAP = 64 * 1024,
    CONNECT_TIMEOUT_MS =
        2000, /* TCP, TLS and greeting; a server that is there takes milliseconds */
    OPERATION_TIMEOUT_MS = 5000 /* a handler thread waits no longer than that for one answer */
};

/* The driver's own lines, at debug: they repeat what our errors say. */
static void on_driver_log(mongoc_log_level_t level, const char *domain, const char *message,
                          void *ctx)
{
    (void)ctx;
    if (level <= MONGOC_LOG_LEVEL_INFO)
        DM_LOG(DM_LOG_DEBUG, DM_VIEW_NONE, "documents.driver", DM_FC("domain", domain),
               DM_FC("text", message));
}

static void start_driver(void)
{
    mongoc_log_set_handler(on_driver_log, NULL);
    mongoc_init();
}

void dm_mongo_driver_start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT; /* never ended: the driver cannot start twice */
    (void)pthread_once(&once, start_driver);
}

/* A text for the driver; false: it holds a zero byte, which the driver would cut at. */
static bool cstr_of(dm_view v, struct dm_buf *out, const char **ret)
{
    dm_buf_init(out, URI_CAP);
    dm_buf_add(out, v);
    *ret = dm_buf_cstr(out);
    return *ret != NULL;
}

/* The message of the driver may quote the address, and with it the password: not repeated. */
static enum dm_code parse_uri(dm_view text, mongoc_uri_t **ret, struct dm_error *err)
{
    struct dm_buf copy;
    const char *uri;
    bson_error_t e;
    *ret = cstr_of(text, &copy, &uri) ? mongoc_uri_new_with_error(uri, &e) : NULL;
    if (copy.ptr_ != NULL)
        dm_mem_wipe(copy.ptr_, copy.len_);
    dm_buf_done(&copy);
    return *ret != NULL
               ? DM_OK
               : DM_FAIL(err, DM_INVALID, ERR_NONE,
                         "could not read MongoDB address: not of the form "
                         "mongodb://[user:password@]host[:port][,...][/database][?options]");
}

static bool host_is_plain(dm_view host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '-' || c == '_' || c == ':' || c == '[' || c == ']'))
            return false;
    }
    return host.len > 0;
}

static enum dm_code uri_of_parts(const struct dm_mongo_config *c, mongoc_uri_t **ret,
                                 struct dm_error *err)
{
    struct dm_buf text;
    dm_buf_init(&text, URI_CAP);
    dm_buf_add(&text, DM_LIT("mongodb://"));
    for (size_t i = 0; i < c->n_hosts; i++) {
        if (!host_is_plain(c->hosts[i])) {
            dm_buf_done(&text);
            return DM_FAIL(err, DM_INVALID, ERR_NONE, "could not use MongoDB host \"%.*s\"",
                           DM_FMT(c->hosts[i]));
        }
        if (i > 0)
            dm_buf_add_byte(&text, ',');
        dm_buf_add(&text, c->hosts[i]);
    }
    dm_buf_add_byte(&text, '/');
    enum dm_code rc = parse_uri(dm_buf_view(&text), ret, err);
    dm_buf_done(&text);
    return rc;
}

typedef bool (*set_fn)(mongoc_uri_t *uri, const char *value);

static bool set_with(set_fn set, mongoc_uri_t *uri, dm_view value)
{
    struct dm_buf copy;
    const char *text;
    bool ok = value.len == 0 || (cstr_of(value, &copy, &text) && set(uri, text));
    if (value.len > 0) {
        if (copy.ptr_ != NULL)
            dm_mem_wipe(copy.ptr_, copy.len_);
        dm_buf_done(&copy);
    }
    return ok;
}

static bool set_replica_set(mongoc_uri_t *uri, const char *value)
{
    return mongoc_uri_set_option_as_utf8(uri, MONGOC_URI_REPLICASET, value);
}

static bool set_ca(mongoc_uri_t *uri, const char *value)
{
    return mongoc_uri_set_option_as_utf8(uri, MONGOC_URI_TLSCAFILE, value);
}

static bool set_cert(mongoc_uri_t *uri, const char *value)
{
    return mongoc_uri_set_option_as_utf8(uri, MONGOC_URI_TLSCERTIFICATEKEYFILE, value);
}

static bool set_parts(const struct dm_mongo_config *c, mongoc_uri_t *uri)
{
    return set_with(mongoc_uri_set_username, uri, c->user) &&
           set_with(mongoc_uri_set_password, uri, c->password) &&
           set_with(set_replica_set, uri, c->replica_set);
}

/* Beside either form: TLS asked for by a setting is never taken back by an address. */
static bool set_tls(const struct dm_mongo_config *c, mongoc_uri_t *uri)
{
    if (c->tls && !mongoc_uri_set_option_as_bool(uri, MONGOC_URI_TLS, true))
        return false;
    return set_with(set_ca, uri, c->tls_ca_file) && set_with(set_cert, uri, c->tls_cert_key_file);
}

static bool set_default(mongoc_uri_t *uri, const char *option, int64_t value)
{
    int32_t n = value > INT32_MAX ? INT32_MAX : (int32_t)value;
    return value <= 0 || mongoc_uri_has_option(uri, option) ||
           mongoc_uri_set_option_as_int32(uri, option, n);
}

/* Acknowledged by a majority, so that a fail-over does not undo what a 2xx has promised. */
static void set_write_concern(mongoc_uri_t *uri, int64_t timeout_ms)
{
    if (mongoc_uri_has_option(uri, MONGOC_URI_W))
        return;
    mongoc_write_concern_t *w = mongoc_write_concern_new();
    mongoc_write_concern_set_wmajority(w, (int32_t)timeout_ms);
    mongoc_uri_set_write_concern(uri, w);
    mongoc_write_concern_destroy(w);
}

/* Deadlines: what an address states itself stays. */
static bool set_limits(const struct dm_mongo_config *c, mongoc_uri_t *uri)
{
    int64_t operation =
        c->operation_timeout_ms > 0 ? c->operation_timeout_ms : OPERATION_TIMEOUT_MS;
    set_write_concern(uri, operation);
    return set_default(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, c->selection_timeout_ms) &&
           set_default(uri, MONGOC_URI_CONNECTTIMEOUTMS, CONNECT_TIMEOUT_MS) &&
           set_default(uri, MONGOC_URI_SOCKETTIMEOUTMS, operation) &&
           set_default(uri, MONGOC_URI_MAXPOOLSIZE, c->pool_max) &&
           set_default(uri, MONGOC_URI_WAITQUEUETIMEOUTMS, c->pool_wait_ms) &&
           mongoc_uri_set_appname(uri, "doorman-admin");
}

/* Kept beside the address: put into it, it would also become where the user is looked up. */
char *dm_mongo_database(const struct dm_mongo_config *c, const mongoc_uri_t *uri)
{
    const char *own = mongoc_uri_get_database(uri);
    if (own != NULL && own[0] != '\0')
        return dm_mem_text(dm_view_of(own));
    return dm_mem_text(c->database.len > 0 ? c->database : DM_LIT("doorman"));
}

enum dm_code dm_mongo_uri_build(const struct dm_mongo_config *c, mongoc_uri_t **ret,
                                struct dm_error *err)
{
    mongoc_uri_t *uri = NULL;
    bool parts = c->uri.len == 0;
    enum dm_code rc = parts ? uri_of_parts(c, &uri, err) : parse_uri(c->uri, &uri, err);
    if (rc != DM_OK)
        return rc;
    if ((!parts || set_parts(c, uri)) && set_tls(c, uri) && set_limits(c, uri)) {
        *ret = uri;
        return DM_OK;
    }
    mongoc_uri_destroy(uri);
    return DM_FAIL(err, DM_INVALID, ERR_NONE,
                   "could not use the MongoDB settings: the driver refuses one of them");
}

void dm_mongo_config_from(const struct dm_settings *s, const struct dm_documents_schema *schema,
                          struct dm_mongo_config *ret)
{
    *ret = (struct dm_mongo_config){
        .uri = s->mongo_db_uri,
        .hosts = s->mongo_db_hosts.items,
        .n_hosts = s->mongo_db_hosts.count,
        .replica_set = s->mongo_replica_set_name,
        .user = s->mongo_db_user,
        .password = dm_secret_view(&s->mongo_db_password),
        .database = s->mongo_db_name,
        .tls = s->mongo_tls,
        .tls_ca_file = s->mongo_tls_ca_file,
        .tls_cert_key_file = s->mongo_tls_cert_key_file,
        .selection_timeout_ms = s->mongo_server_selection_timeout_ms,
        .pool_max = s->db_pool_max_size,
        .pool_wait_ms = s->db_pool_connection_timeout_ms,
        .schema = schema,
    };
}
