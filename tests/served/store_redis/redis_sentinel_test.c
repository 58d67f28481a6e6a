/* A master and a replica behind three Sentinels, commands all the while. */
#include "redis_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct load {
    struct rr *g;
    struct rr_ask ask;
    int good, refused, other;
    int64_t last;
};

/* One more command as soon as the one before is answered. */
static bool until_good_again(void *ctx)
{
    struct load *l = ctx;
    if (l->ask.answers == 0)
        return false;
    bool good = l->ask.rc == DM_OK;
    bool away = l->ask.rc == DM_UNAVAILABLE || l->ask.rc == DM_TIMEOUT;
    l->good += good;
    l->refused += away;
    l->other += !good && !away;
    if (good)
        l->last = l->ask.number;
    rr_ask(l->g, "INCR n", 300 * DM_MS, &l->ask);
    return l->refused > 0 && good;
}

static void a_failover_is_followed_under_load(void **state)
{
    (void)state;
    struct rr g = {0};
    struct rr_ask a;
    struct load l = {.g = &g};
    rr_open(&g);
    rr_do(&g, "SET before failover", &a);
    rr_do(&g, "WAIT 1 5000", &a);
    rr_ask(&g, "INCR n", DM_SEC, &l.ask);
    rr_order(&g, "kill");
    rr_turn_until(&g, until_good_again, &l);
    assert_int_equal(l.other, 0);
    dm_redis_cancel(g.redis, &l.ask.ask);
    rr_do(&g, "GET before", &a); /* it is the replica of before */
    assert_string_equal(a.text, "failover");
    rr_close(&g);
}

static void a_master_that_hangs_is_replaced(void **state)
{
    (void)state;
    struct rr g = {0};
    struct rr_ask a;
    struct load l = {.g = &g};
    rr_open(&g);
    rr_do(&g, "SET before failover", &a);
    rr_ask(&g, "INCR n", DM_SEC, &l.ask);
    rr_order(&g, "pause");
    rr_turn_until(&g, until_good_again, &l);
    assert_int_equal(l.other, 0);
    dm_redis_cancel(g.redis, &l.ask.ask);
    rr_order(&g, "resume"); /* the old one comes back, and is a replica soon */
    rr_do(&g, "SET after failover", &a);
    rr_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failover_is_followed_under_load),
        cmocka_unit_test(a_master_that_hangs_is_replaced),
    };
    cmocka_set_test_filter(getenv("TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
