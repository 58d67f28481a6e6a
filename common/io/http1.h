/* The HTTP/1 carrier from the inside: a connection, the request it is busy with, and what its files
 * share. For http1_*.c and listener.c only. Loop thread.
 *
 *   http1_conn.c   life of a connection: what to do next, deadlines, events, end
 *   http1_read.c   bytes in: head, guard, body pulled
 *   http1_write.c  bytes out: answer pushed, bounded buffer
 *   http1_head.c   the text of an answer's head
 *
 * One rule keeps re-entrancy away: only http1_run() calls a handler, and it is never called by one.
 * The functions behind dm_exchange_* change state, send what the socket takes and ask for a run
 * later in the turn (http1_post). */
#pragma once

#include "base/metrics.h"
#include "io/carrier.h"
#include "io/http1_parser.h"
#include "io/http1_rules.h"
#include "io/slab.h"
#include "io/stream.h"
#include "io/timer.h"

enum {
    /* One read while a head is awaited: heads are below 1 KB, pipelined bytes behind them stay
       bounded. */
    HTTP1_HEAD_READ = 16 * 1024,
    /* The answer's buffer: what push may fill, and slack so that a head, the last chunk and
     * trailers always find room behind it. */
    HTTP1_OUT_SLACK = 16 * 1024,
    HTTP1_BLOCK = DM_EXCHANGE_BUFFER + HTTP1_OUT_SLACK,
    HTTP1_TRAILERS_OUT = 4096
};
_Static_assert((int)HTTP1_HEAD_READ <= (int)DM_LOOP_SCRATCH &&
                   (int)DM_LOOP_SCRATCH <= (int)HTTP1_BLOCK,
               "input fits a block");

enum http1_count { /* counters of a listener, by closed set */
                   HTTP1_COUNT_ACCEPTED = 0,
                   HTTP1_COUNT_REFUSED_FULL, /* new connection closed: cap reached, none idle */
                   HTTP1_COUNT_EVICTED,      /* idle connection closed for a new one */
                   HTTP1_COUNT_TIMEOUT_HEAD,
                   HTTP1_COUNT_TIMEOUT_BODY,
                   HTTP1_COUNT_TIMEOUT_IDLE,
                   HTTP1_COUNT_TIMEOUT_WRITE,
                   HTTP1_COUNT_MAX_
};

struct http1_host { /* what connections of one listener share; embedded in struct dm_listener */
    struct dm_loop *loop;
    struct dm_arena_pool *arenas;
    const struct dm_settings *(*settings)(void *app);
    const struct dm_exchange_handler *handler;
    void *app;
    struct http1_rules *rules; /* of the settings seen last */
    struct dm_slab conns, requests, blocks;
    struct dm_link all, idle,
        work; /* idle: longest first; work: to be run at the end of this turn */
    struct dm_task task;
    bool draining;
    const _Atomic bool *leaving; /* see listener.h; may be NULL */
    _Atomic size_t n_conns, n_inflight;
    void (*on_end)(struct http1_host *host); /* a connection ended: the cap is the listener's */
    void (*count)(struct http1_host *host, enum http1_count what);
    void (*count_guard)(struct http1_host *host, enum dm_guard g);
};

struct http1 { /* one request and its answer */
    struct dm_exchange x;
    struct dm_arena arena;
    struct http1_conn *conn;
    struct http1_rules *rules;
    struct http1_parser parser;
    /* head */
    char *head_buf; /* gathers a head that comes in pieces; NULL while it may still come whole */
    size_t head_len, head_size;
    /* request body */
    uint64_t body_left; /* of a known length */
    uint64_t body_seen, body_max;
    dm_view span; /* parsed chunk bytes not consumed yet: lie directly before conn->in */
    struct dm_fields trailers;
    enum dm_guard fault; /* the body broke a rule */
    dm_time wait_since;  /* waiting for body bytes since; 0: not */
    dm_time wait_spent;  /* of CLIENT_BODY_DEADLINE */
    /* answer */
    int64_t out_left; /* of the announced length */
    struct dm_fields out_trailers;
    char *rest; /* of a whole body (dm_exchange_reply) that found no room */
    size_t rest_len, rest_at;
    bool served : 1; /* a handler knows it */
    bool keep_alive : 1, fin_ok : 1;
    bool body_done : 1, body_over : 1, wants_body : 1, continue_due : 1;
    bool chunked_out : 1, bodyless : 1, wants_room : 1, ending : 1, finished : 1, aborted : 1;
    bool muted : 1; /* nobody reads the answer any more: pushes are swallowed */
    char id[40];    /* a request id made by us */
};

