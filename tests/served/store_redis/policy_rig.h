/* A stage for tests of published policy on a real Redis: an admin, a follower with a subscriber
 * that notes what it heard, and a hand in the store beside them. The test's thread. */
#pragma once

#include "live_served.h"
#include "store/live.h"
#include "store/live_names.h"
#include "store/live_republish.h"
#include "store/policy_envelope.h"

#define SEED "TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs="
#define OTHER_SEED "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
#define CURRENT "doorman:policy:current"
#define API_A "doorman:policy:obj:api:a"

enum { TURNS = 4000, TURN_MS = 5 };
#define PATIENCE (20 * DM_SEC)

struct rig {
    struct dm_loop *loop;   /* the follower's */
    struct dm_loop *beside; /* of the test's own hand in the store: the follower stands still */
    struct dm_resolver *resolver;
    struct dm_redis *redis;
    struct dm_live_redis_config config;
    struct dm_metrics *metrics;
    char public_half[64], file[64];
    struct dm_ed25519_signer *signer, *other;
    struct dm_live_redis *hub;
    struct dm_live *live;
    struct dm_live_admin *admin;
    /* what a subscriber heard */
    struct dm_live_subscriber subscriber;
    uint64_t generation;
    size_t heard, forgot, named_ann;
    char a[64], b[64]; /* objects api/a and api/b; "-": deleted */
    size_t n_apis;
};

struct hand {
    struct dm_redis_ask ask;
    bool done;
    enum dm_code rc;
    char bytes[8192];
    size_t len;
    bool nil;
};

struct asked {
    struct dm_live_wait wait;
    bool done;
    struct dm_live_object object;
    char bytes[64];
};

void pr_by_hand(struct rig *r, struct hand *h, const dm_view *argv, size_t n);
void pr_get(struct rig *r, const char *key, struct hand *h);
void pr_set(struct rig *r, const char *key, dm_view value);
void pr_del(struct rig *r, const char *key);
dm_view pr_bytes_of(const struct hand *h);
void pr_follow(struct rig *r);
void pr_unfollow(struct rig *r);
void pr_until_generation(struct rig *r, uint64_t generation);
int64_t pr_refused(struct rig *r, const char *reason);
void pr_until_refused(struct rig *r, const char *reason, int64_t more_than);
struct dm_live_admin *pr_new_admin(struct rig *r);
struct dm_live_change pr_change(const char *kind, const char *id, const char *bytes);
uint64_t pr_publish(struct dm_live_admin *admin, const char *kind, const char *id,
                    const char *bytes);
uint64_t pr_republish(struct dm_live_admin *admin, uint64_t floor, const struct dm_live_change *all,
                      size_t n);
int pr_open(void **state);
int pr_close(void **state);
enum dm_code pr_ask_ann(struct rig *r, char bytes[64]);
