/* libmicrohttpd behind the front door: a Unix socket inside the process, one capped thread per
 * connection, plain blocking handlers. It sees only requests that the listener's guard accepted;
 * the client's address and request id travel in internal headers that the guard strips from clients
 * (design.md §3). */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "io/exchange.h"

/* On every answer that a handler gave, removed by the door: the pages libmicrohttpd makes itself
 * for what it refuses do not have it, and never reach a client. */
#define DM_ADMIN_HANDLED "X-Doorman-Internal-Handled"
/* X-Doorman-Peer of a client on a Unix socket. */
#define DM_ADMIN_PEER_UNIX "unix"

struct dm_admin_server;

struct dm_admin_request {   /* valid during the handler; owned by the server */
    dm_view method, target; /* raw target, not decoded */
    const struct dm_fields *fields;
    dm_view body; /* whole, up to the limit asked for by body_limit below */
    dm_view request_id, host;
    struct dm_address peer; /* the real client's socket address */
    bool https;
    struct dm_arena *arena;
};
struct dm_admin_response { /* filled by the handler; framing fields are dropped */
    int status;
    struct dm_fields fields; /* via dm_fields_add with the request's arena */
    struct dm_buf body;
};

struct dm_admin_server_config {
    const char *socket_path; /* in a directory made by the caller, private (0700) */
    size_t max_threads;      /* connections at once; more wait in the backlog */
    size_t max_head;         /* bytes of a request head (MAX_HEADER_BYTES); 0: 32768 */
    /* 413 REQ001 past it; the door's own limit comes first. */
    uint64_t (*body_limit)(void *app, dm_view method, dm_view target);
    void (*handle)(void *app, struct dm_admin_request *rq, struct dm_admin_response *rs);
    void *app;
};
enum dm_code dm_admin_server_start(const struct dm_admin_server_config *c,
                                   struct dm_admin_server **ret, struct dm_error *err) DM_MUST_USE;
void dm_admin_server_stop(struct dm_admin_server *s); /* waits for running handlers */
