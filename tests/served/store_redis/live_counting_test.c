#include <stdio.h>
#include <string.h>

#include "base/metrics.h"
#include "live_served.h"
#include "store/live_keys.h"
#include "store/live_revocations.h"

/* What only a real server can show of counting: keys and their life, values that are none of ours,
 * scripts that vanish, bytes that wait. The servers' clock stands still, three years behind ours.
 */

enum { NOW = 1700000040, WINDOW = 3600 };

struct stage {
    struct dm_live_redis_config config;
    struct dm_metrics *metrics;
    struct dm_loop *loop;
    struct dm_live_redis *hub;
    struct dm_live *live;
    struct dm_live_admin *admin;
};

static int open_stage(void **state)
{
    struct stage *s = DM_NEW(struct stage);
    struct dm_error err = {0};
    served_config(&s->config);
    served_set_clock((dm_time)NOW * DM_SEC);
    served_command_all("FLUSHALL");
    s->metrics = dm_metrics_new(1);
    s->config.metrics = s->metrics;
    s->loop = dm_loop_new(&dm_clock_system);
    if (dm_live_redis_new(&s->config, &s->hub, &err) != DM_OK ||
        dm_live_redis_admin(&s->config, 5 * DM_SEC, &s->admin, &err) != DM_OK)
        fail_msg("%s", err.text);
    s->live = dm_live_redis_handle(s->hub, s->loop);
    assert_non_null(s->live);
    served_until_trusted(s->live, s->loop);
    *state = s;
    return 0;
}

static int close_stage(void **state)
{
    struct stage *s = *state;
    dm_live_admin_free(s->admin);
    dm_live_free(s->live);
    dm_live_redis_free(s->hub);
    dm_loop_free(s->loop);
    dm_metrics_free(s->metrics);
    dm_mem_free(s);
    return 0;
}

/* --- asking --- */

struct asked {
    struct dm_live_wait wait;
    struct dm_admit_answer answer;
    bool came;
};

static void on_answer(struct dm_live_wait *w, const struct dm_admit_answer *a)
{
    struct asked *x = DM_CONTAINER_OF(w, struct asked, wait);
    x->answer = *a;
    x->came = true;
}

static void wait_for(struct stage *s, const bool *came)
{
    dm_time end = dm_clock_mono(&dm_clock_system) + 20 * DM_SEC;
    while (!*came) {
        if (dm_clock_mono(&dm_clock_system) > end)
            fail_msg("nothing came within 20 s");
        (void)dm_loop_turn(s->loop, 20 * DM_MS);
    }
}

static void ask(struct stage *s, struct asked *x, const char *user,
                const struct dm_counter_ask *counters, size_t n)
{
    const struct dm_admit_ask q = {dm_view_of(user), DM_LIT("t"), .count = true,
                                   .counters = counters, .n_counters = n};
    dm_live_ask_admit(s->live, &q, dm_clock_mono(&dm_clock_system) + 10 * DM_SEC, &x->wait,
                      on_answer);
}

static struct dm_admit_answer admit(struct stage *s, const char *user,
                                    const struct dm_counter_ask *counters, size_t n)
{
    struct asked x = {.came = false};
    ask(s, &x, user, counters, n);
    wait_for(s, &x.came);
    return x.answer;
}

static const struct dm_counter_ask rate = {
    .kind = DM_COUNTER_RATE, .limit = 100, .window_seconds = WINDOW};
static const struct dm_counter_ask throttle = {.kind = DM_COUNTER_THROTTLE,
                                               .limit = 100,
                                               .queue = 100,
                                               .max_delayed = 100,
                                               .window_seconds = WINDOW};
static const struct dm_counter_ask bandwidth = {
    .kind = DM_COUNTER_BANDWIDTH, .limit = 1000, .window_seconds = WINDOW};

/* "TTL", "rate_limit:ann", the index of the window that runs. */
static const char *about(const char *word, const char *name, int64_t index, const char *rest)
{
    char text[512];
    (void)snprintf(text, sizeof text, "%s %s:%lld %s", word, name, (long long)index, rest);
    return served_command(served_node(), text);
}