struct http1_conn {
    struct dm_stream stream;
    struct http1_host *host;
    struct http1 *rq; /* NULL between requests */
    struct dm_timer timer;
    dm_time read_by, write_by; /* DM_NEVER: nothing is waited for */
    struct dm_link idle, all, work;
    dm_view in; /* received, not used yet: in the scratch inside http1_run, else in in_block */
    char *in_block, *out_block;
    uint32_t out_start, out_end;
    uint64_t skip; /* body bytes of an answered request, still to be thrown away */
    struct dm_address peer;
    bool running : 1;
    bool used : 1;      /* has carried a request: the next wait is an idle one */
    bool close : 1;     /* after the buffered answer */
    bool linger : 1;    /* the client may still be sending: let it read the answer first */
    bool lingering : 1; /* FIN sent, throwing away what comes */
    bool lost : 1;      /* a send failed or the peer reset */
    bool late_read : 1, late_write : 1; /* a deadline has passed; the run that follows acts on it */
    bool dead : 1;
};

extern const struct dm_carrier http1_carrier;

/* http1_conn.c */
void http1_host_init(struct http1_host *host);
void http1_host_done(struct http1_host *host); /* every connection is gone by then */
struct http1_conn *http1_open(struct http1_host *host, int fd, const struct dm_address *peer);
void http1_drain(struct http1_host *host); /* idle ones are looked at once more, then closed */
void http1_run(struct http1_conn *c);
void http1_post(struct http1_conn *c); /* run it later in this turn */
void http1_lose(struct http1_conn *c); /* both ways are gone */
void http1_cut(
    struct http1_conn *c); /* ends it now: drain cut, or making room; not in a callback */

/* http1_read.c */
enum http1_fill { HTTP1_FILLED = 0, HTTP1_DRY, HTTP1_CLOSED };
enum http1_fill http1_fill(struct http1_conn *c, size_t max); /* conn->in must be empty */
void http1_advance(struct http1_conn *c, size_t len);
void http1_keep_input(struct http1_conn *c); /* out of the scratch, into a block */
struct http1 *http1_begin(struct http1_conn *c);
void http1_end(struct http1 *h);            /* gives all memory back */
void http1_set_request_id(struct http1 *h); /* the client's, or one of our own */
enum dm_guard http1_read_head(struct http1 *h, bool *ret_complete);
bool http1_body_ready(struct http1 *h); /* a pull would not say DM_AGAIN */
uint64_t
http1_body_rest(const struct http1 *h); /* unread, if it is known and bounded; else UINT64_MAX */
enum dm_code http1_pull(struct dm_exchange *x, dm_view *ret_bytes);
void http1_consume(struct dm_exchange *x, size_t len);

/* http1_write.c */
void http1_flush(struct http1_conn *c);
size_t http1_pending(const struct http1_conn *c);
char *http1_reserve(struct http1_conn *c, size_t len); /* room behind what is buffered, or NULL */
void http1_commit(struct http1_conn *c, size_t len);
void http1_drop_output(struct http1_conn *c);
void http1_push_rest(struct http1 *h);
void http1_answer(struct dm_exchange *x, const struct dm_answer *a);
void http1_inform(struct dm_exchange *x, int status, const struct dm_fields *fields);
size_t http1_push(struct dm_exchange *x, dm_view bytes);
void http1_keep(struct dm_exchange *x, dm_view rest);
void http1_trailer(struct dm_exchange *x, dm_view name, dm_view value);
void http1_finish(struct dm_exchange *x);

/* http1_head.c */
size_t http1_head_bound(const struct http1 *h,
                        const struct dm_fields *fields); /* bytes it takes at most */
size_t http1_write_head(struct http1 *h, const struct dm_answer *a, char *out);
size_t http1_write_inform(const struct http1 *h, int status, const struct dm_fields *fields,
                          char *out);
