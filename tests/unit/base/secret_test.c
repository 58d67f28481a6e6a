#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/secret.h"

static void a_secret_is_copied_and_forgotten(void **state)
{
    (void)state;
    struct dm_secret s = {0};
    char bytes[] = "hunter2";
    assert_true(dm_secret_empty(&s));
    dm_secret_set(&s, dm_view_of(bytes));
    bytes[0] = 'x';
    assert_true(dm_view_eq(dm_secret_view(&s), DM_LIT("hunter2")));
    assert_false(dm_secret_empty(&s));
    dm_secret_done(&s);
    assert_true(dm_secret_empty(&s));
    assert_null(s.ptr_);
    dm_secret_done(&s);
    dm_secret_done(NULL);
}

static void a_secret_can_become_a_part_of_itself(void **state)
{
    (void)state;
    struct dm_secret s = {0};
    dm_secret_set(&s, DM_LIT("Bearer abc"));
    dm_secret_set(&s, dm_view_sub(dm_secret_view(&s), 7, 3));
    assert_true(dm_view_eq(dm_secret_view(&s), DM_LIT("abc")));
    dm_secret_set(&s, DM_VIEW_NONE);
    assert_true(dm_secret_empty(&s));
    dm_secret_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_is_copied_and_forgotten),
        cmocka_unit_test(a_secret_can_become_a_part_of_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