static int64_t odd_replies(struct stage *s)
{
    return dm_metric_value(dm_metric_get(s->metrics, DM_COUNTER,
                                         "doorman_redis_unusable_replies_total", "", "", NULL, 0));
}

/* A deed of the script that started us, done when this returns. */
static void order(const char *deed)
{
    char line[64];
    (void)printf(">> %s\n", deed);
    (void)fflush(stdout);
    assert_non_null(fgets(line, sizeof line, stdin));
}

/* --- keys --- */

static void windows_are_those_of_redis(void **state)
{
    struct stage *s = *state;
    struct dm_admit_answer a = admit(s, "ann", &rate, 1);
    assert_int_equal(a.verdict, DM_ADMIT_YES);
    assert_int_equal(a.now_wall, (dm_time)NOW * DM_SEC);
    assert_int_equal(a.reset_wall[0], (NOW / WINDOW + 1) * WINDOW);
    assert_string_equal(about("GET", "rate_limit:ann", NOW / WINDOW, ""), "$1\r\n1\r\n");
    served_set_clock((dm_time)(NOW / WINDOW + 1) * WINDOW * DM_SEC);
    a = admit(s, "ann", &rate, 1);
    assert_int_equal(a.count[0], 1);
    assert_string_equal(about("GET", "rate_limit:ann", NOW / WINDOW + 1, ""), "$1\r\n1\r\n");
}

static bool bandwidth_is(struct stage *s, int64_t bytes)
{
    int64_t used = -1;
    (void)dm_loop_turn(s->loop, 20 * DM_MS);
    return dm_live_bandwidth_used(s->admin, DM_LIT("ann"), WINDOW, &used, NULL) == DM_OK &&
           used == bytes;
}

static void wait_for_bandwidth(struct stage *s, int64_t bytes)
{
    dm_time end = dm_clock_mono(&dm_clock_system) + 20 * DM_SEC;
    while (!bandwidth_is(s, bytes)) {
        if (dm_clock_mono(&dm_clock_system) > end)
            fail_msg("never %lld bytes", (long long)bytes);
    }
}

static void every_counter_has_an_end(void **state)
{
    struct stage *s = *state;
    const struct dm_counter_ask all[] = {rate, throttle, bandwidth};
    struct dm_live_hit hit;
    dm_live_add_bandwidth(s->live, DM_LIT("ann"), WINDOW, 7);
    for (int i = 0; i < 3; i++)
        assert_int_equal(admit(s, "ann", all, 3).verdict, DM_ADMIT_YES);
    wait_for_bandwidth(s, 7);
    assert_int_equal(
        dm_live_hit(s->admin, DM_LIT("ip_rate_limit"), DM_LIT("::1:5"), 3, 60, &hit, NULL), DM_OK);
    assert_string_equal(about("TTL", "rate_limit:ann", NOW / WINDOW, ""), ":3600\r\n");
    assert_string_equal(about("TTL", "throttle_limit:ann", NOW / WINDOW, ""), ":3600\r\n");
    assert_string_equal(about("TTL", "bandwidth_usage:ann:3600", NOW / WINDOW * WINDOW, ""),
                        ":3600\r\n");
    assert_string_equal(about("TTL", "ip_rate_limit::1", 5, ""), ":-2\r\n");
    assert_string_equal(about("TTL", "ip_rate_limit:::1", 5, ""), ":61\r\n");
    /* Those are all: what else is there is not for counting (doorman:...). */
    assert_memory_equal(served_command(served_node(), "KEYS [^d]*"), "*4\r\n", 4);
}

