#include "store/redis/redis_internal.h"

#include <string.h>

#include "codec/uri.h"

#include "base/poison.h"

enum { PORT = 6379, SENTINEL_PORT = 26379, CREDENTIAL_MAX = 4096, DB_MAX = 255 };
static const dm_time CONNECT_TIMEOUT = 5 * DM_SEC;

/* --- from the settings --- */

static enum dm_code fail(struct dm_error *err, const char *sentence)
{
    return DM_FAIL(err, DM_INVALID, ERR_INTERNAL, "%s", sentence);
}

static enum dm_code take_hosts(const struct dm_strs *hosts, struct dm_redis_config *c,
                               const char *too_many, struct dm_error *err)
{
    if (hosts->count > DM_REDIS_ADDRESSES_MAX)
        return fail(err, too_many);
    for (size_t i = 0; i < hosts->count; i++)
        c->hosts[i] = hosts->items[i];
    c->n_hosts = hosts->count;
    return DM_OK;
}

static bool take_db(dm_view text, int64_t *ret)
{
    return text.len == 0 || dm_parse_i64(text, 0, DB_MAX, ret);
}

/* unix:///path[?db=N] */
static enum dm_code take_unix_url(dm_view rest, struct dm_redis_config *c, struct dm_error *err)
{
    size_t query = dm_view_find_byte(rest, '?', 0);
    c->hosts[0] = dm_view_sub(rest, 0, query);
    c->n_hosts = 1;
    c->db = 0;
    rest = dm_view_sub(rest, query + 1, rest.len);
    if (rest.len == 0)
        return DM_OK;
    if (!dm_view_starts(rest, DM_LIT("db=")) || !take_db(dm_view_sub(rest, 3, rest.len), &c->db))
        return fail(err, "REDIS_URL: after ? only db=0 to db=255 is known");
    return DM_OK;
}

static void take_credentials(dm_view user_info, struct dm_redis_config *c)
{
    size_t colon = dm_view_find_byte(user_info, ':', 0);
    c->encoded = true;
    c->username = dm_view_sub(user_info, 0, colon);
    c->password = dm_view_sub(user_info, colon + 1, user_info.len);
}

/* redis[s]://[user][:password]@host[:port][/db] */
static enum dm_code take_url(dm_view url, struct dm_redis_config *c, struct dm_error *err)
{
    size_t scheme = dm_view_find(url, DM_LIT("://"));
    dm_view rest = dm_view_sub(url, scheme + 3, url.len);
    if (dm_view_eq_nocase(dm_view_sub(url, 0, scheme), DM_LIT("unix")))
        return take_unix_url(rest, c, err);
    if (dm_view_eq_nocase(dm_view_sub(url, 0, scheme), DM_LIT("rediss")))
        c->tls = true;
    size_t slash = dm_view_find_byte(rest, '/', 0);
    dm_view place = dm_view_sub(rest, 0, slash);
    c->db = 0;
    if (!take_db(dm_view_sub(rest, slash + 1, rest.len), &c->db))
        return fail(err, "REDIS_URL: what follows the server must be a database number, 0 to 255");
    size_t at = place.len;
    while (at > 0 && place.ptr[at - 1] != '@') /* the last one: passwords are written as they are */
        at--;
    if (at > 0)
        take_credentials(dm_view_sub(place, 0, at - 1), c);
    c->hosts[0] = dm_view_sub(place, at, place.len);
    c->n_hosts = 1;
    return DM_OK;
}

static enum dm_redis_mode mode_of(const struct dm_settings *s)
{
    bool url = s->redis_url.len > 0;
    switch (s->redis_mode) {
    case DM_REDIS_MODE_STANDALONE:
        return DM_REDIS_STANDALONE;
    case DM_REDIS_MODE_SENTINEL:
        return DM_REDIS_SENTINEL;
    case DM_REDIS_MODE_CLUSTER:
        return DM_REDIS_CLUSTER;
    default:
        if (s->redis_sentinel_hosts.count > 0)
            return DM_REDIS_SENTINEL;
        return s->redis_host.count > 1 && !url ? DM_REDIS_CLUSTER : DM_REDIS_STANDALONE;
    }
}

