#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/metrics_process.h"

static double value_of(const char *name)
{
    struct dm_buf out;
    double value;
    dm_buf_init(&out, 1 << 16);
    dm_metrics_process_write(&out);
    dm_view page = dm_buf_view(&out), line;
    while (dm_view_split(&page, '\n', &line)) {
        size_t blank = dm_view_find_byte(line, ' ', 0);
        if (!dm_view_eq(dm_view_sub(line, 0, blank), dm_view_of(name)))
            continue;
        assert_true(dm_parse_f64(dm_view_sub(line, blank + 1, line.len), &value));
        dm_buf_done(&out);
        return value;
    }
    fail_msg("no %s", name);
    return 0;
}

static void the_standard_names_have_plausible_values(void **state)
{
    (void)state;
    double now = (double)dm_clock_wall(&dm_clock_system) / (double)DM_SEC;
    double started = value_of("process_start_time_seconds");
    assert_true(started > now - 3600 && started < now + 1);
    assert_true(value_of("process_resident_memory_bytes") > 100e3);
    assert_true(value_of("process_virtual_memory_bytes") >=
                value_of("process_resident_memory_bytes"));
    assert_true(value_of("process_max_fds") >= 3);
    assert_true(value_of("process_cpu_seconds_total") >= 0);
}

static void open_descriptors_are_counted_exactly(void **state)
{
    (void)state;
    int ends[2];
    double before = value_of("process_open_fds");
    assert_int_equal(pipe(ends), 0);
    assert_true(value_of("process_open_fds") == before + 2);
    close(ends[0]);
    close(ends[1]);
    assert_true(value_of("process_open_fds") == before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_standard_names_have_plausible_values),
        cmocka_unit_test(open_descriptors_are_counted_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
