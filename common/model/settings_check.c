/* Rules across keys that hold in every environment: values that contradict each other, keys that go
 * together, what a program cannot do. The guards of production are in settings_guard.c. */
#include "model/settings_load.h"

#include "base/assert.h"
#include "crypto/certificate.h"

#include <stdio.h>
#include <string.h>

#include "base/poison.h"

const struct dm_setting_row *dm_setting_row_of(const struct dm_settings_loading *l, const char *key)
{
    const struct dm_setting_row *row = dm_setting_find(dm_view_of(key));
    DM_REQUIRE(row != NULL);
    (void)l;
    return row;
}

const struct dm_setting_raw *dm_setting_raw_of(const struct dm_settings_loading *l, const char *key)
{
    return &l->raws[dm_setting_row_of(l, key) - l->rows];
}

bool dm_setting_given(const struct dm_settings_loading *l, const char *key)
{
    return dm_setting_raw_of(l, key)->set;
}

bool dm_setting_bad(const struct dm_settings_loading *l, const char *key)
{
    return l->bad[dm_setting_row_of(l, key) - l->rows];
}

void dm_setting_refuse(struct dm_settings_loading *l, const char *key, const char *reason,
                       const char *expected)
{
    const struct dm_setting_row *row = dm_setting_row_of(l, key);
    struct dm_setting_raw raw = *dm_setting_raw_of(l, key);
    struct dm_buf text;
    if (l->bad[row - l->rows])
        return; /* told already: one line per fault */
    dm_buf_init(&text, DM_SETTINGS_FILE_MAX);
    if (!raw.set) {
        dm_setting_write(l->s, row, &text);
        raw = (struct dm_setting_raw){
            .origin = DM_ORIGIN_DEFAULT, .name = row->key, .text = dm_buf_view(&text)};
    }
    dm_setting_fault(l, row, &raw, reason, expected);
    dm_settings_wipe(&text);
}

/* ---- what goes together ---- */

static void check_both(struct dm_settings_loading *l, const char *one, const char *other)
{
    bool has_one = dm_setting_given(l, one), has_other = dm_setting_given(l, other);
    char reason[128];
    if (has_one == has_other || dm_setting_bad(l, one) || dm_setting_bad(l, other))
        return;
    (void)snprintf(reason, sizeof(reason), "set without %s", has_one ? other : one);
    dm_setting_refuse(l, has_one ? one : other, reason, "both or neither");
}

static void check_order(struct dm_settings_loading *l, const char *low, double low_value,
                        const char *high, double high_value)
{
    char reason[160], expected[160];
    if (low_value <= high_value || dm_setting_bad(l, low) || dm_setting_bad(l, high))
        return;
    (void)snprintf(reason, sizeof(reason), "more than %s", high);
    (void)snprintf(expected, sizeof(expected), "at most %.10g", high_value);
    dm_setting_refuse(l, low, reason, expected);
}

static void check_orders(struct dm_settings_loading *l)
{
    const struct dm_settings *s = l->s;
    check_order(l, "DB_POOL_MIN_SIZE", (double)s->db_pool_min_size, "DB_POOL_MAX_SIZE",
                (double)s->db_pool_max_size);
    check_order(l, "HTTP_RETRY_BASE_DELAY", (double)s->http_retry_base_delay / DM_SEC,
                "HTTP_RETRY_MAX_DELAY", (double)s->http_retry_max_delay / DM_SEC);
    check_order(l, "GRPC_RETRY_BASE_MS", (double)s->grpc_retry_base_ms, "GRPC_RETRY_MAX_MS",
                (double)s->grpc_retry_max_ms);
    check_order(l, "RQ_DISPATCH_RETRY_BASE_SECONDS",
                (double)s->rq_dispatch_retry_base_seconds / DM_SEC, "RQ_DISPATCH_RETRY_MAX_SECONDS",
                (double)s->rq_dispatch_retry_max_seconds / DM_SEC);
    check_order(l, "MAX_URI_BYTES", (double)s->max_uri_bytes, "MAX_HEADER_BYTES",
                (double)s->max_header_bytes);
}

/* ---- lifetimes ---- */

