/* Three masters; the script moves slots and stops nodes. Key "k<i>" and its slot: any will do. */
#include "redis_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct rr g;

static void keys_go_to_their_nodes(void **state)
{
    (void)state;
    char line[64];
    struct rr_ask a;
    for (int i = 0; i < 300; i++) {
        (void)snprintf(line, sizeof line, "SET key%d %d", i, i);
        rr_do(&g, line, &a);
    }
    assert_int_equal(dm_redis_nodes(g.redis), 3);
    int64_t sum = 0;
    for (size_t i = 0; i < 3; i++) {
        const dm_view argv[] = {DM_LIT("DBSIZE")};
        a = (struct rr_ask){0};
        dm_redis_send_node(g.redis, i, argv, 1, rr_in(&g, 10 * DM_SEC), &a.ask, rr_note);
        rr_wait(&g, &a);
        assert_int_equal(a.rc, DM_OK);
        assert_true(a.number > 0);
        sum += a.number;
    }
    assert_int_equal(sum, 300);
}

static void a_script_goes_where_its_keys_are(void **state)
{
    (void)state;
    struct dm_redis_script s;
    dm_redis_script_init(&s, "return redis.call('INCRBY', KEYS[1], ARGV[1])");
    for (int i = 0; i < 30; i++) {
        char key[16];
        int len = snprintf(key, sizeof key, "count%d", i);
        dm_view k = dm_view_make(key, (size_t)len), arg = DM_LIT("7");
        struct rr_ask a = {0};
        dm_redis_eval(g.redis, &s, &k, 1, &arg, 1, rr_in(&g, 10 * DM_SEC), &a.ask, rr_note);
        rr_wait(&g, &a);
        assert_int_equal(a.rc, DM_OK);
        assert_int_equal(a.number, 7);
    }
}

static void a_moved_slot_is_followed(void **state)
{
    (void)state;
    struct rr_ask a;
    rr_do(&g, "SET {moved}k before", &a);
    rr_order(&g, "move");
    rr_do(&g, "GET {moved}k", &a);
    assert_string_equal(a.text, "before");
    rr_do(&g, "SET {moved}k after", &a);
}

static void a_slot_on_its_way_is_asked_for_at_both_ends(void **state)
{
    (void)state;
    struct rr_ask a;
    struct dm_redis_script s;
    dm_redis_script_init(&s, "return redis.call('GET', KEYS[1])");
    rr_do(&g, "SET {moved}k before", &a);
    rr_order(&g, "begin");
    rr_do(&g, "GET {moved}k", &a); /* still here */
    assert_string_equal(a.text, "before");
    rr_do(&g, "SET {moved}new there", &a); /* not here: ASK */
    rr_order(&g, "keys");
    rr_do(&g, "GET {moved}k", &a);
    assert_string_equal(a.text, "before");
    dm_view k = DM_LIT("{moved}k");
    a = (struct rr_ask){0};
    dm_redis_eval(g.redis, &s, &k, 1, NULL, 0, rr_in(&g, 10 * DM_SEC), &a.ask, rr_note);
    rr_wait(&g, &a);
    assert_int_equal(a.rc, DM_OK); /* a script that the other end does not know, behind ASKING */
    assert_string_equal(a.text, "before");
    rr_order(&g, "end");
    rr_do(&g, "GET {moved}new", &a);
    assert_string_equal(a.text, "there");
}

static bool is_cut(void *ctx)
{
    return !dm_redis_connected(((struct rr *)ctx)->redis);
}

static void a_lost_node_costs_its_slots_only(void **state)
{
    (void)state;
    struct rr_ask a;
    rr_do(&g, "SET {moved}k v", &a);
    rr_order(&g, "kill"); /* another one than that of {moved} */
    rr_turn_until(&g, is_cut, &g);
    rr_do(&g, "GET {moved}k", &a);
    assert_string_equal(a.text, "v");
    rr_ask(&g, "GET {gone}k", 500 * DM_MS, &a);
    rr_wait(&g, &a);
    assert_int_equal(a.rc, DM_UNAVAILABLE);
    rr_order(&g, "start");
    rr_ask(&g, "SET {gone}k v", 15 * DM_SEC, &a);
    rr_wait(&g, &a);
}

