#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store/live_keys.h"
#include "store/live_outage.h"

struct rig {
    struct dm_clock_manual clock;
    struct dm_live_outage *o;
};

static int setup(void **state)
{
    struct rig *r = DM_NEW(struct rig);

    dm_clock_manual_init(&r->clock, 1000 * DM_SEC, 1800000000 * DM_SEC);
    r->o = dm_live_outage_new(&r->clock.clock);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;

    dm_live_outage_free(r->o);
    dm_mem_free(r);
    return 0;
}

static struct dm_live_outlook look(struct rig *r, const char *user, const char *jti)
{
    struct dm_live_outlook ret;

    dm_live_outage_look(r->o, dm_view_of(user), dm_view_of(jti), &ret);
    return ret;
}

static void load(struct rig *r, const char *user, const char *jti)
{
    dm_live_outage_load_begin(r->o);
    dm_live_outage_loaded(r->o, dm_view_of(user), dm_view_of(jti), DM_NEVER);
    dm_live_outage_load_end(r->o, true);
}

static void before_the_first_load_the_mirror_has_no_age(void **state)
{
    struct rig *r = *state;

    dm_live_outage_confirm(r->o);
    assert_int_equal(look(r, "bob", "1").mirror_age, DM_NEVER);
    dm_live_outage_load_begin(r->o);
    dm_live_outage_load_end(r->o, false);
    assert_int_equal(look(r, "bob", "1").mirror_age, DM_NEVER);
    load(r, "eve", "9");
    assert_int_equal(look(r, "bob", "1").mirror_age, 0);
}

static void the_mirror_ages_until_confirmed(void **state)
{
    struct rig *r = *state;

    load(r, "eve", "");
    dm_clock_manual_step(&r->clock, 7 * DM_SEC);
    assert_int_equal(look(r, "bob", "1").mirror_age, 7 * DM_SEC);
    dm_live_outage_confirm(r->o);
    assert_int_equal(look(r, "bob", "1").mirror_age, 0);
    dm_clock_manual_step_wall(&r->clock, 3600 * DM_SEC); /* a wall clock that jumps ages nothing */
    assert_int_equal(look(r, "bob", "1").mirror_age, 0);
}

static void the_mirror_tells_users_and_tokens_apart(void **state)
{
    struct rig *r = *state;

    load(r, "eve", "");
    dm_live_outage_revoked(r->o, DM_LIT("bob"), DM_LIT("1"),
                           dm_clock_wall(&r->clock.clock) + 5 * DM_SEC);
    assert_true(look(r, "eve", "any").revoked);
    assert_true(look(r, "bob", "1").revoked);
    assert_false(look(r, "bob", "2").revoked);
    assert_false(look(r, "", "").revoked);
    dm_live_outage_unrevoked(r->o, DM_LIT("eve"));
    assert_false(look(r, "eve", "any").revoked);
    dm_clock_manual_step(&r->clock, 6 * DM_SEC);
    assert_false(look(r, "bob", "1").revoked);
}

static void what_is_told_while_reading_anew_is_kept(void **state)
{
    struct rig *r = *state;

    load(r, "old", "");
    dm_live_outage_load_begin(r->o);
    dm_live_outage_loaded(r->o, DM_LIT("eve"), DM_VIEW_NONE, DM_NEVER);
    dm_live_outage_revoked(r->o, DM_LIT("bob"), DM_VIEW_NONE, DM_NEVER);
    dm_live_outage_unrevoked(r->o, DM_LIT("eve"));
    assert_true(look(r, "bob", "1").revoked); /* at once, not only with the new mirror */
    assert_true(look(r, "old", "1").revoked);
    dm_live_outage_load_end(r->o, true);
    assert_true(look(r, "bob", "1").revoked);
    assert_false(look(r, "eve", "1").revoked);
    assert_false(look(r, "old", "1").revoked);
}

static void a_mirror_that_lost_something_may_not_decide(void **state)
{
    struct rig *r = *state;
    char long_name[DM_LIVE_SUBJECT_MAX + 2];

    load(r, "eve", "");
    memset(long_name, 'x', sizeof long_name);
    dm_live_outage_revoked(r->o, dm_view_make(long_name, sizeof long_name), DM_VIEW_NONE, DM_NEVER);
    assert_int_equal(look(r, "bob", "1").mirror_age, DM_NEVER);
    load(r, "eve", "");
    assert_int_equal(look(r, "bob", "1").mirror_age, 0);
}

static void a_copy_from_disk_is_as_old_as_it_is(void **state)
{
    struct rig *r = *state;

    load(r, "eve", "");
    dm_live_outage_date(r->o, dm_clock_mono(&r->clock.clock) - 30 * DM_SEC);
    assert_int_equal(look(r, "bob", "1").mirror_age, 30 * DM_SEC);
    assert_true(look(r, "eve", "1").revoked);
}

static void counts_are_kept_without_the_store(void **state)
{
    struct rig *r = *state;
    const struct dm_counter_ask rate = {
        .kind = DM_COUNTER_RATE, .limit = 2, .window_seconds = 3600};
    const struct dm_admit_ask ask = {.subject = DM_LIT("bob"),
                                     .jti = DM_LIT("1"),
                                     .count = true,
                                     .counters = &rate,
                                     .n_counters = 1};
    struct dm_admit_answer a;

    for (int i = 0; i < 3; i++) {
        dm_live_outage_admit(r->o, &ask, &a);
        assert_int_equal(a.verdict, i < 2 ? DM_ADMIT_YES : DM_ADMIT_OVER);
    }
    dm_clock_manual_step(&r->clock, 3600 * DM_SEC);
    dm_live_outage_admit(r->o, &ask, &a);
    assert_int_equal(a.verdict, DM_ADMIT_YES);
}

static void the_last_number_of_peers_is_kept_and_never_below_one(void **state)
{
    struct rig *r = *state;

    assert_int_equal(look(r, "", "").peers, 1);
    dm_live_outage_peers(r->o, 3);
    assert_int_equal(look(r, "", "").peers, 3);
    dm_live_outage_peers(r->o, 0);
    assert_int_equal(look(r, "", "").peers, 1);
}

#define OUTAGE_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OUTAGE_TEST(before_the_first_load_the_mirror_has_no_age),
        OUTAGE_TEST(the_mirror_ages_until_confirmed),
        OUTAGE_TEST(the_mirror_tells_users_and_tokens_apart),
        OUTAGE_TEST(what_is_told_while_reading_anew_is_kept),
        OUTAGE_TEST(a_mirror_that_lost_something_may_not_decide),
        OUTAGE_TEST(a_copy_from_disk_is_as_old_as_it_is),
        OUTAGE_TEST(counts_are_kept_without_the_store),
        OUTAGE_TEST(the_last_number_of_peers_is_kept_and_never_below_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
