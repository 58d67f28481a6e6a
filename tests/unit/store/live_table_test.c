#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "store/live_hits.h"
#include "store/live_keys.h"
#include "store/live_state.h"
#include "store/live_table.h"

static dm_view name(char *text, size_t size, int n)
{
    (void)snprintf(text, size, "key-%d", n);
    return dm_view_of(text);
}

static void full_table_refuses_until_something_expires(void **state)
{
    (void)state;
    enum { CAP = 600 };
    struct dm_live_table *t = dm_live_table_new(CAP);
    char text[32];
    for (int i = 0; i < CAP; i++)
        assert_non_null(dm_live_table_add(t, name(text, sizeof text, i), 0, i < 10 ? 50 : 100, 0));
    assert_null(dm_live_table_add(t, DM_LIT("more"), 0, 100, 0));
    assert_false(dm_live_table_sweep(t, 1, 49));
    assert_true(dm_live_table_sweep(t, 10, 50)); /* a full table is swept in bigger steps */
    assert_int_equal(dm_live_table_count(t), CAP - 10);
    assert_non_null(dm_live_table_add(t, DM_LIT("more"), 0, 100, 50));
    assert_null(dm_live_table_get(t, name(text, sizeof text, 3), 50));
    assert_non_null(dm_live_table_get(t, name(text, sizeof text, 300), 99));
    assert_null(
        dm_live_table_get(t, name(text, sizeof text, 300), 100)); /* expired, not yet swept */
    dm_live_table_free(t);
}

static void expired_key_can_be_added_anew(void **state)
{
    (void)state;
    struct dm_live_table *t = dm_live_table_new(10);
    struct dm_live_entry *e = dm_live_table_add(t, DM_LIT("k"), 0, 10, 0);
    e->value = 7;
    e = dm_live_table_add(t, DM_LIT("k"), 0, 20, 10);
    assert_int_equal(e->value, 0);
    assert_int_equal(dm_live_table_count(t), 1);
    dm_live_table_free(t);
}

static void family_is_removed_and_others_stay(void **state)
{
    (void)state;
    struct dm_live_table *t = dm_live_table_new(1000);
    char text[32];
    for (int i = 0; i < 500; i++)
        assert_non_null(
            dm_live_table_add(t, name(text, sizeof text, i), (uint8_t)(i % 3), DM_NEVER, 0));
    dm_live_table_remove_family(t, 1);
    for (int i = 0; i < 500; i++)
        assert_true((dm_live_table_get(t, name(text, sizeof text, i), 0) != NULL) == (i % 3 != 1));
    dm_live_table_free(t);
}

static void keys_are_written_as_the_contract_names_them(void **state)
{
    (void)state;
    static const struct {
        void (*two)(struct dm_live_key *, dm_view, int64_t);
        const char *text;
    } numbered[] = {{dm_live_key_rate, "rate_limit:ann:28333334"},
                    {dm_live_key_throttle, "throttle_limit:ann:28333334"}};
    struct dm_live_key k;
    for (size_t i = 0; i < DM_COUNT_OF(numbered); i++) {
        numbered[i].two(&k, DM_LIT("ann"), 28333334);
        assert_true(dm_view_eq(dm_live_key_view(&k), dm_view_of(numbered[i].text)));
    }
    dm_live_key_revoke_all(&k, DM_LIT("ann"));
    assert_true(dm_view_eq(dm_live_key_view(&k), DM_LIT("jwt:revoke_all:ann")));
    dm_live_key_revoked(&k, DM_LIT("ann"), DM_LIT("t-1"));
    assert_true(dm_view_eq(dm_live_key_view(&k), DM_LIT("jwt:revoked:ann:t-1")));
    dm_live_key_bandwidth(&k, DM_LIT("ann"), 86400, 1699920000);
    assert_true(dm_view_eq(dm_live_key_view(&k), DM_LIT("bandwidth_usage:ann:86400:1699920000")));
    dm_live_key_object(&k, DM_LIT("api"), DM_LIT("7"));
    assert_true(dm_view_eq(dm_live_key_view(&k), DM_LIT("doorman:policy:obj:api:7")));
    dm_live_key_hit(&k, DM_LIT("ip_rate_limit"), DM_LIT("::1"));
    assert_true(dm_view_eq(dm_live_key_view(&k), DM_LIT("ip_rate_limit:::1")));
    dm_live_key_rate(&k, DM_LIT(""), INT64_MIN);
    assert_true(dm_view_eq(dm_live_key_view(&k), DM_LIT("rate_limit::-9223372036854775808")));
    char longest[DM_LIVE_SUBJECT_MAX];
    memset(longest, 'x', sizeof longest);
    dm_view long_name = dm_view_make(longest, sizeof longest);
    assert_true(dm_live_subject_fits(long_name, long_name));
    dm_live_key_revoked(&k, long_name, long_name);
    dm_live_key_bandwidth(&k, long_name, INT64_MAX, INT64_MAX);
}

