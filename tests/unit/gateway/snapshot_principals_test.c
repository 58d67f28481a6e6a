#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "gateway/snapshot/principals.h"
#include "store/live_delayed.h"

enum { TTL_SECONDS = 300, MAX = 3 };

struct fixture {
    struct dm_clock_manual clock;
    struct dm_loop *owner, *loop; /* the store's loop stands still where a test wants it away */
    struct dm_live_memory *memory;
    struct dm_live_admin *admin;
    struct dm_live *live;
    struct gw_principals *principals;
};

static void open_on(struct fixture *f, bool remote)
{
    dm_clock_manual_init(&f->clock, DM_SEC, 1700000000 * DM_SEC);
    f->owner = dm_loop_new(&f->clock.clock);
    f->loop = remote ? dm_loop_new(&f->clock.clock) : f->owner;
    f->memory = dm_live_memory_new(f->owner);
    f->admin = dm_live_memory_admin(f->memory);
    f->live = dm_live_memory_handle(f->memory, f->loop);
    if (!remote)
        f->live = dm_live_delayed_new(f->live, f->loop, 3, 0);
    f->principals = gw_principals_new(f->loop, f->live, MAX, TTL_SECONDS * DM_SEC);
}

static int open_fixture(void **state)
{
    struct fixture *f = DM_NEW(struct fixture);
    open_on(f, false);
    *state = f;
    return 0;
}

static int open_remote(void **state)
{
    struct fixture *f = DM_NEW(struct fixture);
    open_on(f, true);
    *state = f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    gw_principals_free(f->principals);
    dm_live_free(f->live);
    dm_live_admin_free(f->admin);
    dm_live_memory_free(f->memory);
    if (f->loop != f->owner)
        dm_loop_free(f->loop);
    dm_loop_free(f->owner);
    dm_mem_free(f);
    return 0;
}

static void turns(struct fixture *f, int n)
{
    for (int i = 0; i < n; i++) {
        (void)dm_loop_turn(f->owner, 0);
        (void)dm_loop_turn(f->loop, 0);
    }
}

struct call {
    struct fixture *fixture;
    struct dm_live_change change;
    atomic_bool done;
};

static void *run_publish(void *arg)
{
    struct call *c = arg;
    enum dm_code rc = dm_live_publish(c->fixture->admin, &c->change, 1, NULL, NULL);
    atomic_store(&c->done, true);
    dm_loop_wake(c->fixture->owner);
    return (void *)(intptr_t)rc;
}

static void publish(struct fixture *f, const char *kind, const char *id, const char *bytes)
{
    struct call c = {.fixture = f, .change = {dm_view_of(kind), dm_view_of(id), dm_view_of(bytes)}};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_publish, &c), 0);
    while (!atomic_load(&c.done))
        (void)dm_loop_turn(f->owner, 10 * DM_MS);
    assert_int_equal(pthread_join(thread, NULL), 0);
    if (f->loop != f->owner)
        (void)dm_loop_turn(f->loop, 0);
}

static void publish_user(struct fixture *f, const char *name, const char *role)
{
    char json[200];
    (void)snprintf(json, sizeof json, "{\"username\":\"%s\",\"role\":\"%s\"}", name, role);
    publish(f, "user", name, json);
}

struct asked {
    struct gw_principals_wait wait;
    enum dm_code code;
    int times;
};

static void on_known(struct gw_principals_wait *w, enum dm_code code)
{
    struct asked *a = DM_CONTAINER_OF(w, struct asked, wait);
    a->code = code;
    a->times++;
}

static void start_ask(struct fixture *f, const char *name, struct asked *a)
{
    *a = (struct asked){.times = 0};
    gw_principals_ask(f->principals, dm_view_of(name), dm_loop_now(f->loop) + 50 * DM_MS, &a->wait,
                      on_known);
    assert_int_equal(a->times, 0);
}

static enum dm_code ask(struct fixture *f, const char *name)
{
    struct asked a;
    start_ask(f, name, &a);
    turns(f, 5);
    assert_int_equal(a.times, 1);
    return a.code;
}

static struct dm_policy_user *get(struct fixture *f, const char *name)
{
    return gw_principals_get(f->principals, dm_view_of(name));
}

static void assert_role(struct fixture *f, const char *name, const char *role)
{
    struct dm_policy_user *u = get(f, name);
    assert_non_null(u);
    assert_true(dm_view_eq(u->role, dm_view_of(role)));
}

static void user_and_subscriptions_are_fetched_once(void **state)
{
    struct fixture *f = *state;
    publish_user(f, "ann", "ops");
    publish(f, "subscription", "ann", "{\"username\":\"ann\",\"apis\":[\"b/v1\",\"a/v1\"]}");
    assert_null(get(f, "ann"));
    assert_int_equal(ask(f, "ann"), DM_OK);
    assert_role(f, "ann", "ops");
    assert_true(dm_strs_has(&get(f, "ann")->apis, DM_LIT("a/v1")));
    assert_ptr_equal(get(f, "ann"), get(f, "ann"));
}

