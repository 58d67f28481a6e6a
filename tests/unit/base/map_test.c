#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/map.h"
#include "base/mem.h"

static int freed;

static void count_free(void *value)
{
    freed++;
    dm_mem_free(value);
}

static void values_are_found_by_their_bytes(void **state)
{
    (void)state;
    int a = 1, b = 2, c = 3;
    struct dm_map *m = dm_map_new(NULL);
    dm_map_put(m, DM_LIT("key"), &a);
    dm_map_put(m, DM_LIT("key\0x"), &b);
    dm_map_put(m, DM_VIEW_NONE, &c);
    assert_ptr_equal(dm_map_get(m, DM_LIT("key")), &a);
    assert_ptr_equal(dm_map_get(m, DM_LIT("key\0x")), &b);
    assert_ptr_equal(dm_map_get(m, DM_LIT("")), &c);
    assert_null(dm_map_get(m, DM_LIT("ke")));
    assert_int_equal(dm_map_count(m), 3);
    dm_map_free(m);
}

static void keys_are_copied(void **state)
{
    (void)state;
    char key[] = "abc";
    int v = 1;
    struct dm_map *m = dm_map_new(NULL);
    dm_map_put(m, dm_view_of(key), &v);
    key[0] = 'x';
    assert_ptr_equal(dm_map_get(m, DM_LIT("abc")), &v);
    dm_map_free(m);
}

static void replaced_and_removed_values_are_freed_once(void **state)
{
    (void)state;
    freed = 0;
    struct dm_map *m = dm_map_new(count_free);
    void *kept = dm_mem_alloc(1);
    dm_map_put(m, DM_LIT("a"), dm_mem_alloc(1));
    dm_map_put(m, DM_LIT("a"), kept);
    assert_int_equal(freed, 1);
    dm_map_put(m, DM_LIT("a"), kept); /* the same one again is no replacement */
    assert_int_equal(freed, 1);
    assert_true(dm_map_remove(m, DM_LIT("a")));
    assert_int_equal(freed, 2);
    assert_false(dm_map_remove(m, DM_LIT("a")));
    dm_map_put(m, DM_LIT("b"), dm_mem_alloc(1));
    dm_map_put(m, DM_LIT("c"), NULL);
    dm_map_free(m);
    assert_int_equal(freed, 3);
    dm_map_free(NULL);
}

struct walk {
    int next, stop_at;
};

static bool check_order(void *ctx, dm_view key, void *value)
{
    struct walk *w = ctx;
    int *n = value;
    char expected[16];
    int len = snprintf(expected, sizeof expected, "key%d", w->next);
    assert_int_equal(*n, w->next);
    assert_true(dm_view_eq(key, dm_view_make(expected, (size_t)len)));
    w->next++;
    return w->next != w->stop_at;
}

static void ten_thousand_entries_keep_their_order(void **state)
{
    (void)state;
    enum { N = 10000 };
    int *numbers = dm_mem_array(N, sizeof *numbers);
    struct dm_map *m = dm_map_new(NULL);
    for (int i = 0; i < N; i++) {
        char key[16];
        int len = snprintf(key, sizeof key, "key%d", i);
        numbers[i] = i;
        dm_map_put(m, dm_view_make(key, (size_t)len), &numbers[i]);
    }
    struct walk all = {0, -1}, some = {0, 5};
    dm_map_each(m, check_order, &all);
    assert_int_equal(all.next, N);
    dm_map_each(m, check_order, &some);
    assert_int_equal(some.next, 5);
    assert_true(dm_map_remove(m, DM_LIT("key0")));
    assert_null(dm_map_get(m, DM_LIT("key0")));
    assert_int_equal(*(int *)dm_map_get(m, DM_LIT("key9999")), 9999);
    dm_map_free(m);
    dm_mem_free(numbers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_found_by_their_bytes),
        cmocka_unit_test(keys_are_copied),
        cmocka_unit_test(replaced_and_removed_values_are_freed_once),
        cmocka_unit_test(ten_thousand_entries_keep_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
