#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "gateway/snapshot/loader.h"

/* The cell never looks into settings and keys: it counts them. */
static const char *const environment[] = {"MEM_ENCRYPTION_KEY=0123456789abcdef0123456789abcdef",
                                          "DOORMAN_ADMIN_PASSWORD=Password-of-the-tests-1",
                                          "JWT_SECRET_KEY=0123456789abcdef0123456789abcdef", NULL};

struct fixture {
    struct dm_clock_manual clock;
    struct dm_settings *settings;
    struct dm_keyset *keys;
    struct dm_metrics *metrics;
    struct dm_loop *loop;
    struct dm_live_memory *memory;
    struct dm_live_admin *admin;
    struct dm_live *live;
    struct dm_ops ops;
    struct gw_snapshot_cell *cell;
    struct gw_loader *loader;
};

static struct dm_settings *load_settings(void)
{
    struct dm_settings *s = NULL;
    struct dm_buf faults, warnings;
    dm_buf_init(&faults, 1 << 16);
    dm_buf_init(&warnings, 1 << 16);
    const struct dm_settings_input in = {
        .role = DM_ROLE_ALL, .environ_ = environment, .no_files = true};
    if (dm_settings_load(&in, &s, &faults, &warnings) != DM_OK)
        fail_msg("%s", dm_buf_cstr(&faults));
    dm_buf_done(&faults);
    dm_buf_done(&warnings);
    return s;
}

static struct dm_keyset *build_keys(void)
{
    struct dm_keyset *k = NULL;
    struct dm_buf faults;
    dm_buf_init(&faults, 4096);
    const struct dm_keyset_source source = {.secret = DM_LIT("0123456789abcdef0123456789abcdef")};
    assert_int_equal(dm_keyset_build(&source, &k, &faults), DM_OK);
    dm_buf_done(&faults);
    return k;
}

static int open_fixture(void **state)
{
    struct fixture *f = DM_NEW(struct fixture);
    dm_clock_manual_init(&f->clock, DM_SEC, 1700000000 * DM_SEC);
    f->settings = load_settings();
    f->keys = build_keys();
    f->metrics = dm_metrics_new(1);
    f->loop = dm_loop_new(&f->clock.clock);
    f->memory = dm_live_memory_new(f->loop);
    f->admin = dm_live_memory_admin(f->memory);
    f->live = dm_live_memory_handle(f->memory, f->loop);
    f->cell = gw_snapshot_cell_new(f->settings, f->keys);
    const struct gw_loader_config config = {.loop = f->loop,
                                            .live = f->live,
                                            .cell = f->cell,
                                            .ops = &f->ops,
                                            .metrics = f->metrics,
                                            .shard = 0};
    f->loader = gw_loader_new(&config);
    *state = f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    gw_loader_free(f->loader);
    gw_snapshot_cell_free(f->cell);
    dm_live_free(f->live);
    dm_live_admin_free(f->admin);
    dm_live_memory_free(f->memory);
    dm_loop_free(f->loop);
    dm_metrics_free(f->metrics);
    dm_keyset_unref(f->keys);
    dm_settings_unref(f->settings);
    dm_mem_free(f);
    return 0;
}

static void assert_api(const struct gw_world *w, const char *name, bool there)
{
    assert_non_null(w->policy);
    assert_true((dm_policy_api(w->policy, dm_view_of(name), DM_LIT("v1")) != NULL) == there);
}

struct call {
    struct fixture *fixture;
    const struct dm_live_change *changes;
    size_t n;
    uint64_t generation;
    atomic_bool done;
};

static void *run_publish(void *arg)
{
    struct call *c = arg;
    enum dm_code rc = dm_live_publish(c->fixture->admin, c->changes, c->n, &c->generation, NULL);
    atomic_store(&c->done, true);
    dm_loop_wake(c->fixture->loop);
    return (void *)(intptr_t)rc;
}

static uint64_t publish(struct fixture *f, const struct dm_live_change *changes, size_t n)
{
    struct call c = {.fixture = f, .changes = changes, .n = n};
    pthread_t thread;
    void *rc = NULL;
    assert_int_equal(pthread_create(&thread, NULL, run_publish, &c), 0);
    while (!atomic_load(&c.done))
        (void)dm_loop_turn(f->loop, 10 * DM_MS);
    assert_int_equal(pthread_join(thread, &rc), 0);
    assert_int_equal((intptr_t)rc, DM_OK);
    return c.generation;
}

