/* What the tests against a real Redis share: a loop, a resolver, one struct dm_redis configured
 * from the environment (REDIS_URL and kin), asks that note their answer. The tests that break Redis
 * talk to the script that started them by lines: a word out, a word in. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "store/redis/redis.h"

struct rr {
    struct dm_loop *loop;
    struct dm_resolver *resolver;
    struct dm_redis *redis;
    struct dm_settings *settings;
};
struct rr_ask {
    struct dm_redis_ask ask;
    int answers;
    enum dm_code rc;
    enum dm_redis_type type;
    int64_t number;
    size_t len;
    char text[256];
};
struct rr_ear { /* a subscription that counts what it hears */
    struct dm_redis_channel channel;
    int subscribed, messages;
};

/* Fixtures; the struct rr is the tests' prestate. */
int rr_set_up(void **state);
int rr_set_up_connected(void **state);
int rr_tear_down(void **state);

void rr_open(struct rr *g);
void rr_close(struct rr *g);
void rr_turn_until(struct rr *g, bool (*done)(void *ctx), void *ctx); /* fails after 20 s */
void rr_connect(struct rr *g);                                        /* until connected */
void rr_note(struct dm_redis_ask *a, enum dm_code rc, const struct dm_redis_reply *reply);
dm_time rr_in(const struct rr *g, dm_time after); /* a deadline, by the clock of now */
/* "SET key value": split at blanks; the key, where it decides, is the second word. */
void rr_ask(struct rr *g, const char *command, dm_time after, struct rr_ask *a);
void rr_wait(struct rr *g, struct rr_ask *a);
/* Asks, waits, demands DM_OK. */
void rr_do(struct rr *g, const char *command, struct rr_ask *a);
/* Writes the word to stdout and waits for a line on stdin; the loop turns meanwhile. */
void rr_order(struct rr *g, const char *word);
/* Callbacks of rr_ear.channel. */
void rr_on_message(struct dm_redis_channel *c, dm_view payload);
void rr_on_subscribed(struct dm_redis_channel *c);
