#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "base/clock.h"

static const dm_time sample = 1705314600 * DM_SEC; /* Monday 2024-01-15 10:30:00 UTC */

static void dates_are_written_in_their_three_forms(void **state)
{
    (void)state;
    char http[DM_HTTP_DATE_LEN + 1], iso[DM_ISO_LEN + 1], stamp[DM_STAMP_LEN + 1];
    dm_time_http_date(sample + 999 * DM_MS, http);
    dm_time_iso(sample + 999 * DM_MS, iso);
    dm_time_stamp(sample, stamp);
    assert_string_equal(http, "Mon, 15 Jan 2024 10:30:00 GMT");
    assert_string_equal(iso, "2024-01-15T10:30:00Z");
    assert_string_equal(stamp, "20240115T103000Z");
}

static void every_day_agrees_with_the_c_library(void **state)
{
    (void)state;
    /* 1900 to 2200, a step of one day and some seconds, so that times of day vary too */
    for (int64_t s = -2208988800; s < 7258118400; s += 86400 + 37) {
        char ours[DM_HTTP_DATE_LEN + 1], theirs[64], iso[DM_ISO_LEN + 1];
        struct tm tm;
        time_t t = (time_t)s;
        dm_time back;
        assert_non_null(gmtime_r(&t, &tm));
        assert_true(strftime(theirs, sizeof theirs, "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0);
        dm_time_http_date(s * DM_SEC, ours);
        assert_string_equal(ours, theirs);
        dm_time_iso(s * DM_SEC, iso);
        assert_true(dm_time_from_iso(dm_view_of(iso), &back));
        assert_true(back == s * DM_SEC);
    }
}

static void what_is_no_date_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "2024-01-15T10:30:00",
        "2024-01-15 10:30:00Z",
        "2024-01-15T10:30:00z",
        "2024-13-15T10:30:00Z",
        "2024-00-15T10:30:00Z",
        "2024-01-32T10:30:00Z",
        "2024-01-00T10:30:00Z",
        "2023-02-29T10:30:00Z",
        "1900-02-29T10:30:00Z",
        "2024-04-31T10:30:00Z",
        "2024-01-15T24:30:00Z",
        "2024-01-15T10:60:00Z",
        "2024-01-15T10:30:60Z",
        "2024-01-15T10:30:-1Z",
        "+024-01-15T10:30:00Z",
        "2024-01-15T10:30:00ZZ",
        "9999-01-15T10:30:00Z",
        "0001-01-01T00:00:00Z",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        dm_time t;
        if (dm_time_from_iso(dm_view_of(bad[i]), &t))
            fail_msg("taken: %s", bad[i]);
    }
    dm_time t;
    assert_true(dm_time_from_iso(DM_LIT("2024-02-29T23:59:59Z"), &t));
    assert_true(dm_time_from_iso(DM_LIT("2000-02-29T00:00:00Z"), &t));
}

static void a_manual_clock_stands_until_moved(void **state)
{
    (void)state;
    struct dm_clock_manual m;
    dm_clock_manual_init(&m, 100, sample);
    assert_int_equal(dm_clock_mono(&m.clock), 100);
    assert_int_equal(dm_clock_mono(&m.clock), 100);
    dm_clock_manual_step(&m, DM_SEC);
    assert_int_equal(dm_clock_mono(&m.clock), 100 + DM_SEC);
    assert_int_equal(dm_clock_wall(&m.clock), sample + DM_SEC);
    dm_clock_manual_step_wall(&m, -2 * DM_SEC);
    assert_int_equal(dm_clock_mono(&m.clock), 100 + DM_SEC);
    assert_int_equal(dm_clock_wall(&m.clock), sample - DM_SEC);
}

static void the_system_clock_moves_forward(void **state)
{
    (void)state;
    dm_time first = dm_clock_mono(&dm_clock_system);
    assert_true(first > 0);
    assert_true(dm_clock_mono(&dm_clock_system) >= first);
    assert_true(dm_clock_wall(&dm_clock_system) > sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_written_in_their_three_forms),
        cmocka_unit_test(every_day_agrees_with_the_c_library),
        cmocka_unit_test(what_is_no_date_is_refused),
        cmocka_unit_test(a_manual_clock_stands_until_moved),
        cmocka_unit_test(the_system_clock_moves_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
