#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "live_served.h"

/* One of several processes that ask at once, LIVE_CALLS times in each of LIVE_ROUNDS rounds: for
 * the same limit (LIVE_LIMIT), or for the same credits and leaves them unsettled (LIVE_CREDITS;
 * above 1 it first writes that many). Says how many passed: the script that started all of them
 * adds up. */

struct asked {
    struct dm_live_wait wait;
    int verdict;
    bool came;
};
enum { VERDICTS = 4 };

static void on_answer(struct dm_live_wait *w, const struct dm_admit_answer *a)
{
    struct asked *x = DM_CONTAINER_OF(w, struct asked, wait);
    x->verdict = a->verdict;
    x->came = true;
}

static void on_reserved(struct dm_live_wait *w, enum dm_reserve_verdict v)
{
    struct asked *x = DM_CONTAINER_OF(w, struct asked, wait);
    x->verdict = v == DM_RESERVE_YES    ? DM_ADMIT_YES
                 : v == DM_RESERVE_NONE ? DM_ADMIT_OVER
                                        : DM_ADMIT_UNKNOWN;
    x->came = true;
}

static void turn_until(struct dm_loop *loop, const bool *came)
{
    dm_time end = dm_clock_mono(&dm_clock_system) + 30 * DM_SEC;
    while (!*came) {
        if (dm_clock_mono(&dm_clock_system) > end)
            fail_msg("nothing came within 30 s");
        (void)dm_loop_turn(loop, 20 * DM_MS);
    }
}

static int64_t setting(const char *name)
{
    int64_t value = 0;
    if (getenv(name) != NULL)
        assert_true(dm_parse_i64(dm_view_of(getenv(name)), 1, 100000, &value));
    return value;
}

/* The others are ready as well when the answer comes. */
static void order(const char *word)
{
    char line[64];
    (void)printf(">> %s\n", word);
    (void)fflush(stdout);
    assert_non_null(fgets(line, sizeof line, stdin));
}

static void ask_admit(struct dm_live *live, const char *user, struct asked *x)
{
    const struct dm_counter_ask rate = {
        .kind = DM_COUNTER_RATE, .limit = setting("LIVE_LIMIT"), .window_seconds = 3600};
    const struct dm_admit_ask ask = {dm_view_of(user), DM_LIT("t"), .count = true,
                                     .counters = &rate, .n_counters = 1};
    dm_live_ask_admit(live, &ask, DM_NEVER, &x->wait, on_answer);
}

static void ask_reserve(struct dm_live *live, const char *user, struct asked *x)
{
    char id[64];
    (void)snprintf(id, sizeof id, "%d-%p", (int)getpid(), (void *)x);
    const struct dm_reserve_ask ask = {.group = DM_LIT("g"),
                                       .subject = dm_view_of(user),
                                       .id = dm_view_of(id),
                                       .hold = 60 * DM_SEC};
    dm_live_ask_reserve(live, &ask, DM_NEVER, &x->wait, on_reserved);
}

static void play(struct dm_live *live, struct dm_loop *loop, const char *user, size_t n)
{
    struct asked *all = dm_mem_array(n, sizeof *all);
    size_t verdicts[VERDICTS] = {0};
    for (size_t i = 0; i < n; i++) {
        if (setting("LIVE_CREDITS") > 0)
            ask_reserve(live, user, &all[i]);
        else
            ask_admit(live, user, &all[i]);
    }
    for (size_t i = 0; i < n; i++) {
        turn_until(loop, &all[i].came);
        verdicts[all[i].verdict]++;
    }
    (void)printf("passed %zu refused %zu unknown %zu\n", verdicts[DM_ADMIT_YES],
                 verdicts[DM_ADMIT_OVER], verdicts[DM_ADMIT_UNKNOWN]);
    dm_mem_free(all);
}

static void write_credits(const struct dm_live_redis_config *config, int64_t rounds)
{
    struct dm_live_admin *admin;
    assert_int_equal(dm_live_redis_admin(config, 5 * DM_SEC, &admin, NULL), DM_OK);
    for (int64_t i = 0; i < rounds; i++) {
        char user[32];
        (void)snprintf(user, sizeof user, "round%lld", (long long)i);
        assert_int_equal(dm_live_credits_set(admin, DM_LIT("g"), dm_view_of(user),
                                             setting("LIVE_CREDITS"), false, NULL),
                         DM_OK);
    }
    dm_live_admin_free(admin);
}

static void asks_with_the_others(void **state)
{
    struct dm_live_redis_config config;
    struct dm_live_redis *hub;
    struct dm_loop *loop = dm_loop_new(&dm_clock_system);
    int64_t rounds = setting("LIVE_ROUNDS"), calls = setting("LIVE_CALLS");
    (void)state;
    served_config(&config);
    assert_int_equal(dm_live_redis_new(&config, &hub, NULL), DM_OK);
    struct dm_live *live = dm_live_redis_handle(hub, loop);
    served_until_trusted(live, loop);
    play(live, loop, "warm", 1);
    if (setting("LIVE_CREDITS") > 1)
        write_credits(&config, rounds);
    for (int64_t i = 0; i < rounds; i++) {
        char user[32];
        (void)snprintf(user, sizeof user, "round%lld", (long long)i);
        order("go");
        play(live, loop, user, (size_t)calls);
    }
    dm_live_free(live);
    dm_live_redis_free(hub);
    dm_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(asks_with_the_others)};
    return cmocka_run_group_tests_name("live_exact", tests, NULL, NULL);
}
