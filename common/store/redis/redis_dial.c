/* From a host to a connected socket: the addresses of a name one after the other, each with an
 * equal share of the time that is left. */
#include "store/redis/redis_internal.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/poison.h"

/* A host that takes no packets takes none of the kernel's second and third try either, which come
 * later each time: a new try of ours each second finds it soon after it is back. */
static const dm_time TRY_AGAIN = DM_SEC;

static void connected(struct dm_redis_conn *c)
{
    dm_time left = c->dial_until - dm_loop_now(c->redis->loop);
    dm_timer_start(c->redis->loop, &c->timer, left > 0 ? left : 0); /* of the greeting too */
    if (c->redis->tls == NULL || c->address.host[0] == '/') {
        dm_redis_conn_greet(c);
        return;
    }
    dm_view name = c->redis->config.tls_server_name;
    if (name.len == 0)
        name = dm_view_of(c->address.host);
    c->state = DM_REDIS_SECURING;
    if (dm_stream_start_tls(&c->stream, c->redis->tls, name) == DM_OK)
        dm_redis_dial_secure(c);
    else
        dm_redis_conn_fail(c, "TLS: the server's name is none");
}

void dm_redis_dial_secure(struct dm_redis_conn *c)
{
    char why[DM_REDIS_HOST_MAX];
    enum dm_code rc = dm_stream_handshake(&c->stream);
    if (rc == DM_AGAIN)
        return;
    if (rc == DM_OK) {
        dm_redis_conn_greet(c);
        return;
    }
    (void)snprintf(why, sizeof why, "TLS: %s", dm_stream_tls_error(&c->stream));
    dm_redis_conn_fail(c, why);
}

/* True: connected or on the way. */
static bool try_address(struct dm_redis_conn *c, const struct sockaddr *to, socklen_t len,
                        unsigned others)
{
    struct dm_loop *l = c->redis->loop;
    if (dm_stream_connect(&c->stream, l, to, len, dm_redis_pipe_event) != DM_OK)
        return false;
    switch (dm_stream_connected(&c->stream)) {
    case DM_OK:
        connected(c);
        return true;
    case DM_AGAIN: {
        dm_time left = (c->dial_until - dm_loop_now(l)) / (others + 1);
        dm_timer_start(l, &c->timer, left < 0 ? 0 : left < TRY_AGAIN ? left : TRY_AGAIN);
        return true;
    }
    default:
        dm_stream_close(&c->stream);
        return false;
    }
}

static bool try_ip(struct dm_redis_conn *c, const struct dm_address *a, unsigned others)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    uint16_t port = htons(c->address.port);
    if (memcmp(a->bytes, mapped, sizeof mapped) == 0) {
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = port};
        memcpy(&to.sin_addr, a->bytes + 12, 4);
        return try_address(c, (const struct sockaddr *)&to, sizeof to, others);
    }
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = port};
    memcpy(&to.sin6_addr, a->bytes, 16);
    return try_address(c, (const struct sockaddr *)&to, sizeof to, others);
}

static void try_next(struct dm_redis_conn *c)
{
    while (c->next_address < c->addresses.count) {
        const struct dm_address *a = &c->addresses.items[c->next_address++];
        if (try_ip(c, a, c->addresses.count - c->next_address))
            return;
    }
    dm_redis_conn_fail(c, "connecting failed");
}

static void dial_unix(struct dm_redis_conn *c)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t len = strlen(c->address.host);
    bool fits = len < sizeof to.sun_path;
    if (fits)
        memcpy(to.sun_path, c->address.host, len);
    if (!fits || !try_address(c, (const struct sockaddr *)&to, sizeof to, 0))
        dm_redis_conn_fail(c, fits ? "connecting failed" : "the path is no socket's");
}

static void resolved(struct dm_redis_conn *c, enum dm_code rc)
{
    if (rc == DM_OK)
        try_next(c);
    else
        dm_redis_conn_fail(c,
                           rc == DM_NOT_FOUND ? "no such host name" : "the name was not resolved");
}

static void on_resolved(struct dm_resolve *q, enum dm_code rc, const struct dm_addresses *a)
{
    struct dm_redis_conn *c = DM_CONTAINER_OF(q, struct dm_redis_conn, resolve);
    c->addresses = *a;
    resolved(c, rc);
}

void dm_redis_dial_start(struct dm_redis_conn *c)
{
    c->next_address = 0;
    if (c->address.host[0] == '/') {
        c->addresses.count = 0;
        dial_unix(c);
        return;
    }
    enum dm_code rc = dm_resolver_ask(c->redis->resolver, dm_view_of(c->address.host), &c->resolve,
                                      on_resolved, &c->addresses);
    if (rc != DM_AGAIN)
        resolved(c, rc);
}

void dm_redis_dial_event(struct dm_redis_conn *c)
{
    enum dm_code rc = dm_stream_connected(&c->stream);
    if (rc == DM_AGAIN)
        return;
    if (rc == DM_OK) {
        connected(c);
        return;
    }
    dm_stream_close(&c->stream);
    try_next(c);
}

void dm_redis_dial_timeout(struct dm_redis_conn *c)
{
    dm_stream_close(&c->stream);
    if (c->next_address == c->addresses.count && dm_loop_now(c->redis->loop) < c->dial_until)
        c->next_address = 0;
    if (c->next_address < c->addresses.count)
        try_next(c);
    else
        dm_redis_conn_fail(c, "connecting took too long");
}
