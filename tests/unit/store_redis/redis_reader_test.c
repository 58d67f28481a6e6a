#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "store/redis/redis_command.h"

static struct dm_arena_pool *pool;
static struct dm_redis_reader *reader;

static int set_up(void **state)
{
    (void)state;
    pool = dm_arena_pool_new(16 * 1024, 4);
    reader = dm_redis_reader_new(pool);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    dm_redis_reader_free(reader);
    dm_arena_pool_free(pool);
    return 0;
}

static void feed(const char *text)
{
    assert_int_equal(dm_redis_reader_feed(reader, dm_view_of(text)), DM_OK);
}

static const struct dm_redis_reply *next(void)
{
    const struct dm_redis_reply *reply = NULL;
    assert_int_equal(dm_redis_reader_next(reader, &reply), DM_OK);
    return reply;
}

static void expect(enum dm_code code)
{
    const struct dm_redis_reply *reply;
    assert_int_equal(dm_redis_reader_next(reader, &reply), code);
}

static void replies_come_whole_however_they_are_cut(void **state)
{
    (void)state;
    static const char bytes[] = "*3\r\n$5\r\nhello\r\n:-42\r\n*1\r\n$-1\r\n+OK\r\n-ERR no\r\n";
    for (size_t i = 0; i < sizeof bytes - 1; i++) {
        const struct dm_redis_reply *reply;
        assert_int_equal(dm_redis_reader_feed(reader, dm_view_make(bytes + i, 1)), DM_OK);
        enum dm_code rc = dm_redis_reader_next(reader, &reply);
        if (rc == DM_AGAIN)
            continue;
        assert_int_equal(rc, DM_OK);
        if (dm_redis_type(reply) != DM_REDIS_ARRAY)
            continue;
        assert_int_equal(dm_redis_len(reply), 3);
        assert_true(dm_view_eq(dm_redis_text(dm_redis_at(reply, 0)), DM_LIT("hello")));
        assert_int_equal(dm_redis_int(dm_redis_at(reply, 1)), -42);
        assert_int_equal(dm_redis_type(dm_redis_at(dm_redis_at(reply, 2), 0)), DM_REDIS_NIL);
    }
    expect(DM_AGAIN);
}

static void whoever_asks_for_another_type_gets_nothing(void **state)
{
    (void)state;
    feed("$2\r\n17\r\n$3\r\n1x7\r\n-ERR 5\r\n*0\r\n*-1\r\n");
    assert_int_equal(dm_redis_int(next()), 17);
    assert_int_equal(dm_redis_int(next()), 0);
    const struct dm_redis_reply *error = next();
    assert_int_equal(dm_redis_type(error), DM_REDIS_ERROR);
    assert_int_equal(dm_redis_int(error), 0);
    assert_int_equal(dm_redis_len(error), 0);
    assert_null(dm_redis_at(error, 0));
    const struct dm_redis_reply *empty = next();
    assert_int_equal(dm_redis_type(empty), DM_REDIS_ARRAY);
    assert_null(dm_redis_at(empty, 0));
    assert_int_equal(dm_redis_text(empty).len, 0);
    assert_int_equal(dm_redis_type(next()), DM_REDIS_NIL);
    assert_int_equal(dm_redis_type(NULL), DM_REDIS_NIL);
    assert_int_equal(dm_redis_len(NULL), 0);
}

static void zero_bytes_are_bytes(void **state)
{
    (void)state;
    assert_int_equal(dm_redis_reader_feed(reader, dm_view_make("$3\r\na\0b\r\n", 9)), DM_OK);
    assert_true(dm_view_eq(dm_redis_text(next()), dm_view_make("a\0b", 3)));
}

static void what_is_no_reply_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"hello\r\n", "$x\r\n",  "$-2\r\n",     ":12a\r\n",
                                        "*-2\r\n",   "\r\n",    "*1\r\nx\r\n", "%1\r\n+a\r\n+b\r\n",
                                        "#t\r\n",    ",1.5\r\n"};
    for (size_t i = 0; i < DM_COUNT_OF(wrong); i++) {
        feed(wrong[i]);
        expect(DM_PROTOCOL);
        dm_redis_reader_free(reader);
        reader = dm_redis_reader_new(pool);
    }
}

static void depth_is_bounded(void **state)
{
    (void)state;
    for (int i = 0; i < DM_REDIS_DEPTH_MAX; i++)
        feed("*1\r\n");
    feed(":1\r\n");
    assert_int_equal(dm_redis_type(next()), DM_REDIS_ARRAY);
    for (int i = 0; i < DM_REDIS_DEPTH_MAX + 2; i++)
        feed("*1\r\n");
    expect(DM_PROTOCOL);
}

static void elements_are_bounded(void **state)
{
    (void)state;
    feed("*100000000\r\n");
    expect(DM_PROTOCOL);
}

static void bytes_of_an_unfinished_element_are_bounded(void **state)
{
    (void)state;
    static char block[64 * 1024];
    const struct dm_redis_reply *reply;
    memset(block, 'x', sizeof block);
    feed("$2000000000\r\n");
    enum dm_code rc = DM_OK;
    size_t fed = 0;
    for (; rc == DM_OK && fed < 2 * (size_t)DM_REDIS_UNREAD_MAX; fed += sizeof block) {
        rc = dm_redis_reader_feed(reader, dm_view_make(block, sizeof block));
        if (rc == DM_OK)
            assert_int_equal(dm_redis_reader_next(reader, &reply), DM_AGAIN);
    }
    assert_int_equal(rc, DM_LIMIT);
    assert_true(fed <= (size_t)DM_REDIS_UNREAD_MAX + sizeof block);
}

static void a_reply_of_many_parts_is_bounded(void **state)
{
    (void)state;
    static char part[1024 * 1024 + 16];
    const struct dm_redis_reply *reply;
    memcpy(part, "$1048576\r\n", 10);
    memset(part + 10, 'x', 1024 * 1024);
    memcpy(part + 10 + 1024 * 1024, "\r\n", 2);
    feed("*1000\r\n");
    enum dm_code rc = DM_AGAIN;
    int parts = 0;
    for (; rc == DM_AGAIN && parts < 1000; parts++) {
        dm_view bytes = dm_view_make(part, 10 + 1024 * 1024 + 2);
        assert_int_equal(dm_redis_reader_feed(reader, bytes), DM_OK);
        rc = dm_redis_reader_next(reader, &reply);
    }
    assert_int_equal(rc, DM_PROTOCOL);
    assert_true(parts <= DM_REDIS_REPLY_MAX / (1024 * 1024) + 1);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(replies_come_whole_however_they_are_cut),
        FRESH(whoever_asks_for_another_type_gets_nothing),
        FRESH(zero_bytes_are_bytes),
        FRESH(what_is_no_reply_is_refused),
        FRESH(depth_is_bounded),
        FRESH(elements_are_bounded),
        FRESH(bytes_of_an_unfinished_element_are_bounded),
        FRESH(a_reply_of_many_parts_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