static void unknown_user_is_an_answer_and_not_cached(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(ask(f, "ann"), DM_NOT_FOUND);
    assert_int_equal(gw_principals_count(f->principals), 0);
    publish_user(f, "ann", "ops");
    assert_int_equal(ask(f, "ann"), DM_OK);
}

static void change_of_user_or_subscription_drops_the_entry(void **state)
{
    struct fixture *f = *state;
    publish_user(f, "ann", "old");
    publish_user(f, "bob", "other");
    assert_int_equal(ask(f, "ann"), DM_OK);
    assert_int_equal(ask(f, "bob"), DM_OK);
    publish_user(f, "ann", "new");
    assert_null(get(f, "ann"));
    assert_role(f, "bob", "other");
    assert_int_equal(ask(f, "ann"), DM_OK);
    assert_role(f, "ann", "new");
    publish(f, "subscription", "ann", "{\"apis\":[\"a/v1\"]}");
    assert_null(get(f, "ann"));
    assert_int_equal(ask(f, "ann"), DM_OK);
    publish(f, "api", "ann", "{}"); /* another kind */
    assert_non_null(get(f, "ann"));
    publish(f, "user", "ann", NULL);
    assert_null(get(f, "ann"));
    assert_int_equal(ask(f, "ann"), DM_NOT_FOUND);
}

/* What was read before the change must not be kept after it. */
static void change_during_a_fetch_fetches_again(void **state)
{
    struct fixture *f = *state;
    struct asked a;
    publish_user(f, "ann", "old");
    dm_live_delayed_hold(f->live, true);
    start_ask(f, "ann", &a);
    turns(f, 3);
    assert_int_equal(dm_live_delayed_count(f->live), 1); /* "old" is on its way */
    publish_user(f, "ann", "new");
    dm_live_delayed_hold(f->live, false);
    turns(f, 10);
    assert_int_equal(a.times, 1);
    assert_int_equal(a.code, DM_OK);
    assert_role(f, "ann", "new");
}

static void asks_for_one_name_share_one_fetch(void **state)
{
    struct fixture *f = *state;
    struct asked all[5];
    publish_user(f, "ann", "ops");
    dm_live_delayed_hold(f->live, true);
    for (int i = 0; i < 5; i++)
        start_ask(f, "ann", &all[i]);
    turns(f, 3);
    assert_int_equal(dm_live_delayed_count(f->live), 1);
    gw_principals_cancel(f->principals, &all[2].wait);
    gw_principals_cancel(f->principals, &all[2].wait); /* twice is fine */
    dm_live_delayed_hold(f->live, false);
    turns(f, 3);
    for (int i = 0; i < 5; i++)
        assert_int_equal(all[i].times, i == 2 ? 0 : 1);
}

static void users_are_bounded_by_their_bytes_too(void **state)
{
    struct fixture *f = *state;
    struct dm_metrics *metrics = dm_metrics_new(1);
    struct dm_metric *gauge = dm_metric_get(metrics, DM_GAUGE, "users", "", "", NULL, 0);
    gw_principals_limit(f->principals, 100, TTL_SECONDS * DM_SEC);
    gw_principals_gauge(f->principals, gauge, 0);
    for (int i = 0; i < 20; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "u%d", i);
        publish_user(f, name, "r");
        assert_int_equal(ask(f, name), DM_OK);
    }
    assert_int_equal(gw_principals_count(f->principals), 20);
    assert_int_equal(dm_metric_value(gauge), 20);
    size_t each = gw_principals_bytes(f->principals) / 20;
    gw_principals_limit_bytes(f->principals, 5 * each);
    publish_user(f, "last", "r");
    assert_int_equal(ask(f, "last"), DM_OK);
    assert_in_range(gw_principals_count(f->principals), 4, 5);
    assert_int_equal(dm_metric_value(gauge), gw_principals_count(f->principals));
    assert_true(gw_principals_bytes(f->principals) <= 5 * each);
    assert_non_null(get(f, "last"));
    gw_principals_limit_bytes(f->principals, 1); /* larger than all there is: still of use */
    publish_user(f, "large", "r");
    assert_int_equal(ask(f, "large"), DM_OK);
    assert_int_equal(gw_principals_count(f->principals), 1);
    assert_non_null(get(f, "large"));
    publish(f, "user", "large", "{\"username\":\"large\",\"role\":\"new\"}");
    assert_int_equal(gw_principals_bytes(f->principals), 0); /* a change drops it */
    assert_int_equal(dm_metric_value(gauge), 0);
    gw_principals_clear(f->principals);
    gw_principals_gauge(f->principals, NULL, 0);
    dm_metrics_free(metrics);
}

static void least_recently_used_goes_first(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++)
        publish_user(f, names[i], "r");
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask(f, names[i]), DM_OK);
    assert_non_null(get(f, "a")); /* used again */
    assert_int_equal(ask(f, "d"), DM_OK);
    assert_int_equal(gw_principals_count(f->principals), MAX);
    assert_non_null(get(f, "a"));
    assert_null(get(f, "b"));
    assert_non_null(get(f, "c"));
    assert_non_null(get(f, "d"));
}

