#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/arena.h"
#include "base/fault.h"
#include "base/mem.h"
#include "child.h"

enum { CHUNK = 4096, CAP = 64 * 1024 };

static struct dm_arena_pool *pool;

static int setup(void **state)
{
    (void)state;
    pool = dm_arena_pool_new(CHUNK, 4);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dm_arena_pool_free(pool);
    return 0;
}

static void blocks_are_aligned_and_apart(void **state)
{
    (void)state;
    struct dm_arena a;
    char *blocks[200];
    dm_arena_init(&a, pool, CAP);
    for (size_t i = 0; i < 200; i++) {
        blocks[i] = dm_arena_alloc(&a, i % 60);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % _Alignof(max_align_t), 0);
        memset(blocks[i], (int)i, i % 60);
    }
    for (size_t i = 0; i < 200; i++) {
        for (size_t j = 0; j < i % 60; j++)
            assert_int_equal((unsigned char)blocks[i][j], i);
    }
    dm_arena_reset(&a);
}

static void past_the_cap_there_is_nothing_more(void **state)
{
    (void)state;
    struct dm_arena a;
    dm_arena_init(&a, pool, 1000);
    assert_non_null(dm_arena_alloc(&a, 900));
    assert_null(dm_arena_alloc(&a, 101));
    assert_non_null(dm_arena_alloc(&a, 32)); /* what still fits is given */
    assert_null(dm_arena_alloc(&a, SIZE_MAX));
    assert_null(dm_arena_alloc(&a, SIZE_MAX - 8));
    assert_null(dm_arena_text(&a, dm_view_make("x", SIZE_MAX)));
    assert_true(dm_arena_used(&a) <= 1000);
    dm_arena_reset(&a);
    assert_int_equal(dm_arena_used(&a), 0);
    assert_non_null(dm_arena_alloc(&a, 900));
    dm_arena_reset(&a);
}

static void empty_blocks_count_against_the_cap_too(void **state)
{
    (void)state;
    struct dm_arena a;
    int n = 0;
    dm_arena_init(&a, pool, 1000);
    while (n < 1000 && dm_arena_alloc(&a, 0) != NULL)
        n++;
    assert_in_range(n, 1, 100);
    dm_arena_reset(&a);
}

static void a_big_block_leaves_the_current_chunk_in_use(void **state)
{
    (void)state;
    struct dm_arena a;
    dm_arena_init(&a, pool, CAP);
    char *before = dm_arena_alloc(&a, 16);
    char *big = dm_arena_zalloc(&a, 3 * CHUNK);
    char *after = dm_arena_alloc(&a, 16);
    assert_int_equal(big[3 * CHUNK - 1], 0);
    assert_true(after > before && after - before < 64);
    dm_arena_reset(&a);
    big = dm_arena_zalloc(&a, 3 * CHUNK); /* the first block of an arena may be a big one */
    assert_non_null(big);
    assert_non_null(dm_arena_alloc(&a, 16));
    dm_arena_reset(&a);
}

static void a_second_request_allocates_nothing(void **state)
{
    (void)state;
    struct dm_arena a;
    dm_arena_init(&a, pool, CAP);
    for (int i = 0; i < 30; i++)
        assert_non_null(dm_arena_alloc(&a, 400));
    dm_arena_reset(&a);
    uint64_t before = dm_mem_count();
    for (int i = 0; i < 30; i++)
        assert_non_null(dm_arena_alloc(&a, 400));
    assert_int_equal(dm_mem_count() - before, 0);
    dm_arena_reset(&a);
}

static void the_pool_keeps_no_more_than_it_was_told(void **state)
{
    (void)state;
    struct dm_arena a;
    dm_arena_init(&a, pool, CAP);
    for (int i = 0; i < 60; i++) /* about 8 chunks, of which 4 are kept */
        assert_non_null(dm_arena_alloc(&a, 500));
    dm_arena_reset(&a);
    uint64_t before = dm_mem_count();
    for (int i = 0; i < 60; i++)
        assert_non_null(dm_arena_alloc(&a, 500));
    assert_in_range(dm_mem_count() - before, 1, 6);
    dm_arena_reset(&a);
}

