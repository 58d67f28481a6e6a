#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "policy_rig.h"

/* Published policy on a real Redis: several loops that hear of it, admins that race, stand still
 * and crash. Started by tests/integration/store_redis/test_policy.py. */

#define DIE_AFTER "POLICY_TEST_DIE_AFTER"

/* --- other loops of the process --- */

struct worker { /* on a thread of its own; what it heard is read after its end */
    pthread_t thread;
    struct rig *rig;
    struct dm_live_subscriber subscriber;
    uint64_t generations[64], until;
    size_t n, n_objects;
    bool forgot, ann_found;
};

static void on_worker_change(struct dm_live_subscriber *s, uint64_t generation,
                             const struct dm_live_change *c, size_t n)
{
    struct worker *w = DM_CONTAINER_OF(s, struct worker, subscriber);
    (void)c;
    if (w->n < DM_COUNT_OF(w->generations))
        w->generations[w->n++] = generation;
    w->n_objects += n;
}

static void on_worker_forget(struct dm_live_subscriber *s)
{
    DM_CONTAINER_OF(s, struct worker, subscriber)->forgot = true;
}

static void on_worker_objects(struct dm_live_wait *wait, const struct dm_live_object *o, size_t n)
{
    struct asked *a = DM_CONTAINER_OF(wait, struct asked, wait);
    a->object = o[n - 1];
    a->done = true;
}

static void *work(void *arg)
{
    static const dm_view names[][2] = {{DM_LIT("user"), DM_LIT("ann")}};
    struct worker *w = arg;
    struct asked a = {.done = false};
    struct dm_loop *loop = dm_loop_new(&dm_clock_system);
    struct dm_live *live = dm_live_redis_handle(w->rig->hub, loop);
    w->subscriber =
        (struct dm_live_subscriber){.on_change = on_worker_change, .on_forget = on_worker_forget};
    dm_live_subscribe(live, &w->subscriber);
    served_until_trusted(live, loop);
    dm_live_ask_objects(live, names, 1, dm_clock_mono(&dm_clock_system) + PATIENCE, &a.wait,
                        on_worker_objects);
    for (int i = 0; i < TURNS && !(a.done && w->n > 0 && w->generations[w->n - 1] >= w->until); i++)
        (void)dm_loop_turn(loop, TURN_MS * DM_MS);
    w->ann_found = a.done && a.object.code == DM_OK;
    dm_live_unsubscribe(&w->subscriber);
    dm_live_free(live);
    dm_loop_free(loop);
    return NULL;
}

static void every_loop_of_the_process_hears_of_it_in_order(void **state)
{
    enum { WORKERS = 4, CHANGES = 30 };
    struct rig *r = *state;
    struct worker workers[WORKERS] = {{.n = 0}};
    const struct dm_live_change all[] = {pr_change("api", "a", "\"0\""),
                                         pr_change("user", "ann", "{}")};
    uint64_t generation = pr_republish(r->admin, 0, all, 2);
    pr_follow(r);
    pr_until_generation(r, generation);
    for (int i = 0; i < WORKERS; i++) {
        workers[i].rig = r;
        /* The first one leaves while news, also of users, are on their way to it. */
        workers[i].until = i == 0 ? generation : generation + CHANGES + 1;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (uint64_t i = 1; i <= CHANGES; i++) {
        assert_int_equal(pr_publish(r->admin, i % 2 == 0 ? "api" : "user", "ann", "{}"),
                         generation + i);
        (void)dm_loop_turn(r->loop, TURN_MS * DM_MS);
    }
    struct dm_error err;
    uint64_t last = 0;
    bool whole;
    assert_int_equal(dm_live_publish_lock(r->admin, &err), DM_OK);
    assert_int_equal(dm_live_republish_begin(r->admin, 0, &whole, &err), DM_OK);
    assert_int_equal(dm_live_republish_put(r->admin, all, 1, &err), DM_OK);
    assert_int_equal(dm_live_republish_end(r->admin, true, &last, &err), DM_OK);
    dm_live_publish_unlock(r->admin);
    pr_until_generation(r, last);
    assert_int_equal(r->forgot, 1);
    for (int i = 0; i < WORKERS; i++) {
        struct worker *w = &workers[i];
        for (int t = 0; t < TURNS && pthread_tryjoin_np(w->thread, NULL) != 0; t++)
            (void)dm_loop_turn(r->loop, TURN_MS * DM_MS); /* the owner tells, and answers asks */
        assert_true(w->n > 0 && w->ann_found);
        assert_true(i == 0 || w->generations[w->n - 1] == last);
        for (size_t g = 1; g < w->n; g++)
            assert_true(w->generations[g] > w->generations[g - 1]);
    }
}

/* --- several admins, crashes --- */

struct racer {
    pthread_t thread;
    struct dm_live_admin *admin;
    const char *id;
    uint64_t last;
};

enum { RACE = 40 };

static void *race(void *arg)
{
    struct racer *me = arg;
    char text[16];
    for (int i = 1; i <= RACE; i++) {
        (void)snprintf(text, sizeof text, "\"%d\"", i);
        const struct dm_live_change c = pr_change("api", me->id, text);
        uint64_t generation = 0;
        if (dm_live_publish(me->admin, &c, 1, &generation, NULL) != DM_OK || generation <= me->last)
            return me;
        me->last = generation;
    }
    return NULL;
}

static void two_admins_share_one_row_of_generations(void **state)
{
    struct rig *r = *state;
    struct racer racers[2] = {{.admin = r->admin, .id = "a"},
                              {.admin = pr_new_admin(r), .id = "b"}};
    void *failed;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(racers[i].thread, &failed), 0);
        assert_null(failed);
    }
    pr_follow(r);
    pr_until_generation(r, 2 * RACE); /* none was used twice, none left out */
    assert_string_equal(r->a, "\"40\"");
    assert_string_equal(r->b, "\"40\"");
    dm_live_admin_free(racers[1].admin);
}

