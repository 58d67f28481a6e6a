/* Inside of the Redis transport: struct dm_redis and what its parts owe each other. For redis_*.c
 * of this folder. Loop thread only. redis.c            asks: routing, waiting, cancelling; state
 * and watchers redis_single.c redis_sentinel.c redis_cluster.c   the ways to find who serves
 *   redis_command.c    one command: memory, encoding, answering      redis_script.c   NOSCRIPT
 *   redis_conn.h       connections                                   redis_reader.c   hiredis
 *   redis_pubsub.c     announcements      redis_error.c   what an error reply means, the log line
 */
#pragma once

#include "base/secret.h"
#include "io/slab.h"
#include "io/tls.h"
#include "store/redis/redis_conn.h"

/* --- ways to find servers --- */
struct dm_redis_way {
    void (*start)(struct dm_redis *r);
    void (*stop)(struct dm_redis *r); /* every connection is done */
    /* Ready, or NULL: wait; with *ret_hopeless: nobody to wait for. */
    struct dm_redis_conn *(*find)(struct dm_redis *r, const struct dm_redis_command *m,
                                  bool *ret_hopeless);
    bool (*connected)(const struct dm_redis *r);
    void (*aim_channels)(struct dm_redis_conn *c); /* the address of r->channels_conn */
    /* An error reply: true when the command went on another way and must not be answered. */
    bool (*redirect)(struct dm_redis_command *m, const struct dm_redis_reply *reply);
};
struct dm_redis_conn *dm_redis_cluster_node(struct dm_redis *r, size_t i); /* or NULL */
extern const struct dm_redis_way dm_redis_single, dm_redis_by_sentinel, dm_redis_by_slots;

struct dm_redis_sentinel;
struct dm_redis_cluster;
struct dm_redis {
    struct dm_loop *loop;
    struct dm_resolver *resolver;
    struct dm_redis_config config; /* its hosts and credentials are below */
    char *master_name, *server_name;
    struct dm_tls *tls; /* NULL: plain */
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
    unsigned connections; /* for commands, that became ready */
    struct dm_link channels, *next_channel;
    struct dm_redis_conn channels_conn;
    struct dm_redis_conn main; /* standalone, or the master */
    struct dm_redis_sentinel *sentinel;
    struct dm_redis_cluster *cluster;
};
void dm_redis_state_changed(struct dm_redis *r);
void dm_redis_send_waiting(struct dm_redis *r); /* a connection is ready */
/* What is kept, on this connection; refused when there is no room. */
void dm_redis_resend(struct dm_redis_conn *c, struct dm_redis_command *m);
void dm_redis_send_kept(struct dm_redis_command *m); /* to whom it belongs, or it waits */
/* What a single master has in common, however it is found (redis_single.c). */
struct dm_redis_conn *dm_redis_find_main(struct dm_redis *r, const struct dm_redis_command *m,
                                         bool *ret_hopeless);
bool dm_redis_main_connected(const struct dm_redis *r);
bool dm_redis_no_redirect(struct dm_redis_command *m, const struct dm_redis_reply *reply);
void dm_redis_on_main_ready(struct dm_redis_conn *c);
void dm_redis_on_main_lost(struct dm_redis_conn *c);
void dm_redis_channels_try(struct dm_redis *r); /* a server is there: now, not after the back-off */
void dm_redis_replied(struct dm_redis_command *m, const struct dm_redis_reply *reply);
/* NOSCRIPT: loads it once on the connection and sends the command again. */
bool dm_redis_script_reload(struct dm_redis_conn *c, struct dm_redis_command *m);

/* redis_pubsub.c */
extern const struct dm_redis_conn_kind dm_redis_channels_kind;

/* redis_config.c */
enum dm_code dm_redis_config_copy(struct dm_redis *r, const struct dm_redis_config *c,
                                  struct dm_error *err) DM_MUST_USE;
void dm_redis_config_done(struct dm_redis *r);

/* redis_error.c: "Redis client error <err>", once a second at most in the whole process. */
void dm_redis_log_error(struct dm_redis *r, const struct dm_redis_address *at, dm_view err);