static enum dm_code check(const struct dm_redis_config *c, struct dm_error *err)
{
    struct dm_redis_address address;
    if (c->n_hosts == 0)
        return fail(err, c->mode == DM_REDIS_SENTINEL
                             ? "REDIS_SENTINEL_HOSTS: none is set, REDIS_MODE=sentinel needs them"
                             : "REDIS_HOST: none is set");
    if (c->mode == DM_REDIS_STANDALONE && c->n_hosts > 1)
        return fail(err, "REDIS_HOST: several servers are set, REDIS_MODE=standalone takes one");
    if (c->mode == DM_REDIS_CLUSTER && c->db != 0)
        return fail(err, "REDIS_DB: a cluster has database 0 only");
    if (c->username.len > 0 && c->password.len == 0)
        return fail(err, "REDIS_PASSWORD: not set, but REDIS_USERNAME is");
    for (size_t i = 0; i < c->n_hosts; i++) {
        if (!dm_redis_address_parse(c->hosts[i], PORT, &address))
            return DM_FAIL(err, DM_INVALID, ERR_INTERNAL, "Redis: no address: \"%.*s\"",
                           DM_FMT(c->hosts[i]));
    }
    if (c->tls && c->hosts[0].ptr[0] == '/')
        return fail(err, "REDIS_TLS: there is no TLS on a Unix socket");
    if (c->tls && (c->tls_cert_file.len > 0) != (c->tls_key_file.len > 0))
        return fail(err, "REDIS_TLS_CERT_FILE, REDIS_TLS_KEY_FILE: one needs the other");
    return DM_OK;
}

enum dm_code dm_redis_config_of(const struct dm_settings *s, struct dm_redis_config *ret,
                                struct dm_error *err)
{
    struct dm_redis_config c = {
        .mode = mode_of(s),
        .port = (uint16_t)s->redis_port,
        .username = s->redis_username,
        .password = dm_secret_view(&s->redis_password),
        .sentinel_master = s->redis_sentinel_master,
        .sentinel_password = dm_secret_view(&s->redis_sentinel_password),
        .db = s->redis_db,
        .connect_timeout = s->redis_socket_connect_timeout,
        .tls = s->redis_tls,
        .tls_ca_file = s->redis_tls_ca_file,
        .tls_cert_file = s->redis_tls_cert_file,
        .tls_key_file = s->redis_tls_key_file,
        .tls_server_name = s->redis_tls_server_name,
        .name = "doorman",
    };
    enum dm_code rc = take_hosts(&s->redis_host, &c, "REDIS_HOST: more than 16 servers", err);
    if (rc == DM_OK && s->redis_url.len > 0)
        rc = take_url(s->redis_url, &c, err);
    if (rc == DM_OK && c.mode == DM_REDIS_SENTINEL) {
        c.port = SENTINEL_PORT;
        rc = take_hosts(&s->redis_sentinel_hosts, &c, "REDIS_SENTINEL_HOSTS: more than 16", err);
    }
    if (rc == DM_OK)
        rc = check(&c, err);
    if (rc == DM_OK)
        *ret = c;
    return rc;
}

/* --- addresses --- */

static bool take_port(dm_view text, uint16_t *ret)
{
    uint64_t port;
    if (!dm_parse_u64(text, UINT16_MAX, &port) || port == 0)
        return false;
    *ret = (uint16_t)port;
    return true;
}

bool dm_redis_address_parse(dm_view text, uint16_t port, struct dm_redis_address *ret)
{
    struct dm_redis_address a = {.port = port};
    dm_view host = text;
    size_t colon = text.len;
    if (text.len == 0 || dm_view_find_byte(text, '\0', 0) < text.len)
        return false;
    if (text.ptr[0] == '[') {
        size_t close = dm_view_find_byte(text, ']', 0);
        host = dm_view_sub(text, 0, close + 1);
        colon = close + 1;
        if (close == text.len || (colon < text.len && text.ptr[colon] != ':'))
            return false;
    } else if (text.ptr[0] != '/') {
        colon = dm_view_find_byte(text, ':', 0);
        host = dm_view_sub(text, 0, colon);
    }
    if (colon < text.len && !take_port(dm_view_sub(text, colon + 1, text.len), &a.port))
        return false;
    if (host.len == 0 || host.len >= sizeof a.host)
        return false;
    memcpy(a.host, host.ptr, host.len);
    *ret = a;
    return true;
}