static void admin_that_lost_its_lease_publishes_nothing(void **state)
{
    struct rig *r = *state;
    struct dm_live_admin *second = pr_new_admin(r);
    const struct dm_live_change late = pr_change("api", "a", "\"late\"");
    uint64_t generation = pr_publish(r->admin, "api", "a", "\"1\"");
    assert_int_equal(dm_live_publish_lock(r->admin, NULL), DM_OK);
    pr_del(r, "{doorman:policy:current}:lease"); /* it stood still for too long */
    assert_int_equal(pr_publish(second, "api", "b", "\"b\""), generation + 1);
    assert_int_equal(dm_live_publish(r->admin, &late, 1, NULL, NULL), DM_UNAVAILABLE);
    dm_live_publish_unlock(r->admin);
    pr_follow(r);
    pr_until_generation(r, generation + 1);
    assert_int_equal(pr_publish(r->admin, "api", "a", "\"again\""), generation + 2);
    pr_until_generation(r, generation + 2);
    assert_string_equal(r->a, "\"again\"");
    assert_string_equal(r->b, "\"b\"");
    dm_live_admin_free(second);
}

static const struct dm_live_change pair[] = {{DM_LIT("api"), DM_LIT("a"), DM_LIT("\"new\"")},
                                             {DM_LIT("user"), DM_LIT("ann"), DM_LIT("\"new\"")}};

/* What the process of its own does: it publishes, and ends after its n-th write. */
static int publish_and_die(const char *nth)
{
    struct dm_live_redis_config config;
    struct dm_live_admin *admin = NULL;
    uint64_t n;
    served_config(&config);
    config.policy_signing_key = DM_LIT(SEED);
    if (!dm_parse_u64(dm_view_of(nth), UINT64_MAX, &n) ||
        dm_live_redis_admin(&config, 10 * DM_SEC, &admin, NULL) != DM_OK)
        return 1;
    dm_fault_set(DM_FAULT_STORE_WRITE_EXIT, n);
    enum dm_code rc = dm_live_publish(admin, pair, 2, NULL, NULL);
    dm_live_admin_free(admin);
    return rc == DM_OK ? 0 : 1;
}

/* True: it came to its end. */
static bool crashed_admin(uint64_t nth)
{
    char text[32];
    int status;
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)nth);
    assert_int_equal(setenv(DIE_AFTER, text, 1), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        static char name[] = "crashed_admin";
        char *const argv[] = {name, NULL};
        (void)execv("/proc/self/exe", argv);
        _exit(1);
    }
    assert_int_equal(unsetenv(DIE_AFTER), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_true(WEXITSTATUS(status) == 137 || WEXITSTATUS(status) == 0);
    return WEXITSTATUS(status) == 0;
}

static void crash_after_any_write_is_repaired_by_the_next_start(void **state)
{
    struct rig *r = *state;
    char text[64];
    bool whole = false;
    uint64_t n;
    for (n = 1; !whole; n++) {
        const struct dm_live_change old[] = {{DM_LIT("api"), DM_LIT("a"), DM_LIT("\"old\"")},
                                             {DM_LIT("user"), DM_LIT("ann"), DM_LIT("\"old\"")}};
        struct dm_live_admin *next = pr_new_admin(r);
        pr_until_generation((pr_follow(r), r), pr_republish(next, 0, old, 2));
        assert_int_equal(pr_ask_ann(r, text), DM_OK);
        assert_string_equal(text, "\"old\"");
        size_t named = r->named_ann + r->forgot;
        dm_live_admin_free(next);
        whole = crashed_admin(n);
        pr_del(r, "{doorman:policy:current}:lease"); /* else it ends by itself, seconds later */
        next = pr_new_admin(r);                      /* the next start, with what was stored */
        pr_until_generation(r, pr_republish(next, 0, pair, 2));
        assert_string_equal(r->a, "\"new\"");
        assert_int_equal(pr_ask_ann(r, text), DM_OK);
        assert_string_equal(text, "\"new\"");
        assert_true(r->named_ann + r->forgot > named); /* who had read ann heard of it */
        pr_unfollow(r);
        dm_live_admin_free(next);
    }
    assert_true(n > 5); /* delta, objects, current, announcement, and the run without a crash */
}

int main(void)
{
    const char *nth = getenv(DIE_AFTER);
    if (nth != NULL)
        return publish_and_die(nth);
#define CASE(test) cmocka_unit_test_setup_teardown(test, pr_open, pr_close)
    const struct CMUnitTest tests[] = {
        CASE(every_loop_of_the_process_hears_of_it_in_order),
        CASE(two_admins_share_one_row_of_generations),
        CASE(admin_that_lost_its_lease_publishes_nothing),
        CASE(crash_after_any_write_is_repaired_by_the_next_start),
    };
    return cmocka_run_group_tests_name("live_policy_admins", tests, NULL, NULL);
}
