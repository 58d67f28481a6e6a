#include "model/watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"

#define ALICE DM_LIT("192.0.2.1")
#define BOB DM_LIT("192.0.2.2")

static void the_one_too_many_is_told_once_in_a_window(void **state)
{
    struct dm_watch *w = dm_watch_new();
    dm_time now = 1000 * DM_SEC;

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (int i = 1; i <= 30; i++)
            assert_true(dm_watch_count(w, DM_WATCH_BAD_SIGNATURE, ALICE, now) == (i == 11));
        now += 60 * DM_SEC;
    }
    dm_watch_free(w);
}

static void a_new_window_begins_at_zero(void **state)
{
    struct dm_watch *w = dm_watch_new();
    dm_time now = 1000 * DM_SEC;

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_false(dm_watch_count(w, DM_WATCH_FAILED_LOGIN, ALICE, now));
    now += 300 * DM_SEC;
    for (int i = 0; i < 4; i++)
        assert_false(dm_watch_count(w, DM_WATCH_FAILED_LOGIN, ALICE, now));
    assert_true(dm_watch_count(w, DM_WATCH_FAILED_LOGIN, ALICE, now + 299 * DM_SEC));
    dm_watch_free(w);
}

static void doers_and_kinds_are_told_apart(void **state)
{
    struct dm_watch *w = dm_watch_new();

    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_false(dm_watch_count(w, DM_WATCH_FAILED_LOGIN, ALICE, DM_SEC));
        assert_false(dm_watch_count(w, DM_WATCH_FAILED_LOGIN, BOB, DM_SEC));
        assert_false(dm_watch_count(w, DM_WATCH_BAD_SIGNATURE, ALICE, DM_SEC));
    }
    assert_true(dm_watch_count(w, DM_WATCH_FORWARDING, ALICE, DM_SEC));
    assert_true(dm_watch_count(w, DM_WATCH_FAILED_LOGIN, ALICE, DM_SEC));
    assert_true(dm_watch_count(w, DM_WATCH_FAILED_LOGIN, BOB, DM_SEC));
    dm_watch_free(w);
}

/* Who came last is always counted, however many there were. */
static void a_crowd_takes_no_memory_and_hides_nobody_for_long(void **state)
{
    struct dm_watch *w = dm_watch_new();
    const uint64_t before = dm_mem_count();
    char name[32];

    (void)state;
    for (int i = 0; i < 100000; i++) {
        snprintf(name, sizeof name, "doer %d", i);
        assert_true(dm_watch_count(w, DM_WATCH_FORWARDING, dm_view_of(name), i));
    }
    for (int i = 1; i <= 5; i++)
        assert_true(dm_watch_count(w, DM_WATCH_FAILED_LOGIN, BOB, 100000 + i) == (i == 5));
    assert_int_equal(dm_mem_count(), before);
    dm_watch_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_one_too_many_is_told_once_in_a_window),
        cmocka_unit_test(a_new_window_begins_at_zero),
        cmocka_unit_test(doers_and_kinds_are_told_apart),
        cmocka_unit_test(a_crowd_takes_no_memory_and_hides_nobody_for_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
