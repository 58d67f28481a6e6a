#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "child.h"

static void only_the_nth_call_fails(void **state)
{
    (void)state;
    dm_fault_set(DM_FAULT_IO_WRITE, 3);
    assert_false(dm_fault(DM_FAULT_IO_WRITE));
    assert_false(dm_fault(DM_FAULT_IO_READ));
    assert_false(dm_fault(DM_FAULT_IO_WRITE));
    assert_true(dm_fault(DM_FAULT_IO_WRITE));
    assert_false(dm_fault(DM_FAULT_IO_WRITE));
}

static void zero_disarms(void **state)
{
    (void)state;
    dm_fault_set(DM_FAULT_IO_READ, 1);
    dm_fault_set(DM_FAULT_IO_READ, 0);
    assert_false(dm_fault(DM_FAULT_IO_READ));
}

static void the_environment_arms_several_points(void **state)
{
    (void)state;
    setenv("DOORMAN_FAULT", "io_short:1,file_write:2", 1);
    dm_fault_from_env();
    assert_true(dm_fault(DM_FAULT_IO_SHORT));
    assert_false(dm_fault(DM_FAULT_FILE_WRITE));
    assert_true(dm_fault(DM_FAULT_FILE_WRITE));
    unsetenv("DOORMAN_FAULT");
    dm_fault_from_env();
    assert_false(dm_fault(DM_FAULT_IO_SHORT));
}

static void misspell(void)
{
    setenv("DOORMAN_FAULT", "io_shrot:1", 1);
    dm_fault_from_env();
}

static void forget_the_count(void)
{
    setenv("DOORMAN_FAULT", "io_short", 1);
    dm_fault_from_env();
}

static void a_misspelt_fault_ends_the_start(void **state)
{
    (void)state;
    char text[512];
    assert_true(aborts(misspell, text, sizeof text));
    assert_non_null(strstr(text, "io_shrot:1"));
    assert_true(aborts(forget_the_count, text, sizeof text));
}

static void write_twice(void)
{
    dm_fault_set(DM_FAULT_STORE_WRITE_EXIT, 2);
    (void)dm_fault(DM_FAULT_STORE_WRITE_EXIT);
    (void)dm_fault(DM_FAULT_STORE_WRITE_EXIT);
}

static void the_store_point_ends_the_process(void **state)
{
    (void)state;
    assert_int_equal(exit_status_of(write_twice), 137);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_nth_call_fails),
        cmocka_unit_test(zero_disarms),
        cmocka_unit_test(the_environment_arms_several_points),
        cmocka_unit_test(a_misspelt_fault_ends_the_start),
        cmocka_unit_test(the_store_point_ends_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
