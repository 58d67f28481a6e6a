/* The body of /api/status (operations.md §8.1, C5). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "codec/json.h"
#include "io/ops_status.h"

static void uptime_is(dm_time up, const char *wanted)
{
    const struct dm_ops_status s = {
        .mode = "redis", .mongodb = "connected", .redis = "disconnected", .up = up, .active = 3};
    char text[DM_OPS_STATUS_MAX], start[64], end[96];
    const dm_view body = dm_ops_status_text(&s, text);

    snprintf(start, sizeof start, "{\"status\":\"ok\",\"uptime_seconds\":%lld,\"memory_usage_mb\":",
             (long long)(up / DM_SEC));
    snprintf(end, sizeof end, "%%\",\"active_connections\":3,\"uptime\":\"%s\"}", wanted);
    assert_true(dm_view_starts(body, dm_view_of(start)));
    assert_true(dm_view_ends(body, dm_view_of(end)));
}

static void uptime_is_told_in_its_largest_units(void **state)
{
    (void)state;
    uptime_is(0, "0m 0s");
    uptime_is(61 * DM_SEC + DM_MS, "1m 1s");
    uptime_is((3600 + 120 + 3) * DM_SEC, "1h 2m");
    uptime_is((2 * 86400 + 3600 + 60) * DM_SEC, "2d 1h 1m");
}

static void it_is_json_that_names_the_stores(void **state)
{
    const struct dm_ops_status s = {.mode = "redis", .mongodb = "connected", .redis = "connected"};
    char text[DM_OPS_STATUS_MAX];
    DM_DEFER(dm_json_freep) struct dm_json *body = NULL;
    struct dm_error err;

    (void)state;
    assert_int_equal(dm_json_parse(dm_ops_status_text(&s, text), &dm_json_default, &body, &err),
                     DM_OK);
    assert_int_equal(dm_json_len(body), 9);
    assert_true(dm_view_eq(dm_json_str(dm_json_get(body, DM_LIT("mongodb"))), DM_LIT("connected")));
    assert_true(dm_view_eq(dm_json_str(dm_json_get(body, DM_LIT("mode"))), DM_LIT("redis")));
    assert_true(dm_json_i64(dm_json_get(body, DM_LIT("memory_usage_mb")), 0) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(uptime_is_told_in_its_largest_units),
                                       cmocka_unit_test(it_is_json_that_names_the_stores)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
