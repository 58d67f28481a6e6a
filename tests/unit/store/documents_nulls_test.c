/* Nulls of documents come back as they were, and equal lists of them are kept once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "store/documents_nulls.h"

static struct dm_json *json_of(const char *text)
{
    struct dm_json *json = NULL;

    assert_int_equal(dm_json_parse(dm_view_of(text), NULL, &json, NULL), DM_OK);
    return json;
}

/* Splits, compares the text, joins again, compares the object. Gives the interned list. */
static const struct dm_json *round_trip(struct dm_nulls *n, const char *text, const char *stored)
{
    DM_DEFER(dm_json_freep) struct dm_json *json = json_of(text);
    DM_DEFER(dm_json_freep) struct dm_json *back = NULL;
    struct dm_buf b;

    dm_buf_init(&b, 4096);
    const struct dm_json *names = dm_nulls_split(n, json, &b);
    assert_true(dm_view_eq(dm_buf_view(&b), dm_view_of(stored)));
    assert_int_equal(dm_json_parse(dm_buf_view(&b), NULL, &back, NULL), DM_OK);
    dm_nulls_join(names, back);
    assert_true(dm_json_equal(back, json));
    dm_buf_done(&b);
    return names;
}

static void nulls_come_back_as_they_were(void **state)
{
    struct dm_nulls *n = dm_nulls_new();

    (void)state;
    assert_null(round_trip(n, "{}", "{}"));
    assert_null(round_trip(n, "{\"a\":1}", "{\"a\":1}"));
    assert_non_null(round_trip(n, "{\"a\":null}", "{}"));
    assert_non_null(
        round_trip(n, "{\"a\":null,\"b\":2,\"c\":null,\"d\":\"x\"}", "{\"b\":2,\"d\":\"x\"}"));
    assert_non_null(round_trip(n, "{\"q\\\"\":null,\"in\":{\"x\":null}}", "{\"in\":{\"x\":null}}"));
    dm_nulls_free(n);
}

static void equal_lists_are_kept_once(void **state)
{
    struct dm_nulls *n = dm_nulls_new();

    (void)state;
    const struct dm_json *first = round_trip(n, "{\"a\":null,\"v\":1}", "{\"v\":1}");
    assert_ptr_equal(round_trip(n, "{\"v\":2,\"a\":null}", "{\"v\":2}"), first);
    assert_ptr_not_equal(round_trip(n, "{\"b\":null}", "{}"), first);
    dm_nulls_free(n);
}

static void too_many_different_lists_stay_in_the_text(void **state)
{
    struct dm_nulls *n = dm_nulls_new();
    char text[64];

    (void)state;
    for (int i = 0; i < 1024; i++) {
        snprintf(text, sizeof(text), "{\"n%d\":null}", i);
        assert_non_null(round_trip(n, text, "{}"));
    }
    assert_null(round_trip(n, "{\"one more\":null}", "{\"one more\":null}"));
    assert_non_null(round_trip(n, "{\"n7\":null}", "{}"));
    dm_nulls_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nulls_come_back_as_they_were),
        cmocka_unit_test(equal_lists_are_kept_once),
        cmocka_unit_test(too_many_different_lists_stay_in_the_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
