/* One server that is broken and mended by the script that started it; each test has a fresh one. */
#include "redis_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct rr g;

static bool is_cut(void *ctx)
{
    return !dm_redis_connected(((struct rr *)ctx)->redis);
}

struct watch {
    struct dm_redis_watcher watcher;
    int up, down;
};

static void on_state(struct dm_redis_watcher *w, bool connected)
{
    struct watch *s = DM_CONTAINER_OF(w, struct watch, watcher);
    s->up += connected;
    s->down += !connected;
}

static bool went_up(void *ctx)
{
    return ((struct watch *)ctx)->up > 0;
}

static void a_stopped_server_is_told_and_found_again(void **state)
{
    (void)state;
    struct rr_ask a;
    struct watch w = {.watcher.on_state = on_state};
    for (int i = 0; i < 3; i++) /* what the first connection brought is told before */
        (void)dm_loop_turn(g.loop, 10 * DM_MS);
    dm_redis_watch(g.redis, &w.watcher);
    rr_order(&g, "kill");
    rr_turn_until(&g, is_cut, &g);
    rr_ask(&g, "GET k", 200 * DM_MS, &a);
    assert_int_equal(a.answers, 0); /* never inside the call */
    rr_wait(&g, &a);
    assert_int_equal(a.rc, DM_UNAVAILABLE);
    rr_ask(&g, "SET k v", 15 * DM_SEC, &a); /* waits for the server */
    rr_order(&g, "start");
    rr_wait(&g, &a);
    assert_int_equal(a.rc, DM_OK);
    rr_turn_until(&g, went_up, &w);
    assert_int_equal(w.down, 1);
    assert_int_equal(w.up, 1);
    dm_redis_unwatch(&w.watcher);
}

static void what_was_sent_on_a_lost_connection_is_not_sent_again(void **state)
{
    (void)state;
    struct rr_ask a[3];
    rr_order(&g, "pause");
    for (int i = 0; i < 3; i++)
        rr_ask(&g, "INCR n", 20 * DM_SEC, &a[i]);
    (void)dm_loop_turn(g.loop, 0);
    rr_order(&g, "restart");
    for (int i = 0; i < 3; i++) {
        rr_wait(&g, &a[i]);
        assert_int_equal(a[i].rc, DM_UNAVAILABLE);
    }
    rr_do(&g, "GET n", &a[0]);
    assert_int_equal(a[0].type, DM_REDIS_NIL);
}

static void a_late_reply_is_passed_over(void **state)
{
    (void)state;
    struct rr_ask a, b;
    rr_do(&g, "SET k v", &a);
    rr_order(&g, "pause");
    rr_ask(&g, "GET k", 50 * DM_MS, &a);
    rr_wait(&g, &a);
    assert_int_equal(a.rc, DM_TIMEOUT);
    rr_ask(&g, "INCR n", 20 * DM_SEC, &b);
    rr_order(&g, "resume");
    rr_wait(&g, &b);
    assert_int_equal(a.answers, 1);
    assert_int_equal(b.rc, DM_OK);
    assert_int_equal(b.number, 1);
}

static void a_black_hole_is_cut_and_dialled_again(void **state)
{
    (void)state;
    struct rr_ask a;
    rr_order(&g, "pause");
    dm_time begun = dm_clock_mono(&dm_clock_system);
    rr_ask(&g, "GET k", 50 * DM_MS, &a);
    rr_wait(&g, &a);
    assert_int_equal(a.rc, DM_TIMEOUT);
    rr_turn_until(&g, is_cut, &g);
    assert_true(dm_clock_mono(&dm_clock_system) - begun >= DM_SEC); /* not at the first late one */
    rr_order(&g, "resume");
    rr_do(&g, "GET k", &a);
}

static void a_peer_that_hangs_is_noticed_without_commands(void **state)
{
    (void)state;
    struct rr_ask a;
    rr_order(&g, "pause");
    rr_turn_until(&g, is_cut, &g);
    rr_order(&g, "resume");
    rr_do(&g, "GET k", &a);
}

static bool subscribed_twice(void *ctx)
{
    return ((struct rr_ear *)ctx)->subscribed >= 2;
}

static bool subscribed(void *ctx)
{
    return ((struct rr_ear *)ctx)->subscribed >= 1;
}

static bool heard(void *ctx)
{
    return ((struct rr_ear *)ctx)->messages > 0;
}

static void channels_are_subscribed_again(void **state)
{
    (void)state;
    struct rr_ask a;
    struct rr_ear e = {.channel = {.name = DM_LIT("news"),
                                   .on_message = rr_on_message,
                                   .on_subscribed = rr_on_subscribed}};
    dm_redis_subscribe(g.redis, &e.channel);
    rr_turn_until(&g, subscribed, &e);
    rr_order(&g, "restart");
    rr_turn_until(&g, subscribed_twice, &e);
    rr_do(&g, "PUBLISH news again", &a);
    rr_turn_until(&g, heard, &e);
    dm_redis_unsubscribe(g.redis, &e.channel);
}

