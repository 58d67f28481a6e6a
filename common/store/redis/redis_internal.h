/* Inside of the Redis transport: for the redis_*.c files of this folder alone.
 *   redis.c           asks: routing, waiting, deadlines, cancelling; state and watchers
 *   redis_command.c   one command: memory, encoding, answering
 *   redis_conn.c      life of a connection: dialling, greeting, black holes, back-off
 *   redis_dial.c      from a host to a connected socket
 *   redis_pipe.c      commands out (one write per turn), replies in
 *   redis_reader.c    bytes to replies (hiredis)
 *   redis_pubsub.c    announcements      redis_error.c   what an error reply means, the log line
 * Loop thread only. */
#pragma once

#include "base/arena.h"
#include "base/secret.h"
#include "io/resolver.h"
#include "io/slab.h"
#include "io/stream.h"
#include "io/timer.h"
#include "store/redis/redis.h"

enum {
    DM_REDIS_OUT_MAX = 16 * 1024 * 1024,    /* not yet taken by a socket; of those that wait too */
    DM_REDIS_IN_FLIGHT_MAX = 64 * 1024,     /* unanswered commands of a connection */
    DM_REDIS_REPLY_MAX = 32 * 1024 * 1024,  /* one reply in memory */
    DM_REDIS_UNREAD_MAX = 16 * 1024 * 1024, /* received, not yet a whole element of a reply */
    DM_REDIS_DEPTH_MAX = 7,                 /* arrays in arrays: XREADGROUP has four */
    DM_REDIS_BLOCK = 1024,                  /* a kept command up to this size costs no allocation */
    DM_REDIS_LOADS_MAX = 8,                 /* scripts being loaded on a connection */
    DM_REDIS_HOST_MAX = 256
};

/* --- replies (redis_reader.c) --- */
struct dm_redis_reply {
    enum dm_redis_type type;
    unsigned depth;
    int64_t number; /* of DM_REDIS_INT */
    dm_view text;   /* of DM_REDIS_TEXT, DM_REDIS_ERROR */
    size_t count;   /* of DM_REDIS_ARRAY */
    struct dm_redis_reply **items;
};
struct dm_redis_reader;
struct dm_redis_reader *dm_redis_reader_new(struct dm_arena_pool *pool);
void dm_redis_reader_free(struct dm_redis_reader *r);
/* DM_LIMIT: more than DM_REDIS_UNREAD_MAX bytes of an unfinished element. */
enum dm_code dm_redis_reader_feed(struct dm_redis_reader *r, dm_view bytes) DM_MUST_USE;
/* The next whole reply, valid until the next call. DM_AGAIN: not here yet; DM_PROTOCOL: no reply,
 * or one past a limit; the reader is of no more use. */
enum dm_code dm_redis_reader_next(struct dm_redis_reader *r,
                                  const struct dm_redis_reply **ret) DM_MUST_USE;

/* --- commands (redis_command.c) --- */
struct dm_redis_conn;
struct dm_redis_command {
    struct dm_link link; /* in a connection's line, or among those that wait for one */
    struct dm_redis *redis;
    struct dm_redis_conn *conn; /* NULL: waits */
    struct dm_redis_ask *ask;   /* NULL: nobody wants the reply any more */
    struct dm_timer timer;
    dm_time deadline;
    const struct dm_redis_script *script;
    char *kept; /* encoded, where it may be sent later or again */
    size_t kept_len;
    int slot; /* DM_REDIS_ANY_SLOT: any node */
    unsigned tries;
    bool own; /* of the transport: errors go to the asker as they are */
};
enum { DM_REDIS_ANY_SLOT = -1 };
size_t dm_redis_encoded_len(const dm_view *argv, size_t argc);
char *dm_redis_encode(char *at, const dm_view *argv, size_t argc); /* gives the end */
struct dm_redis_command *dm_redis_command_new(struct dm_redis *r, struct dm_redis_ask *a,
                                              dm_redis_fn fn, dm_time deadline);
void dm_redis_command_keep(struct dm_redis_command *m, const dm_view *argv, size_t argc);
void dm_redis_command_free(struct dm_redis_command *m);
/* Out of whatever list it is in, freed, then the asker is told. */
void dm_redis_command_answer(struct dm_redis_command *m, enum dm_code rc,
                             const struct dm_redis_reply *reply);
/* Answers DM_UNAVAILABLE in a later turn: nobody is called inside the call that asked. */
void dm_redis_command_refuse(struct dm_redis_command *m);

/* --- connections --- */
struct dm_redis_address {
    char host[DM_REDIS_HOST_MAX]; /* a path begins with a slash */
    uint16_t port;
};
bool dm_redis_address_parse(dm_view text, uint16_t port, struct dm_redis_address *ret);
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
    DM_REDIS_GREETING,
    DM_REDIS_READY
};
enum { DM_REDIS_GREETS = 5 }; /* AUTH, SELECT, CLIENT SETNAME, PING, ROLE */
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
/* Closes; its line is answered DM_UNAVAILABLE; dialled again after the back-off. */
void dm_redis_conn_fail(struct dm_redis_conn *c, const char *why);
void dm_redis_conn_stop(struct dm_redis_conn *c);  /* the same, stays down, not logged */
void dm_redis_conn_greet(struct dm_redis_conn *c); /* connected (redis_dial.c) */
void dm_redis_dial_start(struct dm_redis_conn *c); /* redis_dial.c */
void dm_redis_dial_timeout(struct dm_redis_conn *c);
void dm_redis_dial_event(struct dm_redis_conn *c);