int64_t dm_settings_seconds(int64_t count, int unit)
{
    static const int64_t seconds[] = {1, 60, 3600, 86400, 604800};
    DM_REQUIRE(unit >= 0 && (size_t)unit < DM_COUNT_OF(seconds));
    return count * seconds[unit];
}

/* A century: longer ones are typing errors, and nanoseconds in 64 bits end at 292 years. */
static const int64_t life_max = INT64_C(100) * 366 * 86400;

static void check_lifetimes(struct dm_settings_loading *l)
{
    int64_t access = dm_settings_seconds(l->s->auth_expire_time, l->s->auth_expire_time_freq);
    int64_t refresh =
        dm_settings_seconds(l->s->auth_refresh_expire_time, l->s->auth_refresh_expire_freq);
    if (access > life_max)
        dm_setting_refuse(l, "AUTH_EXPIRE_TIME", "longer than a century",
                          "a shorter life in AUTH_EXPIRE_TIME_FREQ");
    if (refresh > life_max)
        dm_setting_refuse(l, "AUTH_REFRESH_EXPIRE_TIME", "longer than a century",
                          "a shorter life in AUTH_REFRESH_EXPIRE_FREQ");
    else if (refresh < access && !dm_setting_bad(l, "AUTH_EXPIRE_TIME") &&
             !dm_setting_bad(l, "AUTH_EXPIRE_TIME_FREQ") &&
             !dm_setting_bad(l, "AUTH_REFRESH_EXPIRE_FREQ"))
        dm_setting_refuse(l, "AUTH_REFRESH_EXPIRE_TIME", "shorter than the life of an access token",
                          "not shorter than AUTH_EXPIRE_TIME");
}

/* ---- programs and stores ---- */

static void check_role(struct dm_settings_loading *l)
{
    static const char *const names[] = {"all", "gateway", "admin"};
    if (!dm_setting_bad(l, "DOORMAN_ROLE") && l->s->doorman_role != (int)l->in->role)
        dm_setting_refuse(l, "DOORMAN_ROLE", "not the role of this program", names[l->in->role]);
    bool memory = l->s->mem_or_external == DM_MEM_OR_EXTERNAL_MEM;
    if (memory && l->in->role != DM_ROLE_ALL)
        dm_setting_refuse(l, "MEM_OR_EXTERNAL", "memory mode needs the program doorman",
                          "REDIS, EXTERNAL");
    else if (!memory && l->in->role == DM_ROLE_ALL)
        dm_setting_refuse(l, "MEM_OR_EXTERNAL", "needs doorman-gateway and doorman-admin", "MEM");
    else if (memory && l->s->threads != 1) /* G6 */
        dm_setting_refuse(l, "THREADS", "memory mode is one worker", "1");
}

static void check_redis(struct dm_settings_loading *l)
{
    struct dm_settings *s = l->s;
    bool memory = s->mem_or_external == DM_MEM_OR_EXTERNAL_MEM;
    bool cluster = s->redis_mode == DM_REDIS_MODE_CLUSTER ||
                   (s->redis_mode == DM_REDIS_MODE_AUTO && s->redis_sentinel_hosts.count == 0 &&
                    s->redis_host.count > 1 && s->redis_url.len == 0);
    if (cluster && s->redis_db != 0)
        dm_setting_refuse(l, "REDIS_DB", "a cluster has only database 0", "0");
    check_both(l, "REDIS_TLS_CERT_FILE", "REDIS_TLS_KEY_FILE");
    if (dm_view_starts(s->redis_url, DM_LIT("rediss://")))
        s->redis_tls = true;
    if (s->redis_url.len > 0) {
        static const char *const parts[] = {"REDIS_HOST", "REDIS_PORT", "REDIS_DB",
                                            "REDIS_PASSWORD"};
        for (size_t i = 0; i < DM_COUNT_OF(parts); i++) {
            if (dm_setting_given(l, parts[i]))
                dm_setting_warn(l, "%s: set together with REDIS_URL, which wins", parts[i]);
        }
    }
    if (memory && s->rate_limit_backend == DM_RATE_LIMIT_BACKEND_REDIS &&
        l->in->role == DM_ROLE_ALL)
        dm_setting_refuse(l, "RATE_LIMIT_BACKEND", "memory mode has no Redis", "memory");
    if (!s->redis_rate_limit_enabled && !dm_setting_given(l, "RATE_LIMIT_BACKEND"))
        s->rate_limit_backend = DM_RATE_LIMIT_BACKEND_MEMORY;
}