static void all_counters_are_cleared_page_by_page(void **state)
{
    struct stage *s = *state;
    enum { USERS = 5000 };
    struct asked *all = dm_mem_array(USERS, sizeof *all);
    for (int i = 0; i < USERS; i++) {
        char user[16];
        (void)snprintf(user, sizeof user, "user%d", i);
        ask(s, &all[i], user, i % 2 == 0 ? &rate : &throttle, 1);
    }
    for (int i = 0; i < USERS; i++)
        wait_for(s, &all[i].came);
    dm_mem_free(all);
    (void)served_command(served_node(), "SET bandwidth_usage:ann:1:1 1");
    (void)served_command(served_node(), "SET rate_limiter:mine 1");
    (void)served_command(served_node(), "SET bucket:per_user:ann:60 1");
    assert_memory_equal(served_command(served_node(), "KEYS [rt]*_limit:user*"), "*5000\r\n", 7);
    assert_int_equal(dm_live_clear_counters(s->admin, NULL), DM_OK);
    assert_memory_equal(served_command(served_node(), "KEYS [^d]*"), "*2\r\n", 4);
    assert_string_equal(
        served_command(served_node(), "EXISTS bandwidth_usage:ann:1:1 rate_limiter:mine"),
        ":2\r\n");
}

/* --- what others may write there --- */

struct walked {
    size_t n, limit;
    char text[512];
};

static enum dm_code on_walked(void *ctx, dm_view subject, dm_view jti, int64_t ends_ms)
{
    struct walked *w = ctx;
    size_t at = strlen(w->text);
    (void)snprintf(w->text + at, sizeof w->text - at, "%.*s|%.*s|%s;", DM_FMT(subject), DM_FMT(jti),
                   ends_ms == 0       ? "ever"
                   : ends_ms <= 60001 ? "minute"
                                      : "long");
    return ++w->n == w->limit ? DM_LIMIT : DM_OK;
}

static void revocations_of_other_programs_are_walked(void **state)
{
    struct stage *s = *state;
    struct walked none = {.limit = 99}, all = {.limit = 99}, cut = {.limit = 2};
    assert_int_equal(dm_live_revocations(s->admin, on_walked, &none, NULL), DM_OK);
    assert_int_equal(none.n, 0);
    (void)served_command(served_node(), "SET jwt:revoke_all:ann 1");
    (void)served_command(served_node(), "SET jwt:revoked:b:ob:j1 1 EX 60");
    (void)served_command(served_node(), "SET jwt:revoked:cat:j2 1");
    (void)served_command(served_node(), "HSET jwt:revoke_all:dan field 1"); /* there: it counts */
    /* Names that no program makes: passed over. */
    (void)served_command(served_node(), "SET jwt:revoked:cat: 1");
    (void)served_command(served_node(), "SET jwt:revoked:j3 1");
    (void)served_command(served_node(), "SET jwt:revoke_all: 1");
    (void)served_command(served_node(), "SET jwt:revokedness 1");
    assert_int_equal(dm_live_revocations(s->admin, on_walked, &all, NULL), DM_OK);
    assert_int_equal(all.n, 4);
    assert_non_null(strstr(all.text, "ann||ever;"));
    assert_non_null(strstr(all.text, "b:ob|j1|minute;"));
    assert_non_null(strstr(all.text, "cat|j2|ever;"));
    assert_non_null(strstr(all.text, "dan||ever;"));
    assert_int_not_equal(dm_live_revocations(s->admin, on_walked, &cut, NULL), DM_OK);
}

static void what_is_no_counter_is_no_verdict(void **state)
{
    struct stage *s = *state;
    static const char *const values[] = {
        "abc", "-5", "1e3", "007", "0x10", "1.5", "9007199254740992", "99999999999999999999"};
    for (size_t i = 0; i < DM_COUNT_OF(values); i++) {
        (void)about("SET", "throttle_limit:ann", NOW / WINDOW, values[i]);
        const struct dm_counter_ask two[] = {rate, throttle};
        struct dm_admit_answer a = admit(s, "ann", two, 2);
        if (a.verdict != DM_ADMIT_UNKNOWN)
            fail_msg("\"%s\" gave verdict %d", values[i], a.verdict);
        assert_int_equal(odd_replies(s), i + 1);
    }
    /* Nothing was spent on them, and nobody else is touched. */
    assert_string_equal(about("GET", "rate_limit:ann", NOW / WINDOW, ""), "$-1\r\n");
    assert_int_equal(admit(s, "bob", &throttle, 1).verdict, DM_ADMIT_YES);
    (void)about("SET", "throttle_limit:ann", NOW / WINDOW, "0");
    assert_int_equal(admit(s, "ann", &throttle, 1).count[0], 1);
}

