/* Live state on Redis: the contract of store/live.h with the key names of gateway.md §27.1, §29.4.
 * The data plane of a process makes one hub and takes one handle per worker loop; the first
 * handle's loop follows published policy and revocations for all, the others hear of them by
 * mailbox. The admin takes one blocking handle, which runs on a loop and a thread of its own. */
#pragma once

#include "store/live.h"
#include "store/redis/redis.h"

struct dm_live_redis_config { /* borrowed, outlives what is made of it */
    struct dm_redis_config redis;
    dm_view policy_verify_keys; /* PEM, one or more Ed25519 public keys; empty: unsigned policy is
                                   taken (development) */
    dm_view policy_signing_key; /* PEM, Ed25519; the admin's; empty: published unsigned */
    dm_view snapshot_file;      /* last good copy, the data plane's; empty: none */
    dm_time snapshot_max_age;   /* unconfirmed for longer: WARN; 0: 300 s */
    dm_time policy_poll;        /* how often `current` is looked at unasked; 0: 5 s */
    struct dm_metrics *metrics;
    /* What any process of the deployment said by dm_live_redis_announce, also this one. On the
     * owner's loop, or the admin's: must not wait. NULL: nobody listens. */
    void (*on_event)(void *ctx, dm_view event);
    void *event_ctx;
};

struct dm_live_redis;
enum dm_code dm_live_redis_new(const struct dm_live_redis_config *c, struct dm_live_redis **ret,
                               struct dm_error *err) DM_MUST_USE;
/* The first call's loop is the owner. Freed by dm_live_free before the hub. NULL, and a line in the
 * log, where no client can be made of the configuration. */
struct dm_live *dm_live_redis_handle(struct dm_live_redis *h, struct dm_loop *loop);
/* The first handle's connection stands (Cluster: all of them). Any thread. */
bool dm_live_redis_connected(const struct dm_live_redis *h);
/* This handle takes the word of the servers that answer now; before it is asked whether it may, the
 * first time, too, asks are answered as while Redis is away. Loop thread. */
bool dm_live_redis_trusted(const struct dm_live *l);
/* Handles that decide without Redis now, since it is away, late or emptied. Any thread. */
unsigned dm_live_redis_deciding_alone(const struct dm_live_redis *h);
void dm_live_redis_free(struct dm_live_redis *h); /* handles are freed, loops not yet */

/* dm_redis_set_passwords. Loop thread. */
enum dm_code dm_live_redis_set_passwords(struct dm_live *l, const struct dm_redis_config *c,
                                         struct dm_error *err) DM_MUST_USE;
/* One entry of the stream doorman:events, JSON: what an operator should hear of. Loop thread; lost
 * while Redis is away. */
void dm_live_redis_record(struct dm_live *l, dm_view entry);

/* timeout: of one call (REDIS_SOCKET_TIMEOUT). */
enum dm_code dm_live_redis_admin(const struct dm_live_redis_config *c, dm_time timeout,
                                 struct dm_live_admin **ret, struct dm_error *err) DM_MUST_USE;
/* To whoever listens on the channel doorman:events: on_event. Blocking, as the admin's other calls.
 */
enum dm_code dm_live_redis_announce(struct dm_live_admin *a, dm_view event,
                                    struct dm_error *err) DM_MUST_USE;
enum dm_code dm_live_redis_admin_set_passwords(struct dm_live_admin *a,
                                               const struct dm_redis_config *c,
                                               struct dm_error *err) DM_MUST_USE;
/* dm_live_redis_record of the admin. */
enum dm_code dm_live_redis_admin_record(struct dm_live_admin *a, dm_view entry,
                                        struct dm_error *err) DM_MUST_USE;
/* maxmemory-policy of the (first) server. safe: policy and revocations stay, or it does not say. */
struct dm_live_eviction {
    char policy[32];
    bool safe;
};
enum dm_code dm_live_redis_eviction(struct dm_live_admin *a, struct dm_live_eviction *ret,
                                    struct dm_error *err) DM_MUST_USE;