static void check_mongo(struct dm_settings_loading *l)
{
    check_both(l, "MONGO_DB_USER", "MONGO_DB_PASSWORD");
    if (l->s->mongo_db_hosts.count > 1 && l->s->mongo_replica_set_name.len == 0 &&
        l->s->mongo_db_uri.len == 0) /* G19 */
        dm_setting_refuse(l, "MONGO_DB_HOSTS", "several hosts and no MONGO_REPLICA_SET_NAME",
                          "one host, or the name of the replica set");
}

/* G27: an end so near that a renewal must have failed. */
static const dm_time certificate_warning = 14 * 86400 * DM_SEC;

static void check_certificate(struct dm_settings_loading *l)
{
    const struct dm_clock *clock = l->in->clock != NULL ? l->in->clock : &dm_clock_system;
    const dm_time now = dm_clock_wall(clock);
    struct dm_buf chain, key;
    dm_time until = now;
    dm_buf_init(&chain, DM_SETTINGS_READ_CAP);
    dm_buf_init(&key, DM_SETTINGS_READ_CAP);
    const char *wrong = dm_settings_read(l->s->ssl_certfile, &chain);
    if (wrong == NULL)
        wrong = dm_settings_read(l->s->ssl_keyfile, &key);
    if (wrong == NULL)
        wrong = dm_certificate_check(dm_buf_view(&chain), dm_buf_view(&key), now, &until);
    if (wrong != NULL)
        dm_setting_refuse(l, "SSL_CERTFILE", wrong, "a PEM chain, and its key in SSL_KEYFILE");
    else if (until - now < certificate_warning)
        dm_setting_warn(l, "SSL_CERTFILE: the certificate ends within 14 days");
    dm_settings_wipe(&key);
    dm_buf_done(&chain);
}

static void check_tls(struct dm_settings_loading *l)
{
    struct dm_settings *s = l->s;
    check_both(l, "SSL_CERTFILE", "SSL_KEYFILE");
    if (s->ssl_certfile.len > 0)
        dm_setting_warn(l, "SSL_CERTFILE: checked, but without effect: this version ends no TLS "
                           "itself, the port speaks plain HTTP; let a proxy do it");
    if (s->ssl_certfile.len > 0 && s->ssl_keyfile.len > 0 && !dm_setting_bad(l, "SSL_CERTFILE") &&
        !dm_setting_bad(l, "SSL_KEYFILE"))
        check_certificate(l);
    if (s->https_enabled && s->ssl_certfile.len > 0)
        dm_setting_refuse(l, "HTTPS_ENABLED",
                          "says that a proxy ends TLS while SSL_CERTFILE is set",
                          "one of HTTPS_ENABLED and SSL_CERTFILE");
    if (s->cookie_samesite == DM_COOKIE_SAMESITE_NONE && !s->secure_mode) /* G23 */
        dm_setting_refuse(l, "COOKIE_SAMESITE", "None needs HTTPS_ONLY or HTTPS_ENABLED",
                          "Strict, Lax");
    if (s->http_enable_http2)
        dm_setting_warn(l, "HTTP_ENABLE_HTTP2: accepted without effect; gRPC upstreams speak "
                           "HTTP/2, others HTTP/1.1");
}

void dm_settings_check_pairs(struct dm_settings_loading *l)
{
    dm_view *base = &l->s->base_url; /* paths are appended to it */
    while (base->len > 0 && base->ptr[base->len - 1] == '/')
        base->len--;
    l->s->secure_mode = l->s->https_only || l->s->https_enabled;
    check_role(l);
    check_redis(l);
    check_mongo(l);
    check_tls(l);
    check_orders(l);
    check_lifetimes(l);
    if (l->s->metrics_port == l->s->port && !dm_setting_bad(l, "PORT"))
        dm_setting_refuse(l, "METRICS_PORT", "the same as PORT", "another port, or 0");
}