static void other_type_under_a_key_is_no_verdict(void **state)
{
    struct stage *s = *state;
    struct dm_live_hit hit;
    struct dm_error err = {0};
    int64_t used;
    (void)about("SADD", "rate_limit:ann", NOW / WINDOW, "x");
    (void)about("SADD", "bandwidth_usage:bob:3600", NOW / WINDOW * WINDOW, "x");
    (void)served_command(served_node(), "SET ip_rate_limit:1.2.3.4 x");
    assert_int_equal(admit(s, "ann", &rate, 1).verdict, DM_ADMIT_UNKNOWN);
    assert_int_equal(admit(s, "bob", &bandwidth, 1).verdict, DM_ADMIT_UNKNOWN);
    assert_int_equal(
        dm_live_hit(s->admin, DM_LIT("ip_rate_limit"), DM_LIT("1.2.3.4"), 3, 60, &hit, &err),
        DM_UNAVAILABLE);
    assert_int_equal(err.err, ERR_STORE_LIVE_AWAY);
    assert_int_equal(dm_live_bandwidth_used(s->admin, DM_LIT("bob"), WINDOW, &used, &err),
                     DM_UNAVAILABLE);
    assert_int_equal(odd_replies(s), 4);
    /* What lies there stays as it is, also when bytes are to be added. */
    dm_live_add_bandwidth(s->live, DM_LIT("bob"), WINDOW, 5);
    dm_live_add_bandwidth(s->live, DM_LIT("ann"), WINDOW, 5);
    wait_for_bandwidth(s, 5);
    assert_string_equal(about("TYPE", "rate_limit:ann", NOW / WINDOW, ""), "+set\r\n");
    assert_string_equal(about("TYPE", "bandwidth_usage:bob:3600", NOW / WINDOW * WINDOW, ""),
                        "+set\r\n");
    /* A revocation is a key of any type. */
    (void)served_command(served_node(), "SADD jwt:revoke_all:ann x");
    assert_int_equal(admit(s, "ann", &rate, 1).verdict, DM_ADMIT_REVOKED);
}

static void odd_credits_are_no_verdict(void **state)
{
    struct stage *s = *state;
    int64_t balance;
    (void)served_command(served_node(), "HSET credits:g:ann balance many");
    (void)served_command(served_node(), "SET credits:g:bob 5");
    assert_int_equal(dm_live_credits_get(s->admin, DM_LIT("g"), DM_LIT("ann"), &balance, NULL),
                     DM_UNAVAILABLE);
    assert_int_equal(dm_live_credits_get(s->admin, DM_LIT("g"), DM_LIT("bob"), &balance, NULL),
                     DM_UNAVAILABLE);
    assert_int_equal(odd_replies(s), 2);
}

/* --- scripts that vanish --- */

static void exactly_the_limit_passes_while_scripts_are_flushed(void **state)
{
    struct stage *s = *state;
    enum { CALLS = 1000 };
    struct asked *all = dm_mem_array(CALLS, sizeof *all);
    for (int round = 0; round < 5; round++) {
        char user[16];
        int verdicts[4] = {0};
        (void)snprintf(user, sizeof user, "round%d", round);
        for (int i = 0; i < CALLS; i++) {
            all[i].came = false;
            ask(s, &all[i], user, &rate, 1);
            if (i == CALLS / 2) {
                (void)dm_loop_turn(s->loop, 0);
                assert_string_equal(served_command(served_node(), "SCRIPT FLUSH"), "+OK\r\n");
            }
        }
        for (int i = 0; i < CALLS; i++) {
            wait_for(s, &all[i].came);
            verdicts[all[i].answer.verdict]++;
        }
        assert_int_equal(verdicts[DM_ADMIT_YES], rate.limit);
        assert_int_equal(verdicts[DM_ADMIT_OVER], CALLS - rate.limit);
    }
    dm_mem_free(all);
}

/* --- revocations as others read them --- */

