/* A public port of one worker: accepts (SO_REUSEPORT), reads HTTP/1.x through llhttp (strict) and
 * the guard, makes exchanges. Deadlines for head, body, idle; connection cap shared by the process;
 * drain. An idle connection owns no buffer. Loop thread only. */
#pragma once

#include "base/metrics.h"
#include "io/exchange.h"
#include "io/timer.h"

struct dm_listener;

struct dm_listener_limits_shared; /* connections of the process, shared by all listeners (atomic) */
struct dm_listener_limits_shared *dm_listener_limits_new(size_t max_connections);
void dm_listener_limits_free(struct dm_listener_limits_shared *s);

struct dm_listener_config {
    struct dm_loop *loop;
    const char
        *host;     /* IPv4 or IPv6 literal; NULL, and no unix_path: no port of its own, see adopt */
    uint16_t port; /* 0: any, dm_listener_port tells */
    const char *unix_path; /* instead of host and port */
    bool reuse_port;
    struct dm_arena_pool *arenas;
    struct dm_listener_limits_shared *limits;
    const struct dm_settings *(*settings)(void *app); /* borrowed, pinned by a ref per exchange */
    const struct dm_exchange_handler *handler;
    void *app;
    const _Atomic bool *leaving; /* while set, a kept connection ends with its answer; or NULL */
    struct dm_metrics *metrics;  /* NULL: none */
    size_t shard;
};

enum dm_code dm_listener_open(const struct dm_listener_config *c, struct dm_listener **ret,
                              struct dm_error *err) DM_MUST_USE; /* port in use: says so */
uint16_t dm_listener_port(const struct dm_listener *l);
/* Stops accepting, closes idle connections; the running ones answer with Connection: close. */
void dm_listener_drain(struct dm_listener *l);
size_t dm_listener_connections(const struct dm_listener *l); /* any thread */
size_t dm_listener_inflight(const struct dm_listener *l);    /* requests being served; any thread */
void dm_listener_free(
    struct dm_listener *l); /* cuts what is left: on_gone(DM_GONE_DRAIN); not in a callback */
/* Serves a connected socket as if it had been accepted (tests; a socket handed over by another
 * process). */
void dm_listener_adopt(struct dm_listener *l, int fd, const struct dm_address *peer);