/* redis_pipe.c */
/* Encoded at the end of the line. False: no room (then nothing was changed). */
bool dm_redis_pipe_add(struct dm_redis_conn *c, struct dm_redis_command *m, const dm_view *argv,
                       size_t argc) DM_MUST_USE;
bool dm_redis_pipe_add_kept(struct dm_redis_conn *c, struct dm_redis_command *m) DM_MUST_USE;
bool dm_redis_pipe_raw(struct dm_redis_conn *c, const dm_view *argv, size_t argc) DM_MUST_USE;
/* A command of the transport's own, on this connection. False: no room. */
bool dm_redis_pipe_ask(struct dm_redis_conn *c, const dm_view *argv, size_t argc, dm_time deadline,
                       struct dm_redis_own *own, dm_redis_fn fn) DM_MUST_USE;
void dm_redis_pipe_read(struct dm_redis_conn *c);
void dm_redis_pipe_flush(struct dm_redis_conn *c); /* now; else at the end of the turn */
void dm_redis_pipe_event(struct dm_io *io, uint32_t events);
void dm_redis_pipe_end(void *redis); /* the hook */

/* --- ways to find servers --- */
struct dm_redis_way {
    void (*start)(struct dm_redis *r);
    void (*stop)(struct dm_redis *r);                            /* every connection is done */
    struct dm_redis_conn *(*find)(struct dm_redis *r, int slot); /* ready, or NULL: wait */
    bool (*connected)(const struct dm_redis *r);
    void (*aim_channels)(struct dm_redis_conn *c); /* the address of r->channels_conn */
    /* An error reply: true when the command went on another way and must not be answered. */
    bool (*redirect)(struct dm_redis_command *m, const struct dm_redis_reply *reply);
};
extern const struct dm_redis_way dm_redis_single, dm_redis_by_sentinel, dm_redis_by_slots;

struct dm_redis_sentinel;
struct dm_redis_cluster;
struct dm_redis {
    struct dm_loop *loop;
    struct dm_resolver *resolver;
    struct dm_redis_config config; /* its hosts and credentials are below */
    char *master_name;
    struct dm_secret username, password, sentinel_password;
    struct dm_redis_address hosts[DM_REDIS_ADDRESSES_MAX];
    const struct dm_redis_way *way;
    struct dm_slab commands, blocks;
    struct dm_arena_pool *arenas;
    struct dm_link dirty; /* connections with something to write */
    struct dm_task wake;  /* a turn must come: there is something to write */
    struct dm_link waiting;
    size_t n_waiting, waiting_bytes;
    struct dm_link refused; /* asks to be answered DM_UNAVAILABLE */
    struct dm_task refuse;
    struct dm_link watchers;
    struct dm_task state_task;
    bool told; /* what the watchers know */
    struct dm_link channels, *next_channel;
    struct dm_redis_conn channels_conn;
    struct dm_redis_conn main; /* standalone, or the master */
    struct dm_redis_sentinel *sentinel;
    struct dm_redis_cluster *cluster;
};
void dm_redis_state_changed(struct dm_redis *r);
void dm_redis_send_waiting(struct dm_redis *r); /* a connection is ready */
/* On this connection, with what it needs to be sent again; refused when there is no room. */
void dm_redis_resend(struct dm_redis_conn *c, struct dm_redis_command *m);
void dm_redis_replied(struct dm_redis_command *m, const struct dm_redis_reply *reply);
/* NOSCRIPT: loads it once on the connection and sends the command again. */
bool dm_redis_script_reload(struct dm_redis_conn *c, struct dm_redis_command *m);

/* redis_pubsub.c */
extern const struct dm_redis_conn_kind dm_redis_channels_kind;

/* redis_config.c */
enum dm_code dm_redis_config_copy(struct dm_redis *r, const struct dm_redis_config *c,
                                  struct dm_error *err) DM_MUST_USE;
void dm_redis_config_done(struct dm_redis *r);

/* redis_error.c */
enum dm_redis_fault { /* what an error reply says */
                      DM_REDIS_FAULT_OTHER = 0,
                      DM_REDIS_FAULT_UNAVAILABLE,
                      DM_REDIS_FAULT_READONLY, /* unavailable, and another one is the master now */
                      DM_REDIS_FAULT_NOSCRIPT,
                      DM_REDIS_FAULT_MOVED,
                      DM_REDIS_FAULT_ASK
};
enum dm_redis_fault dm_redis_fault_of(dm_view error);
/* "Redis client error <err>", once a second at most in the whole process. */
void dm_redis_log_error(struct dm_redis *r, const struct dm_redis_address *at, dm_view err);