static void revocation_is_written_for_the_mirror(void **state)
{
    struct stage *s = *state;
    dm_time ends = (dm_time)(NOW + 100) * DM_SEC;
    assert_int_equal(dm_live_revoke(s->admin, DM_LIT("ann"), DM_LIT("t1"), ends, NULL), DM_OK);
    assert_int_equal(dm_live_revoke(s->admin, DM_LIT("ann"), DM_LIT(""), 0, NULL), DM_OK);
    const char *node = served_node();
    assert_string_equal(served_command(node, "GET jwt:revoked:ann:t1"), "$1\r\n1\r\n");
    assert_string_equal(served_command(node, "TTL jwt:revoked:ann:t1"), ":100\r\n");
    assert_string_equal(served_command(node, "GET jwt:revoke_all:ann"), "$10\r\n1700000040\r\n");
    assert_string_equal(served_command(node, "TTL jwt:revoke_all:ann"), ":-1\r\n");
    assert_string_equal(served_command(node, "ZSCORE doorman:revoked:jti ann:t1"),
                        "$13\r\n1700000140000\r\n");
    assert_string_equal(served_command(node, "ZSCORE doorman:revoked:all ann"), "$3\r\ninf\r\n");
    /* Told again with a shorter life, it keeps the longer one. */
    assert_int_equal(
        dm_live_revoke(s->admin, DM_LIT("ann"), DM_LIT("t1"), ends - 50 * DM_SEC, NULL), DM_OK);
    assert_string_equal(served_command(node, "TTL jwt:revoked:ann:t1"), ":100\r\n");
    assert_string_equal(served_command(node, "ZSCORE doorman:revoked:jti ann:t1"),
                        "$13\r\n1700000140000\r\n");
    /* Members whose life is over go with the next revocation. */
    served_set_clock((dm_time)(NOW + 200) * DM_SEC);
    assert_int_equal(
        dm_live_revoke(s->admin, DM_LIT("bob"), DM_LIT("t2"), ends + 300 * DM_SEC, NULL), DM_OK);
    assert_string_equal(served_command(node, "ZCARD doorman:revoked:jti"), ":1\r\n");
    assert_int_equal(dm_live_unrevoke(s->admin, DM_LIT("ann"), NULL), DM_OK);
    assert_string_equal(served_command(node, "EXISTS jwt:revoke_all:ann doorman:revoked:all"),
                        ":0\r\n");
}

/* Tokens end by the clocks of programs: one that is over by Redis' clock alone may still open. */
static void revocation_holds_though_the_clock_of_redis_is_ahead(void **state)
{
    struct stage *s = *state;
    const dm_time now = dm_clock_wall(&dm_clock_system);
    served_set_clock(now + WINDOW * DM_SEC);
    assert_int_equal(
        dm_live_revoke(s->admin, DM_LIT("ann"), DM_LIT("t"), now + 1000 * DM_SEC, NULL), DM_OK);
    assert_int_equal(admit(s, "ann", NULL, 0).verdict, DM_ADMIT_REVOKED);
    const char *left = served_command(served_node(), "TTL jwt:revoked:ann:t");
    assert_true(left[1] == '9' || strcmp(left, ":1000\r\n") == 0);
    /* Nor does the next revocation trim it from the mirror. */
    assert_int_equal(
        dm_live_revoke(s->admin, DM_LIT("bob"), DM_LIT("t"), now + 1000 * DM_SEC, NULL), DM_OK);
    assert_string_equal(served_command(served_node(), "ZCARD doorman:revoked:jti"), ":2\r\n");
}

/* --- away --- */

static void bytes_wait_while_redis_is_away(void **state)
{
    struct stage *s = *state;
    assert_int_equal(admit(s, "ann", &rate, 1).verdict, DM_ADMIT_YES);
    order("kill");
    dm_live_add_bandwidth(s->live, DM_LIT("ann"), WINDOW, 5);
    assert_int_equal(admit(s, "ann", &rate, 1).verdict, DM_ADMIT_UNKNOWN);
    dm_live_add_bandwidth(s->live, DM_LIT("ann"), WINDOW, 6);
    order("start");
    wait_for_bandwidth(s, 11);
}

