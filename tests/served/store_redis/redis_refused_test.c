/* Servers that do not let us in, or talk nonsense: an ask is told so, nothing else happens. */
#include "redis_rig.h"

#include <stdlib.h>

static struct rr g;

static void commands_are_served(void **state)
{
    (void)state;
    struct rr_ask a;
    rr_do(&g, "SET k v", &a);
    rr_do(&g, "GET k", &a);
    assert_string_equal(a.text, "v");
}

static void nothing_is_served(void **state)
{
    (void)state;
    struct rr_ask a;
    for (int i = 0; i < 3; i++) {
        rr_ask(&g, "GET k", 400 * DM_MS, &a);
        rr_wait(&g, &a);
        assert_int_equal(a.rc, DM_UNAVAILABLE);
        assert_false(dm_redis_connected(g.redis));
    }
}

/* The greeting is answered well; what comes then is not. */
static void a_bad_reply_cuts_the_connection(void **state)
{
    (void)state;
    struct rr_ask a;
    rr_connect(&g);
    rr_ask(&g, "GET k", 15 * DM_SEC, &a);
    rr_wait(&g, &a);
    assert_int_equal(a.rc, DM_UNAVAILABLE);
}

static bool is_cut(void *ctx)
{
    return !dm_redis_connected(((struct rr *)ctx)->redis);
}

static void a_surplus_reply_cuts_the_connection(void **state)
{
    (void)state;
    struct rr_ask a;
    rr_connect(&g);
    rr_ask(&g, "GET k", 15 * DM_SEC, &a);
    rr_wait(&g, &a);
    assert_int_equal(a.rc, DM_OK);
    rr_turn_until(&g, is_cut, &g);
}

#define FRESH(test) cmocka_unit_test_prestate_setup_teardown(test, rr_set_up, rr_tear_down, &g)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(commands_are_served),
        FRESH(nothing_is_served),
        FRESH(a_bad_reply_cuts_the_connection),
        FRESH(a_surplus_reply_cuts_the_connection),
    };
    cmocka_set_test_filter(getenv("TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
