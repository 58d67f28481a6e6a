/* Names of published objects as a set: those that were put, and no others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "store/live_names.h"

static void an_empty_set_has_nothing(void **state)
{
    struct dm_live_names s = {0};

    (void)state;
    assert_false(dm_live_names_has(&s, DM_LIT("user"), DM_LIT("ann")));
    dm_live_names_done(&s);
}

static void it_has_what_was_added_also_after_it_was_asked(void **state)
{
    enum { NAMES = 5000 };
    struct dm_live_names s = {0};
    char id[16];

    (void)state;
    for (int i = 0; i < NAMES; i++) {
        const dm_view name = dm_view_make(id, (size_t)snprintf(id, sizeof id, "%d", i));
        assert_false(i % 1000 == 0 && dm_live_names_has(&s, DM_LIT("user"), name));
        dm_live_names_add(&s, DM_LIT("user"), name);
    }
    for (int i = 0; i < 2 * NAMES; i++) {
        const dm_view name = dm_view_make(id, (size_t)snprintf(id, sizeof id, "%d", i));
        assert_int_equal(dm_live_names_has(&s, DM_LIT("user"), name), i < NAMES);
    }
    dm_live_names_done(&s);
}

static void one_id_of_two_kinds_is_two_names(void **state)
{
    struct dm_live_names s = {0};

    (void)state;
    dm_live_names_add(&s, DM_LIT("user"), DM_LIT("ann"));
    assert_true(dm_live_names_has(&s, DM_LIT("user"), DM_LIT("ann")));
    assert_false(dm_live_names_has(&s, DM_LIT("subscription"), DM_LIT("ann")));
    dm_live_names_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_set_has_nothing),
        cmocka_unit_test(it_has_what_was_added_also_after_it_was_asked),
        cmocka_unit_test(one_id_of_two_kinds_is_two_names),
    };
    return cmocka_run_group_tests_name("live_names", tests, NULL, NULL);
}
