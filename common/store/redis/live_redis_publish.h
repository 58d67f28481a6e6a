/* Insides of publishing, for live_redis_lease.c (waiting, the lease), live_redis_publish.c
 * (one generation), live_redis_compare.c (what stands there) and live_redis_republish.c
 * (everything). Callers are the admin's threads: they
 * block, one at a time behind the publisher's lock, on rounds of commands that the admin's loop
 * sends. */
#pragma once

#include "store/live_republish.h"
#include "store/policy_table.h"
#include "store/redis/live_redis_priv.h"

enum { LIVE_LEASE_TOKEN = 32, LIVE_ROUND_ARGS = 6 };
/* Its own tag gives the lease the slot of the key it guards, so that one script can ask both. */
#define LIVE_LEASE_KEY DM_LIT("{doorman:policy:current}:lease")

/* One command of a round and its answer. */
struct live_round;
struct live_cmd {
    struct dm_redis_ask ask;
    struct live_round *round;
    dm_view key, argv[LIVE_ROUND_ARGS]; /* key NONE: any node */
    size_t argc;
    bool ours; /* only we write there: a value of another type is none, and will be overwritten */
    enum dm_redis_type type;
    int64_t number;
    char *text; /* of the answer; NULL: nil */
    size_t len;
};
static inline dm_view live_cmd_text(const struct live_cmd *c)
{
    return dm_view_make(c->text, c->len);
}

struct live_session; /* of a republication (live_redis_republish.c) */
struct live_publisher {
    struct live_redis_admin *admin;
    struct dm_ed25519_signer *signer; /* NULL: unsigned */
    struct dm_ed25519_verifier *verifier;
    struct dm_redis_script raise, lease_script;
    struct dm_redis_watcher watcher;
    pthread_mutex_t reach_lock; /* guards these; held while fn runs, which must be short */
    void (*on_reach)(void *ctx);
    void *reach_ctx;
    _Atomic bool published; /* something was ever published, as far as we know; any thread */
    pthread_mutex_t lock;   /* guards everything below; never taken on the admin's loop */
    bool held;              /* the lease is ours, as far as we know */
    dm_time renewed;
    char token[LIVE_LEASE_TOKEN];
    /* what stands in Redis, as of the last look */
    bool lost; /* it knows less than we do: only a republication helps */
    uint64_t generation, manifest, manifest_before; /* 0: not known */
    uint64_t highest; /* that ever stood there, as far as we know; never falls */
    dm_view current;  /* exactly as read or written; owned */
    struct dm_policy_table table;
    struct live_session *session;
};

struct live_script { /* and what it answered */
    const struct dm_redis_script *script;
    dm_view keys[2], args[3];
    size_t n_keys, n_args;
    int64_t number;
    char word[16];
};

/* live_redis_lease.c; under p->lock */
enum dm_code live_publisher_round(struct live_publisher *p, struct live_cmd *cmds, size_t n,
                                  const char *what, struct dm_error *err) DM_MUST_USE;
void live_publisher_round_done(struct live_cmd *cmds, size_t n); /* frees the answers */
enum dm_code live_publisher_script(struct live_publisher *p, struct live_script *s,
                                   const char *what, struct dm_error *err) DM_MUST_USE;
static inline dm_view live_publisher_token(const struct live_publisher *p)
{
    return dm_view_make(p->token, sizeof p->token);
}
enum dm_code live_publisher_lease(struct live_publisher *p, struct dm_error *err) DM_MUST_USE;
void live_publisher_release(struct live_publisher *p);
enum dm_code live_publisher_renew(struct live_publisher *p, struct dm_error *err) DM_MUST_USE;

/* live_redis_publish.c; under p->lock */
enum dm_code live_publisher_look(struct live_publisher *p, struct dm_error *err) DM_MUST_USE;
/* What a publication under way named and wrote without ever coming in force: named again. */
enum dm_code live_publisher_adopt(struct live_publisher *p, struct dm_policy_table *names,
                                  struct dm_error *err) DM_MUST_USE;

/* One generation. `names`: every change by its record (version: the generation). */
struct live_generation {
    uint64_t number;
    struct dm_policy_table *names;
    bool forget, manifest;
};
/* The delta first: whoever comes after a crash reads from it what may have been written. */
enum dm_code live_generation_announce(struct live_publisher *p, const struct live_generation *g,
                                      struct dm_error *err) DM_MUST_USE;
enum dm_code live_generation_raise(struct live_publisher *p, const struct live_generation *g,
                                   struct dm_error *err) DM_MUST_USE;
/* Writes objects at that generation; changes with bytes NULL as deleted. */
enum dm_code live_publisher_write(struct live_publisher *p, uint64_t generation,
                                  const struct dm_live_change *changes, size_t n,
                                  struct dm_error *err) DM_MUST_USE;
/* DM_INVALID where a name cannot be published. */
enum dm_code live_publisher_check(const struct dm_live_change *changes, size_t n,
                                  struct dm_error *err) DM_MUST_USE;
struct dm_policy_record *live_publisher_record(const struct dm_live_change *c, uint64_t generation);

/* live_redis_compare.c; under p->lock. What stands there is read and compared, also where a list
 * promises that it is right: an object that was evicted or overwritten would keep every new sidecar
 * from starting. Objects of the snapshot: against the table, too. At most LIVE_COMPARE_MAX. */
enum { LIVE_COMPARE_MAX = 256 }; /* commands of one round */
enum dm_code live_publisher_compare(struct live_publisher *p, const struct dm_live_change *changes,
                                    size_t n, bool *ret_differs, struct dm_error *err) DM_MUST_USE;
/* With the lease, which it keeps up. At most LIVE_COMPARE_MAX names at a time. */
enum dm_code live_publisher_each_on_demand(struct live_publisher *p, dm_live_names_fn fn, void *ctx,
                                           struct dm_error *err) DM_MUST_USE;

/* Operations of the admin: live_redis_publish.c, live_redis_compare.c, live_redis_republish.c */
enum dm_code live_redis_publish_lock(struct dm_live_admin *a, struct dm_error *err) DM_MUST_USE;
void live_redis_publish_unlock(struct dm_live_admin *a);
void live_redis_on_reach(struct dm_live_admin *a, void (*fn)(void *ctx), void *ctx);
void live_publisher_reached(struct live_publisher *p); /* tells on_reach; not under its lock */
bool live_publisher_published(const struct live_publisher *p);
void live_redis_published(struct dm_live_admin *a, struct dm_live_published *ret);
enum dm_code live_redis_compare(struct dm_live_admin *a, const struct dm_live_change *changes,
                                size_t n, bool *ret_differs, struct dm_error *err) DM_MUST_USE;
enum dm_code live_redis_names(struct dm_live_admin *a, dm_live_names_fn fn, void *ctx,
                              struct dm_error *err) DM_MUST_USE;
enum dm_code live_redis_republish_begin(struct dm_live_admin *a, uint64_t floor, bool *ret_whole,
                                        struct dm_error *err) DM_MUST_USE;
enum dm_code live_redis_republish_put(struct dm_live_admin *a, const struct dm_live_change *changes,
                                      size_t n, struct dm_error *err) DM_MUST_USE;
enum dm_code live_redis_republish_end(struct dm_live_admin *a, bool forget,
                                      uint64_t *ret_generation, struct dm_error *err) DM_MUST_USE;
void live_session_free(struct live_session *s);
