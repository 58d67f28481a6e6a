#include "io/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.h"
#include "io/http1.h"

#include "base/poison.h"

enum {
    ACCEPTS_MAX =
        64, /* of one event: then the others get their turn; level-triggered, so it comes again */
    BACKLOG = 4096 /* a burst of new connections; the kernel cuts it to net.core.somaxconn */
};
/* Out of descriptors and nothing to close: look again after this, or the event would spin. */
static const dm_time ACCEPT_PAUSE = 100 * DM_MS;

struct dm_listener_limits_shared {
    size_t max;
    _Atomic size_t open;
};

struct dm_listener {
    struct http1_host host;
    struct dm_io io; /* fd -1: closed, or none of its own */
    struct dm_timer pause;
    struct dm_listener_limits_shared *limits;
    uint16_t port;
    char *unix_path; /* removed at the end; NULL: none */
    size_t shard;
    struct dm_metric *counts[HTTP1_COUNT_MAX_]; /* NULL: no metrics */
    struct dm_metric *refusals[DM_GUARD_COUNT_];
    struct dm_metric *connections; /* open now */
};

struct dm_listener_limits_shared *dm_listener_limits_new(size_t max_connections)
{
    DM_REQUIRE(max_connections > 0);
    struct dm_listener_limits_shared *s = DM_NEW(struct dm_listener_limits_shared);
    s->max = max_connections;
    return s;
}

void dm_listener_limits_free(struct dm_listener_limits_shared *s)
{
    dm_mem_free(s);
}

static struct dm_listener *of(struct http1_host *host)
{
    return DM_CONTAINER_OF(host, struct dm_listener, host);
}

/* ---- metrics ---- */

static void count(struct http1_host *host, enum http1_count what)
{
    struct dm_listener *l = of(host);
    if (l->counts[what] != NULL)
        dm_metric_add(l->counts[what], l->shard, 1);
}

static void count_guard(struct http1_host *host, enum dm_guard g)
{
    struct dm_listener *l = of(host);
    if (l->refusals[g] != NULL)
        dm_metric_add(l->refusals[g], l->shard, 1);
}

static void register_metrics(struct dm_listener *l, struct dm_metrics *m)
{
    static const struct {
        const char *name, *labels, *help;
    } series[HTTP1_COUNT_MAX_] = {
        [HTTP1_COUNT_ACCEPTED] = {"doorman_client_connections_total", "result=\"accepted\"",
                                  "Client connections, by what became of them at the door."},
        [HTTP1_COUNT_REFUSED_FULL] = {"doorman_client_connections_total", "result=\"refused_full\"",
                                      ""},
        [HTTP1_COUNT_EVICTED] = {"doorman_client_connections_total", "result=\"evicted\"", ""},
        [HTTP1_COUNT_TIMEOUT_HEAD] = {"doorman_client_timeouts_total", "kind=\"head\"",
                                      "Client connections ended by a deadline."},
        [HTTP1_COUNT_TIMEOUT_BODY] = {"doorman_client_timeouts_total", "kind=\"body\"", ""},
        [HTTP1_COUNT_TIMEOUT_IDLE] = {"doorman_client_timeouts_total", "kind=\"idle\"", ""},
        [HTTP1_COUNT_TIMEOUT_WRITE] = {"doorman_client_timeouts_total", "kind=\"write\"", ""},
    };
    for (int i = 0; i < HTTP1_COUNT_MAX_; i++)
        l->counts[i] =
            dm_metric_get(m, DM_COUNTER, series[i].name, series[i].labels, series[i].help, NULL, 0);
    l->connections = dm_metric_get(m, DM_GAUGE, "doorman_client_connections", "",
                                   "Client connections open now.", NULL, 0);
    for (int g = 1; g < DM_GUARD_COUNT_; g++) {
        enum { LABEL_MAX = 64 };
        char labels[LABEL_MAX];
        int len =
            snprintf(labels, sizeof labels, "reason=\"%s\"", dm_guard_reason((enum dm_guard)g));
        DM_ASSERT(len > 0 && len < LABEL_MAX);
        l->refusals[g] = dm_metric_get(m, DM_COUNTER, "doorman_guard_refusals_total", labels,
                                       "Requests refused by the guard of the listener.", NULL, 0);
    }
}

/* ---- the cap ---- */