static bool is_served(void *ctx)
{
    struct rr_ask *a = ctx;
    if (a->answers == 0)
        return false;
    if (a->rc == DM_OK)
        return true;
    assert_true(a->rc == DM_UNAVAILABLE || a->rc == DM_TIMEOUT);
    rr_ask(&g, "GET {gone}k", 300 * DM_MS, a);
    return false;
}

static void a_replica_takes_over(void **state)
{
    (void)state;
    struct rr_ask a;
    rr_do(&g, "SET {gone}k v", &a);
    rr_order(&g, "follow");
    rr_order(&g, "kill");
    rr_turn_until(&g, is_cut, &g);
    rr_ask(&g, "GET {gone}k", 300 * DM_MS, &a);
    rr_turn_until(&g, is_served, &a);
    assert_string_equal(a.text, "v");
    rr_do(&g, "SET {gone}k w", &a);
}

static bool nobody_owns_it(void *ctx)
{
    struct rr_ask *a = ctx;
    if (a->answers == 0)
        return false;
    if (a->rc == DM_UNAVAILABLE)
        return true;
    rr_ask(&g, "GET {moved}k", 10 * DM_SEC, a);
    return false;
}

static void a_slot_without_owner_is_unavailable_at_once(void **state)
{
    (void)state;
    struct rr_ask a;
    rr_order(&g, "disown");
    rr_ask(&g, "GET {moved}k", 10 * DM_SEC, &a);
    rr_turn_until(&g, nobody_owns_it, &a);
    for (int i = 0; i < 20; i++) /* by now the map says so, too */
        (void)dm_loop_turn(g.loop, 20 * DM_MS);
    dm_time begun = dm_clock_mono(&dm_clock_system);
    rr_ask(&g, "GET {moved}k", 10 * DM_SEC, &a);
    rr_wait(&g, &a);
    assert_int_equal(a.rc, DM_UNAVAILABLE);
    assert_true(dm_clock_mono(&dm_clock_system) - begun < 5 * DM_SEC);
}

static bool subscribed(void *ctx)
{
    return ((struct rr_ear *)ctx)->subscribed > 0;
}

static bool heard(void *ctx)
{
    return ((struct rr_ear *)ctx)->messages >= 3;
}

static void announcements_come_from_every_node(void **state)
{
    (void)state;
    struct rr_ask a;
    struct rr_ear e = {.channel = {.name = DM_LIT("news"),
                                   .on_message = rr_on_message,
                                   .on_subscribed = rr_on_subscribed}};
    const dm_view argv[] = {DM_LIT("PUBLISH"), DM_LIT("news"), DM_LIT("x")};
    dm_redis_subscribe(g.redis, &e.channel);
    rr_turn_until(&g, subscribed, &e);
    for (size_t i = 0; i < 3; i++) {
        a = (struct rr_ask){0};
        dm_redis_send_node(g.redis, i, argv, 3, rr_in(&g, 10 * DM_SEC), &a.ask, rr_note);
        rr_wait(&g, &a);
    }
    rr_turn_until(&g, heard, &e);
    dm_redis_unsubscribe(g.redis, &e.channel);
}

#define FRESH(test)                                                                                \
    cmocka_unit_test_prestate_setup_teardown(test, rr_set_up_connected, rr_tear_down, &g)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(keys_go_to_their_nodes),
        FRESH(a_script_goes_where_its_keys_are),
        FRESH(a_moved_slot_is_followed),
        FRESH(a_slot_on_its_way_is_asked_for_at_both_ends),
        FRESH(a_lost_node_costs_its_slots_only),
        FRESH(a_replica_takes_over),
        FRESH(a_slot_without_owner_is_unavailable_at_once),
        FRESH(announcements_come_from_every_node),
    };
    cmocka_set_test_filter(getenv("TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
