/* One Redis deployment as one thing to send commands to, for one loop: a standalone server, a
 * master found by Sentinel, or a Cluster. Finds the server, connects, authenticates, reconnects
 * with a jittered back-off (operations.md §8.15.2), follows failover, MOVED and ASK; whoever sends
 * a command sees none of that. All commands of one loop turn leave in one write per connection.
 * hiredis reads the replies; sockets, deadlines and writes are ours (io/stream). Loop thread only.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "io/loop.h"
#include "model/settings.h"

struct dm_redis;
struct dm_resolver;

enum dm_redis_mode { DM_REDIS_STANDALONE = 0, DM_REDIS_SENTINEL, DM_REDIS_CLUSTER };

enum { DM_REDIS_ADDRESSES_MAX = 16 }; /* seeds or Sentinels that are tried */
struct dm_redis_config {              /* views are copied by dm_redis_new */
    enum dm_redis_mode mode;
    dm_view hosts[DM_REDIS_ADDRESSES_MAX]; /* "host:port", "[v6]:port" or an absolute path (Unix);
                                              Sentinel mode: the Sentinels */
    size_t n_hosts;
    uint16_t port; /* of those that name none; 0: 6379, Sentinels 26379 */
    dm_view username, password, sentinel_master, sentinel_password; /* empty: none */
    bool encoded; /* username and password came in a URL: percent-encoded */
    int64_t db;
    dm_time connect_timeout; /* of dialling and greeting together; 0: 5 s */
    bool tls;
    dm_view tls_ca_file, tls_cert_file, tls_key_file, tls_server_name;
    const char *name; /* CLIENT SETNAME, for operators */
};
/* From REDIS_* settings; DM_INVALID with a sentence where a combination cannot work. The views
 * point into the settings. */
enum dm_code dm_redis_config_of(const struct dm_settings *s, struct dm_redis_config *ret,
                                struct dm_error *err) DM_MUST_USE;

enum dm_code dm_redis_new(struct dm_loop *loop, struct dm_resolver *resolver,
                          const struct dm_redis_config *c, struct dm_redis **ret,
                          struct dm_error *err) DM_MUST_USE; /* connects by itself, never blocks */
/* Passwords of c, for connections made from now on; DM_INVALID: none of c's, the old ones stay. */
enum dm_code dm_redis_set_passwords(struct dm_redis *r, const struct dm_redis_config *c,
                                    struct dm_error *err) DM_MUST_USE;
/* Asks still pending are answered DM_UNAVAILABLE first. Not from a callback of its own. */
void dm_redis_free(struct dm_redis *r);

/* --- replies: borrowed until the callback returns --- */
struct dm_redis_reply;
enum dm_redis_type {
    DM_REDIS_NIL = 0,
    DM_REDIS_INT,
    DM_REDIS_TEXT, /* bulk or status */
    DM_REDIS_ARRAY,
    DM_REDIS_ERROR
};
enum dm_redis_type dm_redis_type(const struct dm_redis_reply *p); /* NULL: DM_REDIS_NIL */
int64_t dm_redis_int(const struct dm_redis_reply *p);             /* also of decimal text; else 0 */
dm_view dm_redis_text(const struct dm_redis_reply *p); /* of text and errors; else empty */
size_t dm_redis_len(const struct dm_redis_reply *p);   /* of an array; else 0 */
const struct dm_redis_reply *dm_redis_at(const struct dm_redis_reply *p, size_t i); /* or NULL */

/* --- commands --- */
struct dm_redis_ask; /* embedded by the asker, zeroed at first; cancelled before it goes away */
/* DM_OK: reply, which is no error. DM_PROTOCOL: Redis answered with an error (reply holds it).
 * DM_TIMEOUT: sent, nothing by the deadline. DM_UNAVAILABLE: no connection by the deadline, lost
 * (also by bytes that are no reply), no room, or Redis cannot serve now (READONLY, LOADING, OOM,
 * NOAUTH, CLUSTERDOWN, MASTERDOWN, TRYAGAIN, BUSY, MISCONF, NOREPLICAS; reply holds it). Called
 * exactly once unless cancelled, never inside the call that asked. */