static bool evict_idle(struct dm_listener *l)
{
    struct dm_link *longest = l->host.idle.next;
    if (longest == &l->host.idle)
        return false;
    count(&l->host, HTTP1_COUNT_EVICTED);
    http1_cut(DM_CONTAINER_OF(longest, struct http1_conn, idle));
    return true;
}

static bool take_place(struct dm_listener *l)
{
    for (;;) {
        if (atomic_fetch_add_explicit(&l->limits->open, 1, memory_order_relaxed) < l->limits->max)
            return true;
        atomic_fetch_sub_explicit(&l->limits->open, 1, memory_order_relaxed);
        if (!evict_idle(l))
            return false;
    }
}

static void on_end(struct http1_host *host)
{
    struct dm_listener *l = of(host);
    atomic_fetch_sub_explicit(&l->limits->open, 1, memory_order_relaxed);
    if (l->connections != NULL)
        dm_metric_add(l->connections, l->shard, -1);
}

/* ---- accepting ---- */

static void read_peer(const struct sockaddr_storage *from, struct dm_address *ret)
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    *ret = (struct dm_address){0};
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)from;
        memcpy(ret->bytes, mapped, sizeof mapped);
        memcpy(ret->bytes + sizeof mapped, &v4->sin_addr, sizeof v4->sin_addr);
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)from;
        memcpy(ret->bytes, &v6->sin6_addr, sizeof ret->bytes);
    } else {
        ret->unix_socket = true;
    }
}

void dm_listener_adopt(struct dm_listener *l, int fd, const struct dm_address *peer)
{
    if (!take_place(l)) {
        count(&l->host, HTTP1_COUNT_REFUSED_FULL);
        (void)close(fd);
        return;
    }
    (void)http1_open(&l->host, fd, peer);
    count(&l->host, HTTP1_COUNT_ACCEPTED);
    if (l->connections != NULL)
        dm_metric_add(l->connections, l->shard, 1);
}

/* false: nothing more to accept now. */
static bool accept_one(struct dm_listener *l)
{
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    from.ss_family = AF_UNSPEC;
    int fd = accept4(l->io.fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        struct dm_address peer;
        read_peer(&from, &peer);
        dm_listener_adopt(l, fd, &peer);
        return true;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        if (evict_idle(l))
            return true;
        dm_loop_watch_level(l->host.loop, &l->io, 0);
        dm_timer_start(l->host.loop, &l->pause, ACCEPT_PAUSE);
        return false;
    }
    return errno == EINTR || errno == ECONNABORTED; /* the latter: that one client gave up */
}

static void on_accept(struct dm_io *io, uint32_t events)
{
    (void)events;
    struct dm_listener *l = DM_CONTAINER_OF(io, struct dm_listener, io);
    for (int i = 0; i < ACCEPTS_MAX && accept_one(l); i++)
        ;
}

static void on_pause_over(struct dm_timer *t)
{
    struct dm_listener *l = DM_CONTAINER_OF(t, struct dm_listener, pause);
    if (l->io.fd >= 0)
        dm_loop_watch_level(l->host.loop, &l->io, EPOLLIN);
}

/* ---- the port ---- */

static bool fill_inet(const struct dm_listener_config *c, struct sockaddr_storage *addr,
                      socklen_t *ret_len)
{
    struct sockaddr_in *v4 = (void *)addr;
    struct sockaddr_in6 *v6 = (void *)addr;
    memset(addr, 0, sizeof *addr);
    if (inet_pton(AF_INET, c->host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(c->port);
        *ret_len = sizeof *v4;
        return true;
    }
    if (inet_pton(AF_INET6, c->host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(c->port);
        *ret_len = sizeof *v6;
        return true;
    }
    return false;
}

static bool fill_unix(const struct dm_listener_config *c, struct sockaddr_storage *addr,
                      socklen_t *ret_len)
{
    struct sockaddr_un *un = (void *)addr;
    size_t len = strlen(c->unix_path);
    memset(addr, 0, sizeof *addr);
    if (len == 0 || len >= sizeof un->sun_path)
        return false;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, c->unix_path, len);
    *ret_len = (socklen_t)sizeof *un;
    return true;
}

static void set_options(int fd, int family, bool reuse_port)
{
    int on = 1, off = 0;
    if (family == AF_UNIX)
        return;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (reuse_port)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (family == AF_INET6) /* "::" is dual stack (configuration.md §2.1) */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
}

static enum dm_code open_failed(const struct dm_listener_config *c, const char *what, int error,
                                struct dm_error *err)
{
    if (c->unix_path != NULL)
        return DM_FAIL(err, DM_UNAVAILABLE, ERR_NONE, "could not %s \"%s\": %s", what, c->unix_path,
                       strerror(error));
    return DM_FAIL(err, DM_UNAVAILABLE, ERR_NONE, "could not %s %s port %u: %s", what, c->host,
                   (unsigned)c->port, error == EADDRINUSE ? "the port is in use" : strerror(error));
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof addr;
    if (getsockname(fd, (struct sockaddr *)&addr, &len) != 0)
        return 0;
    if (addr.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)&addr)->sin_port);
    if (addr.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)(const void *)&addr)->sin6_port);
    return 0;
}

