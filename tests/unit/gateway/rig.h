/* A whole data plane on one loop with a clock that stands still: loader, worker and listener on
 * loopback, live state in memory, upstreams in the hands of the test. Waiting is for events only.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/pipeline.h"
#include "gateway/snapshot/loader.h"
#include "gateway/worker.h"
#include "io/listener.h"
#include "store/live_backend.h"

enum { RIG_UPSTREAMS = 3, RIG_CONNS = 8, RIG_SCRIPT = 8 };

struct rig_conn {
    int fd;
    char in[256 * 1024];
    size_t len;
};

struct rig_upstream {
    int listener; /* -1: closed, connections are refused */
    uint16_t port;
    struct rig_conn conns[RIG_CONNS];
    const char *script[RIG_SCRIPT]; /* answers in order, the last again and again */
    size_t n_script, answered;
    char seen[256 * 1024]; /* all requests, one after the other */
    size_t seen_len, n_requests;
    bool paused; /* does not read */
};

struct rig_holding { /* a live store that keeps every answer until told otherwise */
    struct dm_live base;
    struct dm_live *real;
    bool holds_admit, holds_objects, holds_reserve, away;
    struct dm_live_wait *wait, swallowed;
    dm_admit_fn admit;
    dm_objects_fn objects;
    dm_reserve_fn reserve;
    size_t n_reserves, n_spent, n_given_back; /* asks and settles */
    dm_time hold;                             /* of the last reservation */
    size_t n_admits, n_cancelled;
    int64_t bandwidth; /* bytes added */
};

struct rig {
    struct dm_clock_manual clock;
    struct dm_loop *loop;
    struct dm_settings *settings;
    struct dm_keyset *keys;
    struct dm_metrics *metrics;
    struct dm_arena_pool *arenas;
    struct dm_listener_limits_shared *limits;
    struct dm_ops ops;
    struct dm_live_memory *memory;
    struct dm_live_admin *admin;
    struct rig_holding live;
    struct gw_snapshot_cell *cell;
    struct gw_loader *loader;
    struct gw_worker *worker;
    struct dm_listener *listener;
    uint16_t port;
    int client; /* kept connection of rig_ask; -1 */
    struct rig_upstream up[RIG_UPSTREAMS];
    char answer[512 * 1024];
    size_t answer_len;
    int status;
    const char *body;
};

/* Smaller: every few fields of a request are an allocation of their own, for faults by count. */
enum { RIG_ARENA_CHUNK = 8 * 1024 };
extern size_t rig_arena_chunk;

void rig_init(struct rig *r, const char *const *env); /* NULL-ended KEY=VALUE, may be NULL */
void rig_init_cold(struct rig *r);                    /* no policy was ever loaded */
void rig_done(struct rig *r);
/* API demo/v1 with servers A and B, group ALL, endpoints GET and POST /items, GET /items/{id}; user
 * bob, in ALL, subscribed, without limits (gateway.md §31). */
void rig_demo(struct rig *r);
/* The API's document with `more` members in front ("\"api_public\":true,"), published. */
void rig_api(struct rig *r, const char *more);
void rig_user(struct rig *r, const char *username, const char *more);
void rig_publish(struct rig *r, const char *kind, const char *id,
                 const char *json); /* NULL: deleted */
void rig_revoke(struct rig *r, const char *username, const char *jti);
/* Of group g. */
void rig_set_credits(struct rig *r, const char *username, int64_t balance);
int64_t rig_credits(struct rig *r, const char *username);
const char *rig_token(struct rig *r, const char *username, const char *more_claims);

void rig_turn(struct rig *r);
void rig_settle(struct rig *r); /* until nothing happens any more */
void rig_pass(struct rig *r, dm_time time);
#define rig_until(r, condition)                                                                    \
    do {                                                                                           \
        for (int rig_i_ = 0; !(condition); rig_i_++) {                                             \
            assert_true(rig_i_ < 20000);                                                           \
            rig_turn(r);                                                                           \
        }                                                                                          \
    } while (0)

int rig_connect(struct rig *r);
void rig_send(struct rig *r, int fd, const char *text, size_t len);
bool rig_receive(struct rig *r, int fd); /* what came is added to answer; false: closed */
bool rig_complete(struct rig *r);        /* answer holds a whole answer; fills status and body */
/* Sends on the kept connection and waits for the whole answer; gives its status. */
int rig_ask(struct rig *r, const char *request);
/* "METHOD target HTTP/1.1", Host, bob's token, then `fields` ("X: y\r\n...", may be ""). */
int rig_call(struct rig *r, const char *method, const char *target, const char *fields,
             const char *body);
int rig_get(struct rig *r, const char *path, const char *fields); /* as bob */
int rig_get_anonymous(struct rig *r, const char *path, const char *fields);
bool rig_answered(const struct rig *r, const char *line); /* the answer's head holds this text */
bool rig_has(dm_view text, const char *part);
int64_t rig_count(const struct rig *r, enum gw_count which);
struct gw_request *rig_waiting(struct rig *r,
                               enum gw_wait_on on); /* the one that waits for it; NULL */

void rig_script(struct rig *r, size_t upstream, const char *answer); /* appends */
dm_view rig_seen(const struct rig *r, size_t upstream);
void rig_close_upstream(struct rig *r, size_t upstream); /* nobody listens there any more */
void rig_say(struct rig *r, size_t upstream,
             const char *text); /* on its first connection, unasked */
void rig_hang_up(struct rig *r, size_t upstream);
void rig_hold(struct rig *r, bool admit, bool objects);
void rig_release(struct rig *r, enum dm_admit_verdict verdict);

/* Parts that other rigs use too. */
struct dm_settings *rig_settings(const char *const *env);
struct dm_keyset *rig_keys(const struct dm_settings *s);
void rig_sign(const struct dm_keyset *keys, const char *payload, char *token, size_t size);

/* Fixtures: a rig with the demo, under settings. */
int rig_setup_with(void **state, const char *const *env);
int rig_setup(void **state);
int rig_teardown(void **state);
#define RIG_SETUP(name, ...)                                                                       \
    static int name(void **state)                                                                  \
    {                                                                                              \
        static const char *const env[] = {__VA_ARGS__, NULL};                                      \
        return rig_setup_with(state, env);                                                         \
    }
#define RIG_TEST(name, setup) cmocka_unit_test_setup_teardown(name, setup, rig_teardown)

void rig_one_server(struct rig *r, const char *more); /* the demo's API with server A alone */
/* Sends GET items as bob on a connection of its own, to be answered by server A with `answer`;
 * gives the connection, with what came so far in answer. */
int rig_begin(struct rig *r, const char *answer);

#define RIG_OK                                                                                     \
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"ok\":true}"
#define RIG_SILENT "" /* reads and says nothing */
#define RIG_HANG_UP "hang up"
