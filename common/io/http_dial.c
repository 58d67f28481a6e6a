#include "io/http_internal.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "base/assert.h"

/* From a call to a connected socket, with TLS agreed on where it is wanted: a kept one, a new one,
 * or the queue for a place. The addresses of a name are tried one after the other; each gets an
 * equal share of the time that is left. */

static void attach(struct dm_http_call *c, struct dm_http_connection *n)
{
    c->connection = n;
    n->call = c;
}

static void run(struct dm_http_call *c)
{
    c->state = DM_CALL_RUNNING;
    c->want_room = c->streams;
    dm_http_send_begin(c);
    if (c->streams) { /* the head waits for the first bytes of the body: one send for both */
        dm_http_call_deadline(c, DM_HTTP_COMPLETE, 0);
        dm_http_call_post(c);
    } else {
        dm_http_send(c);
    }
}

static void opened(struct dm_http_call *c)
{
    struct dm_http_client *client = c->client;
    c->info.connect_took = dm_clock_mono(dm_loop_clock(client->loop)) - c->dial_started;
    dm_http_count(client, client->opened, 1);
    run(c);
}

/* What speaks no TLS, or is not who it should be, is not better at its next address. */
static void shake(struct dm_http_call *c)
{
    struct dm_stream *s = &c->connection->stream;
    enum dm_code rc = dm_stream_handshake(s);
    if (rc == DM_AGAIN)
        return;
    c->shaking = false;
    if (rc == DM_OK) {
        opened(c);
        dm_http_call_post(c); /* what came behind the handshake makes no event of its own */
        return;
    }
    c->tls_error = dm_mem_text(dm_view_of(dm_stream_tls_error(s)));
    dm_http_call_finish(c, DM_HTTP_UNREACHABLE, c->tls_error);
}

static void connected(struct dm_http_call *c)
{
    const struct dm_http_server *server = &c->ask.server;
    if (server->tls == NULL) {
        opened(c);
    } else if (dm_stream_start_tls(&c->connection->stream, server->tls, server->host) == DM_OK) {
        c->shaking = true;
        shake(c);
    } else {
        dm_http_call_finish(c, DM_HTTP_UNREACHABLE, "no certificate can bear the host's name");
    }
}

static dm_time share_of_time(const struct dm_http_call *c)
{
    dm_time left = c->dial_until - dm_loop_now(c->client->loop);
    /* the one being tried included */
    unsigned addresses = c->addresses.count - c->next_address + 1;
    return left > addresses ? left / addresses : 1;
}

/* True: connected or on the way. */
static bool try_address(struct dm_http_call *c, const struct sockaddr *to, socklen_t len)
{
    struct dm_stream *s = &c->connection->stream;
    if (dm_stream_connect(s, c->client->loop, to, len, dm_http_connection_event) != DM_OK)
        return false;
    switch (dm_stream_connected(s)) {
    case DM_OK:
        connected(c);
        return true;
    case DM_AGAIN:
        dm_http_call_deadline(c, DM_HTTP_CONNECT_TIMEOUT, share_of_time(c));
        return true;
    default:
        dm_stream_close(s);
        return false;
    }
}

static bool try_ip(struct dm_http_call *c, const struct dm_address *a)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (memcmp(a->bytes, mapped, sizeof mapped) == 0) {
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(c->ask.server.port)};
        memcpy(&to.sin_addr, a->bytes + 12, 4);
        return try_address(c, (const struct sockaddr *)&to, sizeof to);
    }
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(c->ask.server.port)};
    memcpy(&to.sin6_addr, a->bytes, 16);
    return try_address(c, (const struct sockaddr *)&to, sizeof to);
}

static void try_next(struct dm_http_call *c)
{
    const struct dm_http_client_config *config = &c->client->config;
    const char *why = "connecting failed";
    while (c->next_address < c->addresses.count) {
        const struct dm_address *a = &c->addresses.items[c->next_address++];
        if (config->allow_address != NULL && !config->allow_address(config->allow_ctx, a))
            why = "the address is not allowed";
        else if (try_ip(c, a))
            return;
    }
    dm_http_call_finish(c, DM_HTTP_UNREACHABLE, why);
}

