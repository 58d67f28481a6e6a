#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/assert.h"
#include "child.h"

static void break_a_promise(void)
{
    dm_assert_context("req-42");
    DM_ASSERT(1 + 1 == 3);
}

static void demand_in_vain(void)
{
    DM_REQUIRE(2 > 3);
}

static void arrive_where_nobody_can(void)
{
    DM_UNREACHABLE();
}

static void keep_a_promise(void)
{
    DM_REQUIRE(1);
    DM_ASSERT(1 + 1 == 2);
}

static void a_broken_promise_names_place_condition_and_request(void **state)
{
    (void)state;
    char text[512];
    assert_true(aborts(break_a_promise, text, sizeof text));
    assert_non_null(strstr(text, "assert failed at "));
    assert_non_null(strstr(text, "assert_test.c:"));
    assert_non_null(strstr(text, "1 + 1 == 3"));
    assert_non_null(strstr(text, "[request_id=req-42]"));
}

static void every_form_aborts(void **state)
{
    (void)state;
    char text[512];
    assert_true(aborts(demand_in_vain, text, sizeof text));
    assert_non_null(strstr(text, "require failed at "));
    assert_non_null(strstr(text, "[request_id=-]"));
    assert_true(aborts(arrive_where_nobody_can, text, sizeof text));
    assert_non_null(strstr(text, "unreachable"));
}

static void a_kept_promise_costs_nothing(void **state)
{
    (void)state;
    assert_int_equal(exit_status_of(keep_a_promise), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broken_promise_names_place_condition_and_request),
        cmocka_unit_test(every_form_aborts),
        cmocka_unit_test(a_kept_promise_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
