/* That its output is gzip is proved over the wire (tests/integration/test_compression.py). */
#include "codec/gzip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

enum { ROOM = 256 * 1024, TEXT = 100000 };

struct fixture {
    struct dm_arena_pool *pool;
    struct dm_arena arena;
    char text[TEXT];
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);

    f->pool = dm_arena_pool_new(4096, 4);
    dm_arena_init(&f->arena, f->pool, ROOM);
    for (size_t i = 0; i < TEXT; i++) /* neither all alike nor all different */
        f->text[i] = (char)('a' + i * i / 97 % 13);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    dm_arena_reset(&f->arena);
    dm_arena_pool_free(f->pool);
    test_free(f);
    return 0;
}

/* The whole text through output buffers of `size` bytes. */
static void compress(struct fixture *f, size_t size, struct dm_buf *ret)
{
    char out[4096];
    dm_view in = dm_view_make(f->text, TEXT);
    size_t len;
    bool done;

    dm_arena_reset(&f->arena);
    dm_arena_init(&f->arena, f->pool, ROOM);
    struct dm_gzip *g = dm_gzip_new(&f->arena, 1);
    assert_non_null(g);
    do {
        done = dm_gzip_run(g, DM_GZIP_END, &in, out, size, &len);
        assert_true(done || len == size);
        dm_buf_add(ret, dm_view_make(out, len));
    } while (!done);
    assert_int_equal(in.len, 0);
    assert_true(dm_buf_ok(ret));
}

static void the_size_of_the_output_buffer_does_not_matter(void **state)
{
    struct dm_buf whole, pieces;

    dm_buf_init(&whole, TEXT);
    compress(*state, 4096, &whole);
    assert_memory_equal(dm_buf_view(&whole).ptr, "\x1f\x8b\x08", 3);
    for (size_t size = 1; size < 4096; size = size * 3 + 1) {
        dm_buf_init(&pieces, TEXT);
        compress(*state, size, &pieces);
        assert_true(dm_view_eq(dm_buf_view(&pieces), dm_buf_view(&whole)));
        dm_buf_done(&pieces);
    }
    dm_buf_done(&whole);
}

static void what_is_flushed_is_out_and_what_is_not_may_wait(void **state)
{
    struct fixture *f = *state;
    struct dm_gzip *g = dm_gzip_new(&f->arena, 1);
    dm_view in = DM_LIT("one line\n");
    char out[256];
    size_t len;

    assert_true(dm_gzip_run(g, DM_GZIP_MORE, &in, out, sizeof out, &len));
    assert_int_equal(in.len, 0);
    assert_true(len <= 10); /* gzip's own head */
    assert_true(dm_gzip_run(g, DM_GZIP_FLUSH, &in, out, sizeof out, &len));
    assert_true(len > 9);
    assert_memory_equal(out + len - 4, "\x00\x00\xff\xff", 4); /* RFC 1951: an empty block */
    assert_true(dm_gzip_run(g, DM_GZIP_FLUSH, &in, out, sizeof out, &len));
    assert_int_equal(len, 0); /* nothing new */
}

static void all_its_memory_is_the_arenas_and_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct dm_arena small;
    const uint64_t before = dm_arena_used(&f->arena);

    assert_non_null(dm_gzip_new(&f->arena, 9));
    assert_true(dm_arena_used(&f->arena) - before < 80 * 1024);
    for (size_t room = 0; room < 60 * 1024; room += 4096) {
        dm_arena_init(&small, f->pool, room);
        assert_null(dm_gzip_new(&small, 1));
        dm_arena_reset(&small);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_size_of_the_output_buffer_does_not_matter),
        TEST(what_is_flushed_is_out_and_what_is_not_may_wait),
        TEST(all_its_memory_is_the_arenas_and_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