/* Every name in a first window, none in the second: an admission must not be lost for that. */
static void table_of_last_windows_users_makes_room(void **state)
{
    (void)state;
    struct dm_live_state *s = dm_live_state_new();
    const struct dm_counter_ask c = {.kind = DM_COUNTER_RATE, .limit = 5, .window_seconds = 1};
    struct dm_admit_ask ask = {.jti = DM_LIT("t"), .count = true, .counters = &c, .n_counters = 1};
    struct dm_admit_answer a = {.verdict = DM_ADMIT_OVER};
    char text[32];
    int unknown = 0;
    for (int i = 0; i < 300000; i++) { /* more than fit */
        ask.subject = name(text, sizeof text, i);
        dm_live_state_admit(s, &ask, DM_SEC, &a);
        unknown += a.verdict == DM_ADMIT_UNKNOWN;
    }
    assert_true(unknown > 0 && unknown < 100000);
    for (int i = 0; i < 100; i++) {
        ask.subject = name(text, sizeof text, i);
        dm_live_state_admit(s, &ask, 3 * DM_SEC, &a);
        assert_int_equal(a.verdict, DM_ADMIT_YES);
    }
    dm_live_state_free(s);
}

static void attempts_of_many_addresses_stay_bounded(void **state)
{
    (void)state;
    struct dm_live_hits *h = dm_live_hits_new();
    struct dm_live_hit hit;
    char text[32];
    uint64_t before = dm_mem_count();
    for (int i = 0; i < 200000; i++) {
        enum dm_code rc = dm_live_hits_add(h, name(text, sizeof text, i), 5, 60 * DM_SEC, i, &hit);
        assert_int_equal(rc, DM_OK);
    }
    assert_true(dm_mem_count() > before);
    assert_int_equal(
        dm_live_hits_add(h, name(text, sizeof text, 199999), 5, 60 * DM_SEC, 200000, &hit), DM_OK);
    assert_int_equal(hit.count, 2); /* the newest are known, the oldest went */
    assert_int_equal(dm_live_hits_add(h, name(text, sizeof text, 0), 5, 60 * DM_SEC, 200000, &hit),
                     DM_OK);
    assert_int_equal(hit.count, 1);
    dm_live_hits_free(h);
}

static void lowered_limit_counts_what_was_there(void **state)
{
    (void)state;
    struct dm_live_hits *h = dm_live_hits_new();
    struct dm_live_hit hit;
    for (int i = 0; i < 5; i++)
        assert_int_equal(dm_live_hits_add(h, DM_LIT("k"), 5, 60 * DM_SEC, (i + 1) * DM_SEC, &hit),
                         DM_OK);
    assert_int_equal(dm_live_hits_add(h, DM_LIT("k"), 2, 60 * DM_SEC, 6 * DM_SEC, &hit), DM_LIMIT);
    assert_int_equal(hit.retry_after,
                     58); /* until but one of the five are gone: the fourth ends at 64 */
    assert_int_equal(dm_live_hits_add(h, DM_LIT("k"), 0, 60 * DM_SEC, 6 * DM_SEC, &hit), DM_LIMIT);
    dm_live_hits_free(h);
}

static void clock_set_back_forgets_attempts_of_the_future(void **state)
{
    (void)state;
    struct dm_live_hits *h = dm_live_hits_new();
    struct dm_live_hit hit;
    for (int i = 0; i < 3; i++)
        assert_int_equal(dm_live_hits_add(h, DM_LIT("k"), 3, 60 * DM_SEC, 1000 * DM_SEC, &hit),
                         DM_OK);
    assert_int_equal(dm_live_hits_add(h, DM_LIT("k"), 3, 60 * DM_SEC, 10 * DM_SEC, &hit), DM_OK);
    assert_int_equal(hit.count, 1);
    dm_live_hits_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_table_refuses_until_something_expires),
        cmocka_unit_test(expired_key_can_be_added_anew),
        cmocka_unit_test(family_is_removed_and_others_stay),
        cmocka_unit_test(keys_are_written_as_the_contract_names_them),
        cmocka_unit_test(table_of_last_windows_users_makes_room),
        cmocka_unit_test(attempts_of_many_addresses_stay_bounded),
        cmocka_unit_test(lowered_limit_counts_what_was_there),
        cmocka_unit_test(clock_set_back_forgets_attempts_of_the_future),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