static void a_master_that_became_a_replica_is_left(void **state)
{
    (void)state;
    struct rr_ask a;
    rr_order(&g, "demote");
    rr_ask(&g, "SET k v", 10 * DM_SEC, &a);
    rr_wait(&g, &a);
    assert_int_equal(a.rc, DM_UNAVAILABLE);
    assert_true(strncmp(a.text, "READONLY", 8) == 0);
    rr_turn_until(&g, is_cut, &g);
    rr_ask(&g, "GET k", 300 * DM_MS, &a);
    rr_wait(&g, &a);
    assert_int_equal(a.rc, DM_UNAVAILABLE);
    rr_order(&g, "promote");
    rr_do(&g, "SET k v", &a);
}

static void a_full_memory_is_unavailable_not_wrong(void **state)
{
    (void)state;
    struct rr_ask a;
    rr_do(&g, "CONFIG SET maxmemory 1", &a);
    rr_ask(&g, "SET k v", 10 * DM_SEC, &a);
    rr_wait(&g, &a);
    assert_int_equal(a.rc, DM_UNAVAILABLE);
    rr_do(&g, "CONFIG SET maxmemory 0", &a);
    rr_do(&g, "SET k v", &a);
}

static void those_that_wait_are_bounded(void **state)
{
    (void)state;
    enum { MORE = 10 };
    rr_order(&g, "kill");
    rr_turn_until(&g, is_cut, &g);
    struct rr_ask *a = dm_mem_array(DM_REDIS_WAITING_MAX + MORE, sizeof *a);
    for (int i = 0; i < DM_REDIS_WAITING_MAX + MORE; i++)
        rr_ask(&g, "INCR n", 20 * DM_SEC, &a[i]);
    (void)dm_loop_turn(g.loop, 0);
    (void)dm_loop_turn(g.loop, 0);
    for (int i = 0; i < DM_REDIS_WAITING_MAX + MORE; i++)
        assert_int_equal(a[i].answers, i >= DM_REDIS_WAITING_MAX);
    assert_int_equal(a[DM_REDIS_WAITING_MAX].rc, DM_UNAVAILABLE);
    rr_order(&g, "start");
    rr_wait(&g, &a[DM_REDIS_WAITING_MAX - 1]);
    assert_int_equal(a[DM_REDIS_WAITING_MAX - 1].number, DM_REDIS_WAITING_MAX);
    dm_mem_free(a);
}

static void what_redis_does_not_take_is_bounded(void **state)
{
    (void)state;
    enum { N = 600, SIZE = 64 * 1024 };
    rr_order(&g, "pause");
    struct rr_ask *a = dm_mem_array(N, sizeof *a);
    char *big = dm_mem_alloc(SIZE);
    const dm_view argv[] = {DM_LIT("SET"), DM_LIT("k"), dm_view_make(big, SIZE)};
    int refused = 0;
    for (int i = 0; i < N; i++) {
        dm_redis_send(g.redis, argv[1], argv, 3, rr_in(&g, 20 * DM_SEC), &a[i].ask, rr_note);
        if (i % 16 == 0)
            (void)dm_loop_turn(g.loop, 0);
    }
    (void)dm_loop_turn(g.loop, 0);
    for (int i = 0; i < N; i++)
        refused += a[i].answers > 0 && a[i].rc == DM_UNAVAILABLE;
    assert_true(refused > 0 && refused < N);
    rr_order(&g, "resume");
    for (int i = 0; i < N; i++) {
        rr_wait(&g, &a[i]);
        refused -= a[i].rc == DM_UNAVAILABLE;
    }
    assert_int_equal(refused, 0);
    dm_mem_free(big);
    dm_mem_free(a);
}

static void what_is_pending_is_answered_before_the_end(void **state)
{
    (void)state;
    struct rr_ask a, b;
    rr_order(&g, "pause");
    rr_ask(&g, "GET k", 20 * DM_SEC, &a);
    (void)dm_loop_turn(g.loop, 0);
    rr_ask(&g, "GET k", 20 * DM_SEC, &b);
    dm_redis_free(g.redis);
    g.redis = NULL;
    assert_int_equal(a.answers, 1);
    assert_int_equal(a.rc, DM_UNAVAILABLE);
    assert_int_equal(b.answers, 1);
    assert_int_equal(b.rc, DM_UNAVAILABLE);
}

#define FRESH(test)                                                                                \
    cmocka_unit_test_prestate_setup_teardown(test, rr_set_up_connected, rr_tear_down, &g)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(a_stopped_server_is_told_and_found_again),
        FRESH(what_was_sent_on_a_lost_connection_is_not_sent_again),
        FRESH(a_late_reply_is_passed_over),
        FRESH(a_black_hole_is_cut_and_dialled_again),
        FRESH(a_peer_that_hangs_is_noticed_without_commands),
        FRESH(channels_are_subscribed_again),
        FRESH(a_master_that_became_a_replica_is_left),
        FRESH(a_full_memory_is_unavailable_not_wrong),
        FRESH(those_that_wait_are_bounded),
        FRESH(what_redis_does_not_take_is_bounded),
        FRESH(what_is_pending_is_answered_before_the_end),
    };
    cmocka_set_test_filter(getenv("TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