typedef void (*dm_redis_fn)(struct dm_redis_ask *a, enum dm_code rc,
                            const struct dm_redis_reply *reply);
struct dm_redis_ask {
    struct dm_link link_;
    dm_redis_fn fn;
    dm_time deadline_;
    void *state_; /* private to redis_*.c */
    bool pending;
};

enum { DM_REDIS_ARGS_MAX = 64 };
/* deadline: absolute, by dm_loop_now; DM_NEVER is possible, but then nobody notices a Redis that
 * hangs. No blocking commands: one that waits holds up everybody's. `key` decides the slot; a
 * command without a key takes DM_VIEW_NONE. While no connection stands the ask waits for one until
 * its deadline, at most DM_REDIS_WAITING_MAX of them. argv is copied. A command that was sent and
 * whose connection was lost is not sent again: nobody knows whether it ran. */
enum { DM_REDIS_WAITING_MAX = 16 * 1024 };
void dm_redis_send(struct dm_redis *r, dm_view key, const dm_view *argv, size_t argc,
                   dm_time deadline, struct dm_redis_ask *a, dm_redis_fn fn);
/* A script by its SHA-1, loaded on NOSCRIPT, also after a failover or SCRIPT FLUSH: the caller sees
 * nothing of it. All keys in one slot (Cluster). */
struct dm_redis_script {
    const char *text;
    char sha1[41]; /* filled by dm_redis_script_init */
};
void dm_redis_script_init(struct dm_redis_script *s, const char *text);
void dm_redis_eval(struct dm_redis *r, const struct dm_redis_script *s, const dm_view *keys,
                   size_t n_keys, const dm_view *args, size_t n_args, dm_time deadline,
                   struct dm_redis_ask *a, dm_redis_fn fn);
void dm_redis_cancel(struct dm_redis *r, struct dm_redis_ask *a); /* not pending: fine */

/* --- Cluster --- */
enum { DM_REDIS_SLOTS = 16384 };
bool dm_redis_is_cluster(const struct dm_redis *r);
unsigned dm_redis_slot(dm_view key); /* CRC16 of the key, of its hash tag where it has one */
/* One call per master that is known now, for SCAN: DM_VIEW_NONE elsewhere. */
size_t dm_redis_nodes(const struct dm_redis *r);
/* Some slot that the master owns by the map as it is now; false: none. */
bool dm_redis_node_slot(const struct dm_redis *r, size_t node, unsigned *ret_slot);
void dm_redis_send_node(struct dm_redis *r, size_t node, const dm_view *argv, size_t argc,
                        dm_time deadline, struct dm_redis_ask *a, dm_redis_fn fn);

/* --- announcements: a connection of its own, subscribed again after every reconnect --- */
struct dm_redis_channel {
    struct dm_link link_;
    dm_view name; /* borrowed until unsubscribed */
    void (*on_message)(struct dm_redis_channel *c, dm_view payload);
    /* Subscribed now, at first and again: what was announced meanwhile is lost, so ask. */
    void (*on_subscribed)(struct dm_redis_channel *c);
};
void dm_redis_subscribe(struct dm_redis *r, struct dm_redis_channel *c);
void dm_redis_unsubscribe(struct dm_redis *r, struct dm_redis_channel *c);

/* --- state --- */
struct dm_redis_watcher { /* told of every change, in a turn of its own */
    struct dm_link link_;
    void (*on_state)(struct dm_redis_watcher *w, bool connected);
};
void dm_redis_watch(struct dm_redis *r, struct dm_redis_watcher *w);
void dm_redis_unwatch(struct dm_redis_watcher *w);
bool dm_redis_connected(const struct dm_redis *r); /* Cluster: to every master that owns slots */
/* Connections for commands that became ready so far: after another one, another server may answer.
 */
unsigned dm_redis_connections(const struct dm_redis *r);