static void zeroed_blocks_are_zero_also_in_used_memory(void **state)
{
    (void)state;
    struct dm_arena a;
    char zero[256] = {0};
    dm_arena_init(&a, pool, CAP);
    memset(dm_arena_alloc(&a, 256), 0xAA, 256);
    dm_arena_reset(&a);
    assert_memory_equal(dm_arena_zalloc(&a, 256), zero, 256);
    dm_arena_reset(&a);
}

static void copies_texts_and_formats(void **state)
{
    (void)state;
    struct dm_arena a;
    dm_arena_init(&a, pool, 256);
    assert_true(dm_view_eq(dm_arena_copy(&a, DM_LIT("ab\0c")), DM_LIT("ab\0c")));
    assert_string_equal(dm_arena_text(&a, DM_LIT("abc")), "abc");
    assert_true(dm_view_eq(dm_arena_fmt(&a, "%s-%d", "x", 5), DM_LIT("x-5")));
    assert_non_null(dm_arena_copy(&a, DM_VIEW_NONE).ptr);
    assert_null(dm_arena_fmt(&a, "%0300d", 5).ptr);
    assert_null(dm_arena_copy(&a, dm_view_make("", 300)).ptr);
    dm_arena_reset(&a);
}

static void an_injected_fault_gives_nothing_and_leaks_nothing(void **state)
{
    (void)state;
    struct dm_arena a;
    struct dm_arena_pool *fresh = dm_arena_pool_new(CHUNK, 4);
    dm_arena_init(&a, fresh, CAP);
    dm_fault_set(DM_FAULT_ALLOC, 1);
    assert_null(dm_arena_alloc(&a, 16));
    dm_fault_set(DM_FAULT_ALLOC, 1);
    assert_null(dm_arena_alloc(&a, 2 * CHUNK));
    assert_int_equal(dm_arena_used(&a), 0);
    assert_non_null(dm_arena_alloc(&a, 16));
    dm_arena_reset(&a);
    dm_arena_pool_free(fresh);
    dm_arena_pool_free(NULL);
}

#ifdef __SANITIZE_ADDRESS__
static void write_after_reset(void)
{
    struct dm_arena a;
    dm_arena_init(&a, pool, CAP);
    volatile char *block = dm_arena_alloc(&a, 64);
    dm_arena_reset(&a);
    block[5] = 1;
}

static void write_past_the_end(void)
{
    struct dm_arena a;
    dm_arena_init(&a, pool, CAP);
    volatile char *block = dm_arena_alloc(&a, 64);
    (void)dm_arena_alloc(&a, 64);
    block[64] = 1;
}

static void asan_sees_misuse_as_it_does_on_the_heap(void **state)
{
    (void)state;
    assert_int_not_equal(exit_status_of(write_after_reset), 0);
    assert_int_not_equal(exit_status_of(write_past_the_end), 0);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef __SANITIZE_ADDRESS__
        cmocka_unit_test_setup_teardown(asan_sees_misuse_as_it_does_on_the_heap, setup, teardown),
#endif
        cmocka_unit_test_setup_teardown(blocks_are_aligned_and_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(past_the_cap_there_is_nothing_more, setup, teardown),
        cmocka_unit_test_setup_teardown(empty_blocks_count_against_the_cap_too, setup, teardown),
        cmocka_unit_test_setup_teardown(a_big_block_leaves_the_current_chunk_in_use, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_second_request_allocates_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(the_pool_keeps_no_more_than_it_was_told, setup, teardown),
        cmocka_unit_test_setup_teardown(zeroed_blocks_are_zero_also_in_used_memory, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(copies_texts_and_formats, setup, teardown),
        cmocka_unit_test_setup_teardown(an_injected_fault_gives_nothing_and_leaks_nothing, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
