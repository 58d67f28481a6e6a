/* HTTP/1.1 towards upstreams on the worker's loop: keep-alive pool per server, TCP (plain or under
 * TLS) and Unix sockets, asynchronous resolver, connect/read/write/pool/total deadlines, streaming
 * both ways with bounded buffers. One call is one attempt: retries, balance and breakers are the
 * gateway's. Loop thread only.
 *
 * Life of a call: ask -> [on_room for body bytes] -> on_head -> on_body* -> exactly one on_end.
 * Callbacks never run inside dm_http_ask itself. After on_end, or dm_http_cancel, it is gone. */
#pragma once

#include "base/arena.h"
#include "io/exchange.h"

struct dm_http_client;
struct dm_http_call;
struct dm_tls;

/* Where to. The views live as long as the call, as do head and body of the ask. */
struct dm_http_server {
    dm_view key; /* pool name: "host:port" or the socket's path */
    dm_view host;
    uint16_t port;
    dm_view unix_path; /* non-empty: instead of host and port */
    /* Not NULL: TLS, the certificate checked for host. The key is then another than without. */
    struct dm_tls *tls;
};

struct dm_http_timeouts {
    dm_time connect, read, write, pool, total; /* 0: none (total), else > 0 */
};

struct dm_http_ask {
    struct dm_http_server server;
    struct dm_http_timeouts timeouts;
    /* Request line and fields, ready bytes, without framing fields and final CRLF. */
    dm_view head;
    bool head_method; /* HEAD: the answer has no body */
    /* May be sent again by us when a kept connection died before any byte of the answer. */
    bool safe_to_resend;
    int64_t body_length; /* 0 none, > 0 known, DM_LENGTH_UNKNOWN chunked */
    /* Whole body at hand (length == body_length): sent by us, no on_room; else empty. */
    dm_view body;
    bool no_reuse; /* fresh connection, closed afterwards */
};

struct dm_http_answer_head {
    int status, minor;
    const struct dm_fields *fields; /* the call's own, valid until on_end returned */
    int64_t length;                 /* or DM_LENGTH_UNKNOWN */
    bool bodyless;                  /* HEAD, 204, 304 */
};

enum dm_http_end {
    DM_HTTP_COMPLETE = 0, /* answer read to its end */
    DM_HTTP_UNREACHABLE,  /* resolve or connect failed, reset, closed before or inside the answer */
    DM_HTTP_BROKEN, /* not HTTP, two lengths, endless head, bad chunk: connection never reused */
    DM_HTTP_CONNECT_TIMEOUT,
    DM_HTTP_READ_TIMEOUT,
    DM_HTTP_WRITE_TIMEOUT,
    DM_HTTP_POOL_TIMEOUT,
    DM_HTTP_TOTAL_TIMEOUT
};

struct dm_http_end_info {
    enum dm_http_end end;
    bool sent_any;        /* a byte of the request reached a socket (R5) */
    bool got_head;        /* on_head was given */
    bool reused;          /* over a kept connection */
    dm_time connect_took; /* 0 when reused */
    const char *why;      /* for the log, valid until on_end returned; "" when complete */
};

struct dm_http_handler {
    /* Body bytes may be pushed; NULL: none streams. */
    void (*on_room)(struct dm_http_call *c, void *ctx);
    /* 1xx but 100 and 101; NULL: dropped. */
    void (*on_inform)(struct dm_http_call *c, void *ctx, int status, const struct dm_fields *f);
    void (*on_head)(struct dm_http_call *c, void *ctx, const struct dm_http_answer_head *h);
    /* Gives how many bytes were taken; fewer pauses reading until dm_http_resume. */
    size_t (*on_body)(struct dm_http_call *c, void *ctx, dm_view bytes);
    void (*on_end)(struct dm_http_call *c, void *ctx, const struct dm_http_end_info *info);
};

struct dm_http_client_config {
    struct dm_loop *loop;
    struct dm_arena_pool *arenas; /* not used: calls keep their memory from one to the next */
    size_t max_connections, max_keepalive; /* this worker's share */
    dm_time keepalive_expiry;
    size_t max_head; /* bytes of an answer's head: 32768 */
    /* Sees every resolved address before it is dialled; false refuses it. NULL: all are allowed. */
    bool (*allow_address)(void *ctx, const struct dm_address *a);
    void *allow_ctx;
    const char *dns_servers; /* "ip:port,..." instead of the system's; NULL: the system's */
    struct dm_metrics *metrics;
    size_t shard;
};

enum dm_code dm_http_client_new(const struct dm_http_client_config *c, struct dm_http_client **ret,
                                struct dm_error *err) DM_MUST_USE;
/* Ends calls that still run, without callbacks. */
void dm_http_client_free(struct dm_http_client *c);
/* New limits for connections opened or kept from now on (settings are hot). */
void dm_http_client_limit(struct dm_http_client *c, size_t max_connections, size_t max_keepalive,
                          dm_time keepalive_expiry);
struct dm_http_call *dm_http_ask(struct dm_http_client *c, const struct dm_http_ask *ask,
                                 const struct dm_http_handler *h, void *ctx);
/* Streamed request body: takes as much as its bounded buffer (DM_HTTP_BUFFER) allows; less than all
 * means wait for on_room, which does not come any more once the upstream refused the rest by an
 * early answer. Bytes leave together at the end of the turn, or when the buffer is full. */
enum { DM_HTTP_BUFFER = 64 * 1024 };
size_t dm_http_push(struct dm_http_call *c, dm_view bytes);
void dm_http_push_end(struct dm_http_call *c, const struct dm_fields *trailers);
void dm_http_resume(struct dm_http_call *c); /* on_body comes again, later in this turn */
/* Inside on_end of a complete call. */
const struct dm_fields *dm_http_trailers(struct dm_http_call *c);
bool dm_http_sent_any(const struct dm_http_call *c); /* as in the end's info, while it runs */
void dm_http_cancel(struct dm_http_call *c); /* closes its connection; no callback follows */
