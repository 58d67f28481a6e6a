/* Inside of the Redis transport: one connection, from dialling to its end, and the line of commands
 * on it. Who opens it says by its kind where it goes and what its changes mean. For redis_*.c of
 * this folder. Loop thread only.
 *   redis_conn.c   life: greeting, black holes, back-off      redis_dial.c   to a connected socket
 *   redis_pipe.c   commands out, in one write per turn; replies in */
#pragma once

#include "io/resolver.h"
#include "io/stream.h"
#include "store/redis/redis_command.h"

struct dm_redis_address {
    char host[DM_REDIS_HOST_MAX]; /* a path begins with a slash */
    uint16_t port;
};
bool dm_redis_address_parse(dm_view text, uint16_t port, struct dm_redis_address *ret);
/* Host and port apart, as replies name them; brackets are not needed. */
bool dm_redis_address_set(dm_view host, int64_t port, struct dm_redis_address *ret);
bool dm_redis_address_eq(const struct dm_redis_address *a, const struct dm_redis_address *b);

struct dm_redis_conn_kind {
    /* The address is to be chosen: ends in dm_redis_conn_dial or dm_redis_conn_fail. */
    void (*aim)(struct dm_redis_conn *c);
    void (*on_ready)(struct dm_redis_conn *c);
    void (*on_lost)(struct dm_redis_conn *c); /* was ready, or was being dialled */
    /* A reply before the line is asked: true when it was none of the line's. NULL: none is. */
    bool (*on_push)(struct dm_redis_conn *c, const struct dm_redis_reply *reply);
    bool select;   /* the database */
    bool sentinel; /* speaks the Sentinels' password */
    bool master;   /* a replica will not do */
};

enum dm_redis_conn_state {
    DM_REDIS_DOWN = 0, /* the timer is the back-off, or stands still */
    DM_REDIS_AIMING,
    DM_REDIS_DIALING,
    DM_REDIS_SECURING, /* the handshake of TLS */
    DM_REDIS_GREETING,
    DM_REDIS_READY
};
/* There are others to ask. */
#define DM_REDIS_SENTINEL_DIAL DM_SEC
enum { DM_REDIS_GREETS = 5 }; /* AUTH, SELECT, CLIENT SETNAME, ROLE, PING */
struct dm_redis_own {         /* an ask of the transport's own */
    struct dm_redis_ask ask;
    struct dm_redis_conn *conn;
    const struct dm_redis_script *script; /* being loaded */
};
struct dm_redis_conn {
    struct dm_redis *redis;
    const struct dm_redis_conn_kind *kind;
    enum dm_redis_conn_state state;
    unsigned epoch; /* raised when the socket is closed: what was going on must stop */
    struct dm_redis_address address;
    struct dm_stream stream;
    struct dm_resolve resolve;
    struct dm_addresses addresses;
    unsigned next_address;
    dm_time dial_until, heard, ready_at;
    bool doubted;          /* overdue at the last look, too */
    unsigned failures;     /* in a row: the back-off */
    struct dm_timer timer; /* back-off, or the deadline of dialling and greeting */
    struct dm_timer pulse; /* while ready: black holes, keep-alive */
    struct dm_task more;   /* more was received than one event may read */
    struct dm_redis_reader *reader;
    bool reading;
    struct dm_buf out;
    size_t out_at; /* of it, taken by the socket */
    struct dm_link dirty;
    struct dm_link line; /* unanswered commands, oldest first */
    size_t n_line;
    struct dm_redis_own greets[DM_REDIS_GREETS], loads[DM_REDIS_LOADS_MAX], ping;
    unsigned n_greets;
};
void dm_redis_conn_init(struct dm_redis_conn *c, struct dm_redis *r,
                        const struct dm_redis_conn_kind *kind);
void dm_redis_conn_done(struct dm_redis_conn *c); /* nobody is told but the askers of its line */
void dm_redis_conn_start(struct dm_redis_conn *c, dm_time after); /* when down; aims, then dials */
void dm_redis_conn_dial(struct dm_redis_conn *c);                 /* c->address is set */
/* Closes; its line is answered DM_UNAVAILABLE; dialled again after the back-off. why NULL: logged
 * by another. */
void dm_redis_conn_fail(struct dm_redis_conn *c, const char *why);
void dm_redis_conn_stop(struct dm_redis_conn *c);  /* the same, stays down, not logged */
void dm_redis_conn_greet(struct dm_redis_conn *c); /* connected (redis_dial.c) */
void dm_redis_dial_start(struct dm_redis_conn *c); /* redis_dial.c */
void dm_redis_dial_timeout(struct dm_redis_conn *c);
void dm_redis_dial_event(struct dm_redis_conn *c);
void dm_redis_dial_secure(struct dm_redis_conn *c);

/* redis_pipe.c */
/* Encoded at the end of the line. False: no room (then nothing was changed). */
bool dm_redis_pipe_add(struct dm_redis_conn *c, struct dm_redis_command *m, const dm_view *argv,
                       size_t argc) DM_MUST_USE;
bool dm_redis_pipe_add_kept(struct dm_redis_conn *c, struct dm_redis_command *m) DM_MUST_USE;
bool dm_redis_pipe_raw(struct dm_redis_conn *c, const dm_view *argv, size_t argc) DM_MUST_USE;
/* A command of the transport's own, on this connection. False: no room. */
bool dm_redis_pipe_ask(struct dm_redis_conn *c, const dm_view *argv, size_t argc, dm_time deadline,
                       struct dm_redis_own *own, dm_redis_fn fn) DM_MUST_USE;
void dm_redis_pipe_forget(struct dm_redis_conn *c); /* what was to be sent, or was */
void dm_redis_pipe_read(struct dm_redis_conn *c);
void dm_redis_pipe_flush(struct dm_redis_conn *c); /* now; else at the end of the turn */
void dm_redis_pipe_event(struct dm_io *io, uint32_t events);
void dm_redis_pipe_end(void *redis); /* the hook */