bool dm_redis_address_set(dm_view host, int64_t port, struct dm_redis_address *ret)
{
    struct dm_redis_address a = {.port = (uint16_t)port};
    if (host.len == 0 || host.len >= sizeof a.host || port <= 0 || port > UINT16_MAX ||
        host.ptr[0] == '/' || dm_view_find_byte(host, '\0', 0) < host.len)
        return false;
    memcpy(a.host, host.ptr, host.len);
    *ret = a;
    return true;
}

bool dm_redis_address_eq(const struct dm_redis_address *a, const struct dm_redis_address *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* --- the copy of one dm_redis --- */

static bool copy_credential(dm_view from, bool encoded, struct dm_secret *ret)
{
    struct dm_buf plain;
    dm_buf_init(&plain, CREDENTIAL_MAX);
    bool ok = true;
    if (encoded)
        ok = dm_uri_decode(from, false, &plain);
    else
        dm_buf_add(&plain, from);
    ok = ok && dm_buf_ok(&plain);
    if (ok)
        dm_secret_set(ret, dm_buf_view(&plain));
    dm_view used = dm_buf_view(&plain);
    if (used.len > 0)
        dm_mem_wipe((char *)used.ptr, used.len);
    dm_buf_done(&plain);
    return ok;
}

static dm_view copy_text(dm_view from, char **ret)
{
    *ret = dm_mem_text(from);
    return dm_view_make(*ret, from.len);
}

enum dm_code dm_redis_config_copy(struct dm_redis *r, const struct dm_redis_config *c,
                                  struct dm_error *err)
{
    r->config = *c;
    enum dm_code rc = check(c, err);
    if (rc != DM_OK)
        return rc;
    uint16_t port = c->port != 0 ? c->port : c->mode == DM_REDIS_SENTINEL ? SENTINEL_PORT : PORT;
    for (size_t i = 0; i < c->n_hosts; i++)
        (void)dm_redis_address_parse(c->hosts[i], port, &r->hosts[i]);
    if (!copy_credential(c->password, c->encoded, &r->password) ||
        !copy_credential(c->username, c->encoded, &r->username) ||
        !copy_credential(c->sentinel_password, false, &r->sentinel_password))
        return fail(err, "REDIS_URL: user or password are not percent-encoded as in a URL");
    const struct dm_tls_config tls = {c->tls_ca_file, c->tls_cert_file, c->tls_key_file};
    if (c->tls && (rc = dm_tls_client_new(&tls, &r->tls, err)) != DM_OK)
        return rc;
    r->config.tls_server_name = copy_text(c->tls_server_name, &r->server_name);
    r->config.sentinel_master = copy_text(c->sentinel_master, &r->master_name);
    r->config.username = r->config.password = r->config.sentinel_password = DM_VIEW_NONE;
    if (r->config.connect_timeout <= 0)
        r->config.connect_timeout = CONNECT_TIMEOUT;
    if (r->config.name == NULL)
        r->config.name = "doorman";
    return DM_OK;
}

enum dm_code dm_redis_set_passwords(struct dm_redis *r, const struct dm_redis_config *c,
                                    struct dm_error *err)
{
    if (!copy_credential(c->password, c->encoded, &r->password) ||
        !copy_credential(c->sentinel_password, false, &r->sentinel_password))
        return fail(err, "Redis: unusable password");
    return DM_OK;
}

void dm_redis_config_done(struct dm_redis *r)
{
    dm_secret_done(&r->password);
    dm_secret_done(&r->username);
    dm_secret_done(&r->sentinel_password);
    dm_mem_free(r->master_name);
    dm_mem_free(r->server_name);
    dm_tls_free(r->tls);
}