static void admin_is_told_that_redis_is_away(void **state)
{
    struct stage *s = *state;
    struct dm_error err = {0};
    bool revoked;
    assert_int_equal(dm_live_ping(s->admin, NULL), DM_OK);
    dm_live_admin_free(s->admin);
    assert_int_equal(dm_live_redis_admin(&s->config, 200 * DM_MS, &s->admin, NULL), DM_OK);
    order("pause"); /* nothing is answered: the call's own time ends it */
    assert_int_equal(dm_live_ping(s->admin, &err), DM_UNAVAILABLE);
    assert_int_equal(err.err, ERR_STORE_LIVE_AWAY);
    order("resume");
    order("kill");
    assert_int_equal(dm_live_revoke(s->admin, DM_LIT("ann"), DM_LIT("t"), 0, &err), DM_UNAVAILABLE);
    assert_int_equal(err.err, ERR_STORE_LIVE_AWAY);
    assert_int_equal(dm_live_is_revoked(s->admin, DM_LIT("ann"), DM_LIT("t"), &revoked, NULL),
                     DM_UNAVAILABLE);
    assert_int_equal(dm_live_clear_counters(s->admin, NULL), DM_UNAVAILABLE);
    order("start");
}

static void on_reserved(struct dm_live_wait *w, enum dm_reserve_verdict v)
{
    struct asked *x = DM_CONTAINER_OF(w, struct asked, wait);
    assert_int_equal(v, DM_RESERVE_YES);
    x->came = true;
}

/* Redis refuses every write for a while, as a master that was demoted does. */
static void settle_is_owed_until_redis_took_it(void **state)
{
    struct stage *s = *state;
    struct asked x = {.came = false};
    const struct dm_reserve_ask ask = {
        .group = DM_LIT("g"), .subject = DM_LIT("ann"), .id = DM_LIT("r1"), .hold = 60 * DM_SEC};
    int64_t balance = 0;
    assert_int_equal(dm_live_credits_set(s->admin, DM_LIT("g"), DM_LIT("ann"), 7, false, NULL),
                     DM_OK);
    dm_live_ask_reserve(s->live, &ask, DM_NEVER, &x.wait, on_reserved);
    wait_for(s, &x.came);
    order("demote");
    dm_live_settle(s->live, ask.group, ask.subject, ask.id, false);
    assert_int_equal(admit(s, "ann", &rate, 1).verdict, DM_ADMIT_UNKNOWN);
    order("promote");
    dm_time end = dm_clock_mono(&dm_clock_system) + 20 * DM_SEC;
    while (dm_live_credits_get(s->admin, ask.group, ask.subject, &balance, NULL) != DM_OK ||
           balance != 7) {
        if (dm_clock_mono(&dm_clock_system) > end)
            fail_msg("it never came back: balance %lld", (long long)balance);
        (void)dm_loop_turn(s->loop, 20 * DM_MS);
    }
}

int main(void)
{
#define STAGED(test) cmocka_unit_test_setup_teardown(test, open_stage, close_stage)
    const struct CMUnitTest tests[] = {
        STAGED(windows_are_those_of_redis),
        STAGED(every_counter_has_an_end),
        STAGED(all_counters_are_cleared_page_by_page),
        STAGED(revocations_of_other_programs_are_walked),
        STAGED(what_is_no_counter_is_no_verdict),
        STAGED(other_type_under_a_key_is_no_verdict),
        STAGED(odd_credits_are_no_verdict),
        STAGED(exactly_the_limit_passes_while_scripts_are_flushed),
        STAGED(revocation_is_written_for_the_mirror),
        STAGED(revocation_holds_though_the_clock_of_redis_is_ahead),
        STAGED(bytes_wait_while_redis_is_away),
        STAGED(admin_is_told_that_redis_is_away),
        STAGED(settle_is_owed_until_redis_took_it),
    };
#undef STAGED
    return cmocka_run_group_tests_name("live_counting", tests, NULL, NULL);
}
