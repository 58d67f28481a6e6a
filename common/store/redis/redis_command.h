/* Inside of the Redis transport: one command and its reply, below any connection. For redis_*.c of
 * this folder and their tests. Loop thread only. */
#pragma once

#include "base/arena.h"
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
    int slot;                   /* DM_REDIS_ANY_SLOT: any node */
    struct dm_redis_conn *only; /* this node, whoever owns the slot; NULL: whoever does */
    unsigned reloads, redirects;
    bool own;    /* of the transport: errors go to the asker as they are */
    bool asking; /* sent behind ASKING, once */
};
enum { DM_REDIS_ANY_SLOT = -1 };
size_t dm_redis_encoded_len(const dm_view *argv, size_t argc);
char *dm_redis_encode(char *at, const dm_view *argv, size_t argc); /* gives the end */
/* One whose reply nobody wants. */
struct dm_redis_command *dm_redis_command_blank(struct dm_redis *r);
struct dm_redis_command *dm_redis_command_new(struct dm_redis *r, struct dm_redis_ask *a,
                                              dm_redis_fn fn, dm_time deadline);
void dm_redis_command_keep(struct dm_redis_command *m, const dm_view *argv, size_t argc);
void dm_redis_command_free(struct dm_redis_command *m);
/* Out of whatever list it is in, freed, then the asker is told. */
void dm_redis_command_answer(struct dm_redis_command *m, enum dm_code rc,
                             const struct dm_redis_reply *reply);
/* Answers DM_UNAVAILABLE in a later turn: nobody is called inside the call that asked. */
void dm_redis_command_refuse(struct dm_redis_command *m);

/* --- what an error reply says (redis_error.c) --- */
enum dm_redis_fault {
    DM_REDIS_FAULT_OTHER = 0,
    DM_REDIS_FAULT_UNAVAILABLE,
    DM_REDIS_FAULT_READONLY, /* unavailable, and another one is the master now */
    DM_REDIS_FAULT_NOSCRIPT,
    DM_REDIS_FAULT_MOVED,
    DM_REDIS_FAULT_ASK
};
enum dm_redis_fault dm_redis_fault_of(dm_view error);
