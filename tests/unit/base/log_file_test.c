#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log_sink.h"
#include "scratch.h"

static struct dm_log_file file;

static int setup(void **state)
{
    (void)state;
    scratch_make();
    dm_log_file_init(&file);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dm_log_file_done(&file);
    scratch_remove();
    return 0;
}

static void assert_file(const char *name, const char *expected)
{
    char *text = scratch_read(name);
    if (expected == NULL)
        assert_null(text);
    else
        assert_string_equal(text, expected);
    dm_mem_free(text);
}

static void lines_are_appended_and_reach_the_file_by_flush(void **state)
{
    (void)state;
    dm_log_file_open(&file, scratch_path("a.log"), 0, 5);
    dm_log_file_add(&file, DM_LIT("one"));
    assert_file("a.log", "");
    dm_log_file_flush(&file);
    dm_log_file_reopen(&file);
    dm_log_file_add(&file, DM_LIT("two"));
    dm_log_file_flush(&file);
    assert_file("a.log", "one\ntwo\n");
    struct stat st;
    assert_int_equal(stat(scratch_path("a.log"), &st), 0);
    assert_int_equal(st.st_mode & 07, 0); /* not for everybody to read */
}

static void a_full_file_is_renamed_between_two_lines(void **state)
{
    (void)state;
    dm_log_file_open(&file, scratch_path("a.log"), 10, 2);
    static const char *const lines[] = {"1234", "5678", "abcd", "efgh", "ijkl", "mnop", "qrst"};
    for (size_t i = 0; i < 7; i++)
        dm_log_file_add(&file, dm_view_of(lines[i]));
    dm_log_file_flush(&file);
    assert_file("a.log", "qrst\n");
    assert_file("a.log.1", "ijkl\nmnop\n");
    assert_file("a.log.2", "abcd\nefgh\n");
    assert_file("a.log.3", NULL);
}

static void a_line_longer_than_the_limit_is_written_whole(void **state)
{
    (void)state;
    dm_log_file_open(&file, scratch_path("a.log"), 4, 1);
    dm_log_file_add(&file, DM_LIT("a long line"));
    dm_log_file_add(&file, DM_LIT("b"));
    dm_log_file_flush(&file);
    assert_file("a.log", "b\n");
    assert_file("a.log.1", "a long line\n");
}

static void without_limit_or_backups_nothing_rotates(void **state)
{
    (void)state;
    dm_log_file_open(&file, scratch_path("a.log"), 4, 0);
    dm_log_file_add(&file, DM_LIT("1234"));
    dm_log_file_open(&file, scratch_path("a.log"), 0,
                     3); /* the same file: only the numbers change */
    dm_log_file_add(&file, DM_LIT("5678"));
    dm_log_file_flush(&file);
    assert_file("a.log", "1234\n5678\n");
    assert_file("a.log.1", NULL);
}

static void the_size_found_at_opening_counts(void **state)
{
    (void)state;
    FILE *f = fopen(scratch_path("a.log"), "w");
    assert_non_null(f);
    (void)fputs("12345678\n", f);
    (void)fclose(f);
    dm_log_file_open(&file, scratch_path("a.log"), 10, 1);
    dm_log_file_add(&file, DM_LIT("new"));
    dm_log_file_flush(&file);
    assert_file("a.log", "new\n");
    assert_file("a.log.1", "12345678\n");
}

static void after_external_rotation_reopen_makes_a_new_file(void **state)
{
    (void)state;
    dm_log_file_open(&file, scratch_path("a.log"), 0, 0);
    dm_log_file_add(&file, DM_LIT("one"));
    dm_log_file_flush(&file);
    assert_int_equal(rename(scratch_path("a.log"), scratch_path("moved")), 0);
    dm_log_file_add(&file, DM_LIT("two")); /* before the signal came */
    dm_log_file_reopen(&file);
    dm_log_file_add(&file, DM_LIT("three"));
    dm_log_file_flush(&file);
    assert_file("moved", "one\ntwo\n");
    assert_file("a.log", "three\n");
}

static void a_file_that_cannot_be_opened_takes_nothing(void **state)
{
    (void)state;
    dm_log_file_open(&file, scratch_path("no/such/a.log"), 0, 0);
    assert_true(file.failing);
    dm_log_file_add(&file, DM_LIT("one"));
    dm_log_file_flush(&file);
    dm_log_file_reopen(&file);
    dm_log_file_open(&file, scratch_path("a.log"), 0, 0);
    dm_log_file_add(&file, DM_LIT("two"));
    dm_log_file_flush(&file);
    assert_false(file.failing);
    assert_file("a.log", "two\n");
}

static void a_full_disk_costs_lines_that_are_counted(void **state)
{
    (void)state;
    uint64_t before = dm_log_dropped();
    dm_log_file_open(&file, "/dev/full", 0, 0);
    dm_log_file_add(&file, DM_LIT("one"));
    dm_log_file_add(&file, DM_LIT("two"));
    dm_log_file_flush(&file);
    assert_int_equal(dm_log_dropped() - before, 2);
    assert_true(file.failing);
    dm_log_file_flush(&file);
    assert_int_equal(dm_log_dropped() - before, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_are_appended_and_reach_the_file_by_flush, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_full_file_is_renamed_between_two_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(a_line_longer_than_the_limit_is_written_whole, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(without_limit_or_backups_nothing_rotates, setup, teardown),
        cmocka_unit_test_setup_teardown(the_size_found_at_opening_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(after_external_rotation_reopen_makes_a_new_file, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_file_that_cannot_be_opened_takes_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_costs_lines_that_are_counted, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
