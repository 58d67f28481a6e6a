#include "store/redis/live_redis_mark.h"

#include <pthread.h>
#include <stdio.h>

#include "base/assert.h"
#include "store/redis/redis.h"

#include "base/poison.h"

/* Some decimal number lies in every slot; as a hash tag it puts the mark there. */
static uint32_t tags[DM_REDIS_SLOTS];
static pthread_once_t made = PTHREAD_ONCE_INIT;

enum { TRIED_MAX = 1000 * 1000 }; /* some 170,000 are needed */

static void make_tags(void)
{
    bool found[DM_REDIS_SLOTS] = {false};
    size_t left = DM_REDIS_SLOTS;

    for (uint32_t n = 0; left > 0; n++) {
        char text[16];
        const int len = snprintf(text, sizeof text, "%u", n);
        const unsigned slot = dm_redis_slot(dm_view_make(text, (size_t)len));
        DM_REQUIRE(n < TRIED_MAX);
        left -= !found[slot];
        if (!found[slot])
            tags[slot] = n;
        found[slot] = true;
    }
}

void live_mark_of_slot(struct live_mark *m, unsigned slot)
{
    DM_REQUIRE(slot < DM_REDIS_SLOTS && pthread_once(&made, make_tags) == 0);
    m->len = (uint8_t)snprintf(m->bytes, sizeof m->bytes, "doorman:kept:{%u}", tags[slot]);
}

void live_mark_of(struct live_mark *m, dm_view key)
{
    live_mark_of_slot(m, dm_redis_slot(key));
}
