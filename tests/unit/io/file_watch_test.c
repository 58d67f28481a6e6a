/* A directory of real files, watched; turns of the loop end with what the kernel tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/file_watch.h"
#include "io/timer.h"

enum { PATH_CAP = 256 };
/* Only bounds a failure: nothing waits so long when all is well. */
static const dm_time patience = 20 * DM_SEC;

struct world {
    struct dm_loop *loop;
    struct dm_file_watch *watch;
    char dir[64], file[PATH_CAP];
    int told;
};

static void on_change(void *ctx)
{
    struct world *w = ctx;

    w->told++;
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static const char *in(const struct world *w, const char *name, char path[PATH_CAP])
{
    (void)snprintf(path, PATH_CAP, "%s/%s", w->dir, name);
    return path;
}

static void open_watch(struct world *w, dm_time debounce, dm_time poll, bool expected)
{
    const dm_view path = dm_view_of(w->file);

    w->watch = dm_file_watch_new(&(struct dm_file_watch_config){
        .loop = w->loop, .debounce = debounce, .poll = poll, .on_change = on_change, .ctx = w});
    assert_int_equal(dm_file_watch_set(w->watch, &path, 1), expected);
}

static int setup(void **state)
{
    struct world *w = dm_mem_alloc(sizeof *w);
    char path[PATH_CAP];

    memset(w, 0, sizeof *w);
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/doorman-watch-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    (void)snprintf(w->file, sizeof w->file, "%s", in(w, "doorman.yaml", path));
    write_text(w->file, "one");
    w->loop = dm_loop_new(&dm_clock_system);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    char command[PATH_CAP];

    dm_file_watch_free(w->watch);
    dm_loop_free(w->loop);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", w->dir);
    assert_int_equal(system(command), 0);
    dm_mem_free(w);
    return 0;
}

static void until_told(struct world *w, int times)
{
    const dm_time end = dm_clock_mono(&dm_clock_system) + patience;

    while (w->told < times) {
        assert_true(dm_clock_mono(&dm_clock_system) < end);
        dm_loop_turn(w->loop, 100 * DM_MS);
    }
}

/* Everything that is there to be told has been: a neighbour's event came after it. */
static void nothing_more(struct world *w, int times)
{
    write_text(w->file, "the end");
    until_told(w, times + 1);
    assert_int_equal(w->told, times + 1);
}

static void a_file_that_is_written_is_told(void **state)
{
    struct world *w = *state;

    open_watch(w, DM_MS, 0, true);
    write_text(w->file, "two");
    until_told(w, 1);
}

static void a_file_that_is_replaced_is_told_each_time(void **state)
{
    struct world *w = *state;
    char fresh[PATH_CAP];

    open_watch(w, DM_MS, 0, true);
    for (int i = 1; i <= 3; i++) {
        write_text(in(w, "fresh", fresh), "new");
        assert_int_equal(rename(fresh, w->file), 0);
        until_told(w, i);
    }
}

static void a_swap_of_the_data_link_is_told(void **state)
{
    struct world *w = *state;
    char a[PATH_CAP], b[PATH_CAP];

    assert_int_equal(symlink("nowhere", in(w, "..data", a)), 0);
    open_watch(w, DM_MS, 0, true);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(symlink("elsewhere", in(w, "..data_tmp", a)), 0);
        assert_int_equal(rename(a, in(w, "..data", b)), 0);
        until_told(w, i);
    }
}

static void a_burst_is_told_once(void **state)
{
    struct world *w = *state;

    open_watch(w, 200 * DM_MS, 0, true);
    for (int i = 0; i < 50; i++)
        write_text(w->file, "again");
    until_told(w, 1);
    nothing_more(w, 1);
}

static void unrest_without_end_is_told_all_the_same(void **state)
{
    struct world *w = *state;
    const dm_time end = dm_clock_mono(&dm_clock_system) + patience;

    open_watch(w, 20 * DM_MS, 0, true);
    while (w->told == 0) { /* never quiet for as long as the debounce */
        assert_true(dm_clock_mono(&dm_clock_system) < end);
        write_text(w->file, "again");
        dm_loop_turn(w->loop, DM_MS);
    }
}

static void other_names_are_nothing(void **state)
{
    struct world *w = *state;
    char path[PATH_CAP];

    open_watch(w, DM_MS, 0, true);
    write_text(in(w, "other.yaml", path), "x");
    write_text(in(w, "doorman.yaml.swp", path), "x");
    nothing_more(w, 0);
}

static void a_directory_that_comes_back_is_watched_again(void **state)
{
    struct world *w = *state;
    char away[PATH_CAP];

    open_watch(w, DM_MS, 0, true);
    (void)snprintf(away, sizeof away, "%s-away", w->dir);
    assert_int_equal(rename(w->dir, away), 0);
    until_told(w, 1);
    assert_int_equal(rename(away, w->dir), 0);
    until_told(w, 2); /* it is there again: perhaps with another file */
    const int before = w->told;
    write_text(w->file, "back");
    until_told(w, before + 1);
}

static void a_directory_that_is_not_there_yet_is_found(void **state)
{
    struct world *w = *state;
    char dir[PATH_CAP];

    (void)snprintf(w->file, sizeof w->file, "%s/later/doorman.yaml", w->dir);
    open_watch(w, DM_MS, 0, false);
    assert_int_equal(mkdir(in(w, "later", dir), 0700), 0);
    until_told(w, 1);
    const int before = w->told;
    write_text(w->file, "here");
    until_told(w, before + 1);
}

static void the_poll_tells_without_any_event(void **state)
{
    struct world *w = *state;

    open_watch(w, DM_MS, 10 * DM_MS, true);
    until_told(w, 3);
}

static void another_set_of_files_replaces_the_first(void **state)
{
    struct world *w = *state;
    char other[PATH_CAP];
    const dm_view path = dm_view_of(in(w, "other.yaml", other));

    open_watch(w, DM_MS, 0, true);
    write_text(w->file, "before");
    assert_true(dm_file_watch_set(w->watch, &path, 1));
    write_text(other, "now");
    until_told(w, 1);
    const int told = w->told;
    write_text(w->file, "not any more");
    write_text(other, "again");
    until_told(w, told + 1);
}

static void many_files_of_one_directory_share_a_watch(void **state)
{
    struct world *w = *state;
    char other[PATH_CAP];
    const dm_view paths[] = {dm_view_of(w->file), dm_view_of(in(w, "key.pem", other))};

    open_watch(w, DM_MS, 0, true);
    assert_true(dm_file_watch_set(w->watch, paths, 2));
    write_text(other, "key");
    until_told(w, 1);
    write_text(w->file, "file");
    until_told(w, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_file_that_is_written_is_told),
        TEST(a_file_that_is_replaced_is_told_each_time),
        TEST(a_swap_of_the_data_link_is_told),
        TEST(a_burst_is_told_once),
        TEST(unrest_without_end_is_told_all_the_same),
        TEST(other_names_are_nothing),
        TEST(a_directory_that_comes_back_is_watched_again),
        TEST(a_directory_that_is_not_there_yet_is_found),
        TEST(the_poll_tells_without_any_event),
        TEST(another_set_of_files_replaces_the_first),
        TEST(many_files_of_one_directory_share_a_watch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