static uint64_t publish_api(struct fixture *f, const char *name)
{
    char json[200];
    (void)snprintf(json, sizeof json,
                   "{\"api_id\":\"%s\",\"api_name\":\"%s\",\"api_version\":\"v1\"}", name, name);
    const struct dm_live_change change = {DM_LIT("api"), dm_view_of(name), dm_view_of(json)};
    return publish(f, &change, 1);
}

static void nothing_published_is_no_policy_rather_than_an_empty_one(void **state)
{
    struct fixture *f = *state;
    struct gw_snapshot_reader *r = gw_snapshot_reader_new(f->cell);
    assert_null(gw_snapshot_world(r)->policy);
    assert_int_equal(gw_snapshot_generation(f->cell), 0);
    (void)dm_loop_turn(f->loop, 0);
    gw_snapshot_refresh(r);
    assert_null(gw_snapshot_world(r)->policy); /* 503, not 404 (gateway.md §29.4, cold start) */
    const struct dm_live_change role = {DM_LIT("role"), DM_LIT("r"), DM_LIT("{}")};
    (void)publish(f, &role, 1);
    assert_null(gw_snapshot_world(r)->policy); /* until the reader looks */
    gw_snapshot_refresh(r);
    assert_non_null(gw_snapshot_world(r)->policy);
    assert_int_equal(dm_policy_api_count(gw_snapshot_world(r)->policy), 0);
    gw_snapshot_reader_free(r);
}

static void published_change_is_in_force_when_publish_returns(void **state)
{
    struct fixture *f = *state;
    struct gw_snapshot_reader *r = gw_snapshot_reader_new(f->cell);
    uint64_t generation = publish_api(f, "one");
    assert_int_equal(gw_snapshot_generation(f->cell), generation);
    assert_int_equal(atomic_load(&f->ops.generation), generation);
    gw_snapshot_refresh(r);
    assert_api(gw_snapshot_world(r), "one", true);
    const struct dm_live_change gone = {DM_LIT("api"), DM_LIT("one"), DM_VIEW_NONE};
    (void)publish(f, &gone, 1);
    gw_snapshot_refresh(r);
    assert_api(gw_snapshot_world(r), "one", false);
    gw_snapshot_reader_free(r);
}

static void request_keeps_the_world_it_began_with(void **state)
{
    struct fixture *f = *state;
    struct gw_snapshot_reader *r = gw_snapshot_reader_new(f->cell);
    (void)publish_api(f, "one");
    gw_snapshot_refresh(r);
    const struct gw_world *first = gw_snapshot_pin(r), *again = gw_snapshot_pin(r);
    assert_ptr_equal(first, again);
    (void)publish_api(f, "two");
    gw_snapshot_refresh(r);
    const struct gw_world *second = gw_snapshot_pin(r);
    (void)publish_api(f, "three");
    gw_snapshot_refresh(r);
    assert_int_equal(gw_snapshot_held(r), 3);
    assert_api(first, "one", true);
    assert_api(first, "two", false);
    assert_api(second, "two", true);
    assert_api(second, "three", false);
    assert_api(gw_snapshot_world(r), "three", true);
    gw_snapshot_unpin(r, first);
    assert_int_equal(gw_snapshot_held(r), 3); /* the other request still has it */
    gw_snapshot_unpin(r, again);
    assert_int_equal(gw_snapshot_held(r), 2);
    gw_snapshot_unpin(r, second);
    assert_int_equal(gw_snapshot_held(r), 1);
    gw_snapshot_reader_free(r);
}

static void settings_keys_and_policy_change_together_or_not(void **state)
{
    struct fixture *f = *state;
    struct gw_snapshot_reader *r = gw_snapshot_reader_new(f->cell);
    (void)publish_api(f, "one");
    struct dm_settings *settings = load_settings();
    struct dm_keyset *keys = build_keys();
    gw_snapshot_publish_settings(f->cell, settings, keys);
    gw_snapshot_refresh(r);
    assert_ptr_equal(gw_snapshot_world(r)->settings, settings);
    assert_ptr_equal(gw_snapshot_world(r)->keyset, keys);
    assert_api(gw_snapshot_world(r), "one", true); /* policy as before */
    (void)publish_api(f, "two");
    gw_snapshot_refresh(r);
    assert_ptr_equal(gw_snapshot_world(r)->settings, settings);
    gw_snapshot_reader_free(r);
    dm_settings_unref(settings);
    dm_keyset_unref(keys);
}

