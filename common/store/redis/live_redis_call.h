/* The admin of live state on Redis and how a thread calls into its loop; for live_redis*.c only.
 * live_redis_admin.c makes it. */
#pragma once

#include <pthread.h>

#include "io/mailbox.h"
#include "store/live_backend.h"
#include "store/redis/live_redis.h"
#include "store/redis/live_redis_history.h"

struct dm_resolver;
struct live_publisher; /* live_redis_publish.c */

/* live_redis_events.c: the listening half of the channel doorman:events. Loop thread. */
struct live_ear;
struct live_ear *live_ear_new(struct dm_redis *r,
                              const struct dm_live_redis_config *c); /* NULL: nobody listens */
void live_ear_free(struct live_ear *e);

struct live_redis_scripts { /* of the admin's calls */
    struct dm_redis_script revoke, unrevoke, hit, credits_set, credits_get, take, done, mark;
};

struct live_redis_admin {
    struct dm_live_admin base;
    struct dm_live_redis_config config;
    dm_time timeout;
    struct dm_loop *loop; /* of the admin's own thread */
    pthread_t thread;
    struct dm_mailbox *box;
    struct dm_resolver *resolver;
    struct dm_redis *redis;
    struct live_publisher *publisher;
    struct live_ear *ear; /* NULL: nobody listens */
    struct live_redis_scripts scripts;
    /* Loop's thread: dm_redis_connections whose servers have all revocations, of others the word
     * that there is none says nothing; 0: no revocations were written yet. */
    unsigned trusted;
    struct live_history_walk walk; /* whether they still do, after a new connection */
    struct dm_metric *odd_replies;
    dm_time told_odd; /* monotonic, loop's thread: when one was last logged */
    char consumer[DM_UUID_LEN + 1]; /* this process in the group of admins */
    dm_time claimed[DM_STREAMS];    /* monotonic: when another one's entries were last looked for */
};
static inline struct live_redis_admin *live_redis_admin_of(struct dm_live_admin *a)
{
    return DM_CONTAINER_OF(a, struct live_redis_admin, base);
}

/* One blocking call: `start` runs on the admin's loop while the caller waits, sends what it needs
 * with the deadline given and ends with live_redis_call_end, exactly once. Embedded in a struct on
 * the caller's stack. */
struct live_redis_call {
    struct dm_call call;
    struct live_redis_admin *admin;
    void (*start)(struct live_redis_call *c);
    dm_time deadline; /* set before start */
    enum dm_code code;
};
/* Caller's thread. DM_UNAVAILABLE (with ERR_STORE_LIVE_AWAY) also for DM_TIMEOUT and DM_PROTOCOL;
 * `what` for the error's text: "could not <what>: ...". */
enum dm_code live_redis_call(struct dm_live_admin *a, struct live_redis_call *c,
                             void (*start)(struct live_redis_call *c), const char *what,
                             struct dm_error *err) DM_MUST_USE;
void live_redis_call_end(struct live_redis_call *c, enum dm_code code); /* loop's thread */

/* live_redis_publish.c. The publisher is made before the admin's thread runs and freed after. */
enum dm_code live_publisher_new(struct live_redis_admin *a, struct live_publisher **ret,
                                struct dm_error *err) DM_MUST_USE; /* DM_INVALID: a bad key */
void live_publisher_free(struct live_publisher *p);
enum dm_code live_redis_publish(struct dm_live_admin *a, const struct dm_live_change *changes,
                                size_t n, uint64_t *ret_generation,
                                struct dm_error *err) DM_MUST_USE;