static enum dm_code open_port(struct dm_listener *l, const struct dm_listener_config *c,
                              struct dm_error *err)
{
    struct sockaddr_storage addr;
    socklen_t len;
    if (!(c->unix_path != NULL ? fill_unix(c, &addr, &len) : fill_inet(c, &addr, &len)))
        return DM_FAIL(err, DM_INVALID, ERR_NONE, "could not listen on \"%s\": not an address",
                       c->unix_path != NULL ? c->unix_path : c->host);
    int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return open_failed(c, "open a socket for", errno, err);
    set_options(fd, addr.ss_family, c->reuse_port);
    if (bind(fd, (struct sockaddr *)&addr, len) != 0 || listen(fd, BACKLOG) != 0) {
        int error = errno;
        (void)close(fd);
        return open_failed(c, "listen on", error, err);
    }
    if (c->unix_path != NULL)
        l->unix_path = dm_mem_text(dm_view_of(c->unix_path));
    l->port = bound_port(fd);
    l->io = (struct dm_io){.fd = fd, .fn = on_accept};
    dm_loop_watch_level(c->loop, &l->io, EPOLLIN);
    return DM_OK;
}

enum dm_code dm_listener_open(const struct dm_listener_config *c, struct dm_listener **ret,
                              struct dm_error *err)
{
    DM_REQUIRE(c->loop != NULL && c->arenas != NULL && c->limits != NULL && c->settings != NULL);
    DM_REQUIRE(c->handler != NULL);
    struct dm_listener *l = DM_NEW(struct dm_listener);
    l->io.fd = -1;
    l->limits = c->limits;
    l->shard = c->shard;
    dm_timer_init(&l->pause, on_pause_over);
    if (c->host != NULL || c->unix_path != NULL) {
        enum dm_code rc = open_port(l, c, err);
        if (rc != DM_OK) {
            dm_mem_free(l);
            return rc;
        }
    }
    l->host.loop = c->loop;
    l->host.arenas = c->arenas;
    l->host.settings = c->settings;
    l->host.handler = c->handler;
    l->host.app = c->app;
    l->host.leaving = c->leaving;
    l->host.on_end = on_end;
    l->host.count = count;
    l->host.count_guard = count_guard;
    http1_host_init(&l->host);
    if (c->metrics != NULL)
        register_metrics(l, c->metrics);
    *ret = l;
    return DM_OK;
}

uint16_t dm_listener_port(const struct dm_listener *l)
{
    return l->port;
}

size_t dm_listener_connections(const struct dm_listener *l)
{
    return atomic_load_explicit(&l->host.n_conns, memory_order_relaxed);
}

size_t dm_listener_inflight(const struct dm_listener *l)
{
    return atomic_load_explicit(&l->host.n_inflight, memory_order_relaxed);
}

static void close_port(struct dm_listener *l)
{
    if (l->io.fd < 0)
        return;
    dm_timer_stop(&l->pause);
    dm_loop_forget(l->host.loop, &l->io);
    (void)close(l->io.fd);
    l->io.fd = -1;
    if (l->unix_path != NULL)
        (void)unlink(l->unix_path);
}

void dm_listener_drain(struct dm_listener *l)
{
    if (l->host.draining)
        return;
    /* Who is in the backlog has been told that it is connected: it is served, not reset. */
    for (int i = 0; l->io.fd >= 0 && i < BACKLOG && accept_one(l); i++)
        ;
    close_port(l);
    http1_drain(&l->host);
}

void dm_listener_free(struct dm_listener *l)
{
    if (l == NULL)
        return;
    close_port(l);
    l->host.draining = true;
    while (!dm_list_empty(&l->host.all))
        http1_cut(DM_CONTAINER_OF(l->host.all.next, struct http1_conn, all));
    http1_host_done(&l->host);
    dm_mem_free(l->unix_path);
    dm_mem_free(l);
}
