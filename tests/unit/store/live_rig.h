/* A stage for tests of live state: a loop with a clock that stands still, a handle, the admin's
 * side, and short ways to ask and to hear. The test's thread; the admin's calls run on one of their
 * own. */
#pragma once

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/live.h"

struct live_rig {
    struct dm_clock_manual clock; /* the store's clock and the loop's */
    struct dm_loop *loop;         /* of the test's thread */
    struct dm_live *live;
    struct dm_live_admin *admin;
    void *backend;
};
struct live_factory {
    void (*open)(struct live_rig *r); /* the clock is set; an empty store */
    void (*close)(struct live_rig *r);
};
extern const struct live_factory *live_factory; /* of the tests that run now */

enum { RIG_START = 1700000040 /* a whole minute, Unix seconds */ };

struct change_call {
    const struct dm_live_change *changes;
    size_t n;
    uint64_t generation;
    enum dm_code code;
};

struct token_call {
    const char *subject, *jti;
    dm_time expires;
    bool revoked;
    enum dm_code code;
};

struct admitted {
    struct dm_live_wait wait;
    struct dm_admit_answer answer;
    int times;
    atomic_bool came;
};

struct reserved {
    struct dm_live_wait wait;
    enum dm_reserve_verdict verdict;
    int times;
    atomic_bool came;
};

struct credit_call {
    const char *group, *subject;
    int64_t balance;
    bool unless_there;
    enum dm_code code;
};

struct got {
    struct dm_live_wait wait;
    enum dm_code code[DM_LIVE_GET_MAX];
    char bytes[DM_LIVE_GET_MAX][64];
    uint64_t generation[DM_LIVE_GET_MAX];
    size_t n;
    atomic_bool came;
};

struct heard {
    struct dm_live_subscriber subscriber;
    uint64_t generations[16]; /* what came, up to 16 times */
    char text[16][160];       /* "kind/id=bytes " of each change, sorted by none */
    size_t n, n_changes[16];
    char revoked[64];
    atomic_bool came;
    struct dm_live_subscriber *drop; /* unsubscribed by the callback */
};

int rig_open(void **state);
int rig_close(void **state);
void rig_turn_until(struct live_rig *r, const atomic_bool *done);
void rig_step(struct live_rig *r, dm_time by);
void rig_call(struct live_rig *r, void (*run)(struct live_rig *, void *), void *ctx);
uint64_t rig_publish(struct live_rig *r, const char *kind, const char *id, const char *bytes);
void rig_revoke(struct live_rig *r, const char *subject, const char *jti, dm_time expires);
void rig_run_publish(struct live_rig *r, void *ctx);
void rig_run_revoke(struct live_rig *r, void *ctx);
void rig_run_unrevoke(struct live_rig *r, void *ctx);
bool rig_is_revoked(struct live_rig *r, const char *subject, const char *jti);
void rig_run_clear(struct live_rig *r, void *ctx);
void rig_assert_hit(struct live_rig *r, const char *id, enum dm_code code, int64_t count,
                    int64_t retry);
void rig_on_admitted(struct dm_live_wait *w, const struct dm_admit_answer *a);
struct dm_admit_answer rig_admit(struct live_rig *r, const char *subject, const char *jti,
                                 const struct dm_counter_ask *counters, size_t n);
struct dm_counter_ask rig_rate(int64_t limit, int64_t window);
struct dm_counter_ask rig_throttle(int64_t limit, int64_t queue, int64_t max_delayed);
struct dm_counter_ask rig_bandwidth(int64_t limit, int64_t amount);
void rig_on_reserved(struct dm_live_wait *w, enum dm_reserve_verdict v);
enum dm_reserve_verdict rig_reserve(struct live_rig *r, const char *group, const char *subject,
                                    const char *id); /* held for 60 s */
void rig_settle(struct live_rig *r, const char *group, const char *subject, const char *id,
                bool spent); /* and waits until it was done */
void rig_run_set_credits(struct live_rig *r, void *ctx);
void rig_run_delete_credits(struct live_rig *r, void *ctx);
void rig_set_credits(struct live_rig *r, const char *group, const char *subject, int64_t balance);
int64_t rig_credits(struct live_rig *r, const char *group, const char *subject); /* -1: none */
void rig_on_got(struct dm_live_wait *w, const struct dm_live_object *objects, size_t n);
struct got rig_get(struct live_rig *r, const dm_view (*names)[2], size_t n);
void rig_on_change(struct dm_live_subscriber *s, uint64_t generation,
                   const struct dm_live_change *c, size_t n);
void rig_on_revoked(struct dm_live_subscriber *s, dm_view subject);
void rig_hear(struct live_rig *r, struct heard *h);
