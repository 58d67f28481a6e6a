#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/fault.h"
#include "base/mem.h"
#include "child.h"

static void memory_comes_zeroed(void **state)
{
    (void)state;
    char *p = dm_mem_alloc(100), *q = dm_mem_array(10, 10), zero[100] = {0};
    assert_memory_equal(p, zero, 100);
    assert_memory_equal(q, zero, 100);
    dm_mem_free(p);
    dm_mem_free(q);
    dm_mem_free(NULL);
}

static void nothing_is_something(void **state)
{
    (void)state;
    void *p = dm_mem_alloc(0), *q = dm_mem_array(0, 8), *r = dm_mem_grow(NULL, 0, 8);
    assert_non_null(p);
    assert_non_null(q);
    assert_non_null(r);
    dm_mem_free(p);
    dm_mem_free(q);
    dm_mem_free(r);
}

static void growing_keeps_the_old_elements(void **state)
{
    (void)state;
    int *n = dm_mem_array(2, sizeof *n);
    n[1] = 42;
    n = dm_mem_grow(n, 1000, sizeof *n);
    assert_int_equal(n[1], 42);
    dm_mem_free(n);
}

static void grow_too_far(void)
{
    dm_mem_free(dm_mem_grow(NULL, SIZE_MAX / 2, 3));
}

static void a_size_that_overflows_aborts(void **state)
{
    (void)state;
    char text[512];
    assert_true(aborts(grow_too_far, text, sizeof text));
    assert_non_null(strstr(text, "mem.c"));
}

static void every_allocation_is_counted(void **state)
{
    (void)state;
    uint64_t before = dm_mem_count();
    void *p = dm_mem_alloc(1);
    char *text = dm_mem_text(DM_LIT("ab\0c"));
    assert_memory_equal(text, "ab\0c", 5);
    assert_int_equal(dm_mem_count() - before, 2);
    dm_mem_free(p);
    dm_mem_free(text);
    assert_int_equal(dm_mem_count() - before, 2);
}

static void an_injected_fault_makes_the_nth_try_fail(void **state)
{
    (void)state;
    dm_fault_set(DM_FAULT_ALLOC, 2);
    void *first = dm_mem_try(8), *second = dm_mem_try(8), *third = dm_mem_try(8);
    assert_non_null(first);
    assert_null(second);
    assert_non_null(third);
    dm_mem_free(first);
    dm_mem_free(third);
}

static void freep_frees_and_forgets(void **state)
{
    (void)state;
    DM_DEFER(dm_mem_freep) char *p = dm_mem_text(DM_LIT("x"));
    char *taken = DM_TAKE(p);
    assert_null(p);
    assert_string_equal(taken, "x");
    dm_mem_freep(&taken);
    assert_null(taken);
}

static void wiped_bytes_are_zero(void **state)
{
    (void)state;
    char secret[8] = "secret!", zero[8] = {0};
    dm_mem_wipe(secret, sizeof secret);
    dm_mem_wipe(NULL, 0);
    assert_memory_equal(secret, zero, sizeof zero);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_comes_zeroed),
        cmocka_unit_test(nothing_is_something),
        cmocka_unit_test(growing_keeps_the_old_elements),
        cmocka_unit_test(a_size_that_overflows_aborts),
        cmocka_unit_test(every_allocation_is_counted),
        cmocka_unit_test(an_injected_fault_makes_the_nth_try_fail),
        cmocka_unit_test(freep_frees_and_forgets),
        cmocka_unit_test(wiped_bytes_are_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
