#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/error.h"

static void a_failure_carries_kind_identifier_and_text(void **state)
{
    (void)state;
    struct dm_error err;
    assert_int_equal(DM_FAIL(&err, DM_UNAVAILABLE, ERR_NO_SERVERS, "no servers for \"%s\"", "x"),
                     DM_UNAVAILABLE);
    assert_int_equal(err.kind, DM_UNAVAILABLE);
    assert_int_equal(err.err, ERR_NO_SERVERS);
    assert_string_equal(err.text, "no servers for \"x\"");
}

static void a_long_text_is_cut_and_ended(void **state)
{
    (void)state;
    struct dm_error err;
    (void)DM_FAIL(&err, DM_INVALID, ERR_BAD_REQUEST, "%0999d", 1);
    assert_int_equal(strlen(err.text), DM_ERROR_TEXT - 1);
}

static void nobody_has_to_listen(void **state)
{
    (void)state;
    assert_int_equal(DM_FAIL(NULL, DM_LIMIT, ERR_RATE_LIMITED, "x"), DM_LIMIT);
}

static void every_public_error_is_complete(void **state)
{
    (void)state;
    for (int e = ERR_NONE + 1; e < ERR_COUNT_; e++) {
        const struct dm_err_info *info = dm_err_info((enum dm_err)e);
        assert_non_null(info->name);
        assert_in_range(info->status, 400, 599);
        assert_true(info->code.len > 0 && info->sentence.len > 0);
    }
    assert_int_equal(dm_err_info(ERR_RATE_LIMITED)->status, 429);
    assert_true(dm_view_eq(dm_err_info(ERR_STORE_LIVE_AWAY)->code, DM_LIT("STORE001")));
    assert_string_equal(dm_err_info(ERR_NO_API)->name, "NO_API");
}

static void every_kind_has_a_name(void **state)
{
    (void)state;
    for (int code = DM_OK; code <= DM_BUG; code++)
        assert_non_null(dm_code_name((enum dm_code)code));
    assert_string_equal(dm_code_name(DM_NOT_FOUND), "not_found");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_carries_kind_identifier_and_text),
        cmocka_unit_test(a_long_text_is_cut_and_ended),
        cmocka_unit_test(nobody_has_to_listen),
        cmocka_unit_test(every_public_error_is_complete),
        cmocka_unit_test(every_kind_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