static void broken_object_is_refused_and_the_rest_goes_on(void **state)
{
    struct fixture *f = *state;
    struct gw_snapshot_reader *r = gw_snapshot_reader_new(f->cell);
    (void)publish_api(f, "one");
    const struct dm_live_change changes[] = {
        {DM_LIT("api"), DM_LIT("one"), DM_LIT("{\"api_id\":\"one\"")},
        {DM_LIT("api"), DM_LIT("two"),
         DM_LIT("{\"api_id\":\"two\",\"api_name\":\"two\",\"api_version\":\"v1\"}")},
        {DM_LIT("user"), DM_LIT("ann"), DM_LIT("not read here")},
    };
    uint64_t generation = publish(f, changes, 3);
    gw_snapshot_refresh(r);
    assert_int_equal(gw_snapshot_world(r)->policy->generation, generation);
    assert_api(gw_snapshot_world(r), "one", true); /* what was in force of it stays */
    assert_api(gw_snapshot_world(r), "two", true);
    struct dm_metric *rejected =
        dm_metric_get(f->metrics, DM_COUNTER, "doorman_policy_rejected_total", "reason=\"invalid\"",
                      "Policy objects refused", NULL, 0);
    assert_int_equal(dm_metric_value(rejected), 1);
    gw_snapshot_reader_free(r);
}

/* --- workers read while the loader publishes --- */

enum { WORKERS = 4, CHANGES = 300 };

struct worker {
    struct fixture *fixture;
    pthread_t thread;
    atomic_bool *stop;
    uint64_t seen, worlds;
};

static void *read_often(void *arg)
{
    struct worker *w = arg;
    struct gw_snapshot_reader *r = gw_snapshot_reader_new(w->fixture->cell);
    const struct gw_world *pinned[8] = {NULL};
    size_t at = 0;
    for (bool last = false;
         !last;) { /* once more after the stop: even a late starter sees the end */
        last = atomic_load(w->stop);
        gw_snapshot_refresh(r);
        const struct gw_world *world = gw_snapshot_pin(r);
        if (pinned[at] != NULL)
            gw_snapshot_unpin(r, pinned[at]);
        pinned[at] = world;
        at = (at + 1) % DM_COUNT_OF(pinned);
        if (world->policy == NULL)
            continue;
        uint64_t generation = world->policy->generation;
        if (generation < w->seen) /* never back */
            return NULL;
        w->worlds += generation > w->seen;
        w->seen = generation;
        /* one name per generation: whoever sees the generation sees all of it */
        char name[32];
        (void)snprintf(name, sizeof name, "api%llu", (unsigned long long)generation);
        if (generation > 0 && dm_policy_api(world->policy, dm_view_of(name), DM_LIT("v1")) == NULL)
            return NULL;
    }
    for (size_t i = 0; i < DM_COUNT_OF(pinned); i++) {
        if (pinned[i] != NULL)
            gw_snapshot_unpin(r, pinned[i]);
    }
    gw_snapshot_refresh(r);
    bool quiet = gw_snapshot_held(r) == 1;
    gw_snapshot_reader_free(r);
    return quiet ? w : NULL;
}

static void workers_see_whole_worlds_while_they_change(void **state)
{
    struct fixture *f = *state;
    atomic_bool stop = false;
    struct worker workers[WORKERS];
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.fixture = f, .stop = &stop};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, read_often, &workers[i]), 0);
    }
    for (int i = 1; i <= CHANGES; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "api%d", i);
        assert_int_equal(publish_api(f, name), i);
        gw_snapshot_publish_settings(f->cell, f->settings, f->keys);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < WORKERS; i++) {
        void *good = NULL;
        assert_int_equal(pthread_join(workers[i].thread, &good), 0);
        assert_non_null(good);
        assert_true(workers[i].worlds > 0);
    }
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, open_fixture, close_fixture)
    const struct CMUnitTest tests[] = {
        TEST(nothing_published_is_no_policy_rather_than_an_empty_one),
        TEST(published_change_is_in_force_when_publish_returns),
        TEST(request_keeps_the_world_it_began_with),
        TEST(settings_keys_and_policy_change_together_or_not),
        TEST(broken_object_is_refused_and_the_rest_goes_on),
        TEST(workers_see_whole_worlds_while_they_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