static void dial_unix(struct dm_http_call *c)
{
    dm_view path = c->ask.server.unix_path;
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (path.len >= sizeof to.sun_path || dm_view_find_byte(path, '\0', 0) != path.len) {
        dm_http_call_finish(c, DM_HTTP_UNREACHABLE, "the path is no socket's");
        return;
    }
    memcpy(to.sun_path, path.ptr, path.len);
    if (!try_address(c, (const struct sockaddr *)&to, sizeof to))
        dm_http_call_finish(c, DM_HTTP_UNREACHABLE, "connecting failed");
}

static void resolved(struct dm_http_call *c, enum dm_code rc)
{
    if (rc == DM_OK)
        try_next(c);
    else if (rc == DM_NOT_FOUND)
        dm_http_call_finish(c, DM_HTTP_UNREACHABLE, "no such name");
    else if (rc == DM_INVALID)
        dm_http_call_finish(c, DM_HTTP_UNREACHABLE, "not a host name");
    else
        dm_http_call_finish(c, DM_HTTP_UNREACHABLE, "the name was not resolved");
}

static void on_resolved(struct dm_resolve *q, enum dm_code rc, const struct dm_addresses *a)
{
    struct dm_http_call *c = DM_CONTAINER_OF(q, struct dm_http_call, resolve);
    c->addresses = *a;
    resolved(c, rc);
}

static void dial_name(struct dm_http_call *c)
{
    struct dm_http_client *client = c->client;
    if (dm_resolver_literal(c->ask.server.host, &c->addresses)) {
        try_next(c);
        return;
    }
    if (client->resolver == NULL) {
        struct dm_resolver_config config = {.loop = client->loop,
                                            .servers = client->config.dns_servers};
        if (dm_resolver_new(&config, &client->resolver, NULL) != DM_OK) {
            dm_http_call_finish(c, DM_HTTP_UNREACHABLE, "no resolver");
            return;
        }
    }
    enum dm_code rc = dm_resolver_ask(client->resolver, c->ask.server.host, &c->resolve,
                                      on_resolved, &c->addresses);
    if (rc != DM_AGAIN)
        resolved(c, rc);
}

static void dial(struct dm_http_call *c, struct dm_http_connection *n)
{
    dm_time allowed = c->ask.timeouts.connect;
    attach(c, n);
    c->state = DM_CALL_DIALING;
    c->info.reused = false;
    c->dial_started = dm_clock_mono(dm_loop_clock(c->client->loop));
    c->dial_until = allowed > 0 ? dm_loop_now(c->client->loop) + allowed : DM_NEVER;
    dm_http_call_deadline(c, DM_HTTP_CONNECT_TIMEOUT, allowed);
    if (c->ask.server.unix_path.len > 0)
        dial_unix(c);
    else
        dial_name(c);
}

void dm_http_call_start(struct dm_http_call *c, bool its_turn)
{
    struct dm_http_client *client = c->client;
    dm_view key = c->ask.server.key;
    bool queue = !its_turn && !dm_list_empty(&client->waiting);
    bool fresh = queue || c->fresh_only || c->ask.no_reuse;
    struct dm_http_connection *n = fresh ? NULL : dm_http_pool_take(client, key);
    if (n != NULL) {
        attach(c, n);
        c->info.reused = true;
        run(c);
    } else if (!queue && (n = dm_http_pool_open(client, key)) != NULL) {
        dial(c, n);
    } else {
        c->state = DM_CALL_WAITING;
        dm_http_call_deadline(c, DM_HTTP_POOL_TIMEOUT, c->ask.timeouts.pool);
        dm_list_add_tail(&client->waiting, &c->wait_link);
    }
}

void dm_http_dial_event(struct dm_http_call *c)
{
    struct dm_stream *s = &c->connection->stream;
    if (c->shaking) {
        shake(c);
        return;
    }
    enum dm_code rc = dm_stream_connected(s);
    if (rc == DM_AGAIN)
        return;
    if (rc == DM_OK) {
        connected(c);
        return;
    }
    dm_stream_close(s);
    try_next(c);
}

void dm_http_dial_timeout(struct dm_http_call *c)
{
    dm_stream_close(&c->connection->stream);
    c->shaking = false;
    if (c->next_address < c->addresses.count)
        try_next(c);
    else
        dm_http_call_finish(c, DM_HTTP_CONNECT_TIMEOUT, "connecting took too long");
}

void dm_http_dial_done(struct dm_http_call *c)
{
    dm_resolve_cancel(&c->resolve);
}
