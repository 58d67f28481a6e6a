/* The insides of the upstream client, shared by http_client.c (calls), http_pool.c (connections),
 * http_dial.c (resolve and connect), http_send.c and http_receive.c. For them alone. Loop thread
 * only.
 *
 * One call is in one state and has at most one connection; a connection has at most one call.
 * Callbacks run only from events, timers and tasks, never from ask, push or resume: those leave a
 * note and post the task. */
#pragma once

#include "io/http_response.h"
#include "io/resolver.h"
#include "io/stream.h"
#include "io/timer.h"

struct dm_http_upstream { /* one server: its kept connections. Lives while it has any connection */
    struct dm_link idle;  /* last used first */
    size_t n_connections;
    size_t key_len;
    char key[];
};

struct dm_http_connection {
    struct dm_stream stream;
    struct dm_http_client *client;
    struct dm_http_upstream *upstream;
    struct dm_http_call *call; /* NULL: idle */
    struct dm_link idle_link;  /* of its upstream */
    struct dm_link lru_link;   /* of the client */
    dm_time idle_since;
    bool used; /* has carried an answer: may have died since, unnoticed */
};

struct dm_http_block { /* bounded bytes on their way, either direction */
    struct dm_link link;
    size_t start, end;
    char bytes[DM_HTTP_BUFFER];
};

enum dm_call_state {
    DM_CALL_NEW = 0,
    DM_CALL_WAITING, /* for a place in the pool */
    DM_CALL_DIALING, /* resolving or connecting */
    DM_CALL_RUNNING,
    DM_CALL_ENDING, /* verdict known, on_end comes by the task */
    DM_CALL_ENDED
};

/* "Transfer-Encoding: chunked" or a length, and the empty line. */
enum { DM_HTTP_FRAMING_MAX = 64 };

struct dm_http_call {
    struct dm_link link, wait_link;
    struct dm_http_client *client;
    struct dm_http_ask ask;
    const struct dm_http_handler *handler;
    void *ctx;
    enum dm_call_state state;
    struct dm_http_end_info info;
    struct dm_http_connection *connection;
    struct dm_http_response *answer; /* kept with the memory of the call */
    struct dm_task task;
    unsigned depth; /* callbacks on the stack: the memory stays until they have returned */
    bool asking;    /* inside dm_http_ask: no callbacks */
    bool reusable;  /* the connection may carry another call */

    /* deadlines: one timer, moved only when a deadline comes nearer (http_client.c) */
    struct dm_timer timer;
    enum dm_http_end phase;
    dm_time phase_at, total_at;

    /* dialling */
    dm_time dial_started, dial_until;
    struct dm_resolve resolve;
    struct dm_addresses addresses;
    unsigned next_address;
    bool fresh_only; /* the kept connection was dead: not another one */
    bool shaking;    /* connected, TLS not agreed on yet */
    char *tls_error; /* why not; info.why, owned */

    /* sending */
    char framing[DM_HTTP_FRAMING_MAX];
    size_t framing_len, sent; /* of head + framing + body at hand */
    int64_t pushed;
    struct dm_http_block *out;
    const struct dm_fields *push_trailers;
    bool streams, push_ended, want_room;
    bool end_queued;   /* the last byte of the body is in the block, or was sent */
    bool early_answer; /* came before the whole request was sent */
    bool send_stopped; /* the rest of the request is not wanted, or cannot leave */
    bool send_failed;  /* the socket refused it: what was received may still be an answer */

    /* receiving */
    struct dm_http_block *in; /* bytes read while the taker pauses */
    size_t in_body;           /* of these: body already parsed */
    bool paused;
};

struct dm_http_client {
    struct dm_http_client_config config;
    struct dm_loop *loop;
    struct dm_resolver *resolver; /* made when the first name is asked for */
    struct dm_map *upstreams;
    struct dm_link calls, waiting; /* waiting: oldest first */
    struct dm_link idle;           /* connections, last used first */
    size_t n_connections, n_idle;
    struct dm_timer idle_timer;
    struct dm_task waiters_task;
    struct dm_link spare_calls, spare_blocks; /* bounded: the steady state allocates nothing */
    size_t n_spare_calls, n_spare_blocks;
    struct dm_metric *opened, *reused, *open_now, *idle_now, *timeouts;
};

static inline struct dm_http_call *dm_http_call_of(struct dm_link *l)
{
    return DM_CONTAINER_OF(l, struct dm_http_call, link);
}

/* http_client.c */
void dm_http_call_finish(struct dm_http_call *c, enum dm_http_end end, const char *why);
void dm_http_call_deadline(struct dm_http_call *c, enum dm_http_end phase, dm_time after);
/* Progress within the phase: no timer is touched. */
static inline void dm_http_call_progress(struct dm_http_call *c, dm_time after)
{
    c->phase_at = after > 0 ? dm_loop_now(c->client->loop) + after : DM_NEVER;
}
void dm_http_call_post(struct dm_http_call *c);
void dm_http_call_run(struct dm_http_call *c); /* from events and tasks */
/* A kept connection died before a byte of the answer: another try where that is safe. */
void dm_http_call_lost(struct dm_http_call *c, const char *why);
struct dm_http_block *dm_http_block_take(struct dm_http_client *client);
void dm_http_block_give(struct dm_http_client *client, struct dm_http_block **b);
void dm_http_count(struct dm_http_client *client, struct dm_metric *m, int64_t by);

/* http_pool.c */
/* An idle one, or NULL; a place for a new one, NULL when full. */
struct dm_http_connection *dm_http_pool_take(struct dm_http_client *client, dm_view key);
struct dm_http_connection *dm_http_pool_open(struct dm_http_client *client, dm_view key);
void dm_http_pool_keep(struct dm_http_connection *n);
void dm_http_pool_close(struct dm_http_connection *n);
void dm_http_pool_trim(struct dm_http_client *client); /* down to the limits */
void dm_http_pool_init(struct dm_http_client *client);
void dm_http_pool_done(struct dm_http_client *client);
void dm_http_connection_event(struct dm_io *io, uint32_t events);

/* http_dial.c */
/* A kept connection, a new one, or the queue: behind those who wait, unless it is its turn. */
void dm_http_call_start(struct dm_http_call *c, bool its_turn);
void dm_http_dial_event(struct dm_http_call *c); /* the socket said something */
void dm_http_dial_timeout(struct dm_http_call *c);
void dm_http_dial_done(struct dm_http_call *c); /* gives up what is asked for */

/* http_send.c */
void dm_http_send_begin(struct dm_http_call *c); /* framing lines; also before a second try */
void dm_http_send(struct dm_http_call *c);       /* no callbacks */
bool dm_http_sent_all(const struct dm_http_call *c);
/* Sets the deadline that is due now. */
void dm_http_call_wait(struct dm_http_call *c, bool progress);
void dm_http_offer_room(struct dm_http_call *c); /* on_room where due */

/* http_receive.c */
void dm_http_receive(struct dm_http_call *c);