static void entry_past_its_time_is_fetched_again(void **state)
{
    struct fixture *f = *state;
    publish_user(f, "ann", "ops");
    assert_int_equal(ask(f, "ann"), DM_OK);
    dm_clock_manual_step(&f->clock, TTL_SECONDS * DM_SEC);
    turns(f, 1);
    assert_non_null(get(f, "ann"));
    dm_clock_manual_step(&f->clock, DM_SEC);
    turns(f, 1);
    assert_null(get(f, "ann"));
    assert_int_equal(ask(f, "ann"), DM_OK);
    assert_non_null(get(f, "ann"));
}

static void broken_record_is_no_verdict(void **state)
{
    struct fixture *f = *state;
    static const char *const broken[] = {"{", "[]", "{}", "{\"username\":\"bob\"}"};
    for (size_t i = 0; i < DM_COUNT_OF(broken); i++) {
        publish(f, "user", "ann", broken[i]);
        assert_int_equal(ask(f, "ann"), DM_UNAVAILABLE);
        assert_null(get(f, "ann"));
    }
    publish_user(f, "ann", "ops");
    publish(f, "subscription", "ann", "{");
    assert_int_equal(ask(f, "ann"), DM_UNAVAILABLE);
}

static void held_user_outlives_its_entry(void **state)
{
    struct fixture *f = *state;
    publish_user(f, "ann", "old");
    assert_int_equal(ask(f, "ann"), DM_OK);
    struct dm_policy_user *u = dm_policy_user_ref(get(f, "ann"));
    publish_user(f, "ann", "new");
    gw_principals_clear(f->principals);
    assert_true(dm_view_eq(u->role, DM_LIT("old")));
    dm_policy_user_unref(u);
}

static void cached_hit_allocates_nothing(void **state)
{
    struct fixture *f = *state;
    publish_user(f, "ann", "ops");
    assert_int_equal(ask(f, "ann"), DM_OK);
    uint64_t before = dm_mem_count();
    for (int i = 0; i < 1000; i++)
        assert_non_null(get(f, "ann"));
    assert_int_equal(dm_mem_count(), before);
}

/* The store's loop does not turn. */
static void store_away_is_unavailable_and_old_entries_go_on(void **state)
{
    struct fixture *f = *state;
    struct asked known, unknown;
    publish_user(f, "ann", "ops");
    publish_user(f, "bob", "ops");
    assert_int_equal(ask(f, "ann"), DM_OK);
    dm_clock_manual_step(&f->clock, (TTL_SECONDS + 1) * DM_SEC);
    (void)dm_loop_turn(f->loop, 0);
    assert_null(get(f, "ann"));
    start_ask(f, "ann", &known);
    start_ask(f, "bob", &unknown);
    dm_clock_manual_step(&f->clock, 51 * DM_MS);
    (void)dm_loop_turn(f->loop, 0);
    assert_int_equal(unknown.code, DM_UNAVAILABLE);
    assert_int_equal(unknown.times, 1);
    assert_int_equal(known.code, DM_OK);
    assert_role(f, "ann", "ops");
    dm_clock_manual_step(&f->clock,
                         2 * DM_SEC); /* asked again soon, not after a whole time to live */
    (void)dm_loop_turn(f->loop, 0);
    assert_null(get(f, "ann"));
    turns(f, 2); /* back */
    assert_int_equal(ask(f, "bob"), DM_OK);
    assert_int_equal(ask(f, "ann"), DM_OK);
}

static void without_a_local_cache_nothing_old_is_used(void **state)
{
    struct fixture *f = *state;
    struct asked a;
    gw_principals_limit(f->principals, MAX, 0);
    publish_user(f, "ann", "ops");
    assert_int_equal(ask(f, "ann"), DM_OK);
    assert_non_null(get(f, "ann")); /* in the same turn */
    dm_clock_manual_step(&f->clock, DM_MS);
    (void)dm_loop_turn(f->loop, 0);
    assert_null(get(f, "ann"));
    start_ask(f, "ann", &a);
    dm_clock_manual_step(&f->clock, 51 * DM_MS);
    (void)dm_loop_turn(f->loop, 0);
    assert_int_equal(a.code, DM_UNAVAILABLE);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, open_fixture, close_fixture)
#define REMOTE(test) cmocka_unit_test_setup_teardown(test, open_remote, close_fixture)
    const struct CMUnitTest tests[] = {
        TEST(user_and_subscriptions_are_fetched_once),
        TEST(unknown_user_is_an_answer_and_not_cached),
        TEST(change_of_user_or_subscription_drops_the_entry),
        TEST(change_during_a_fetch_fetches_again),
        TEST(asks_for_one_name_share_one_fetch),
        TEST(least_recently_used_goes_first),
        TEST(users_are_bounded_by_their_bytes_too),
        TEST(entry_past_its_time_is_fetched_again),
        TEST(broken_record_is_no_verdict),
        TEST(held_user_outlives_its_entry),
        TEST(cached_hit_allocates_nothing),
        REMOTE(store_away_is_unavailable_and_old_entries_go_on),
        REMOTE(without_a_local_cache_nothing_old_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
