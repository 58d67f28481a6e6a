#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "codec/deflate.h"

enum { LEN = 100000 };

static void text_comes_back(void **state)
{
    struct dm_buf text, packed, back;
    (void)state;
    dm_buf_init(&text, LEN);
    dm_buf_init(&packed, 2 * LEN); /* the worst case is longer than the text */
    dm_buf_init(&back, LEN);
    for (size_t i = 0; i < LEN; i++)
        dm_buf_add_byte(&text, (char)('a' + i % 7));
    dm_deflate(dm_buf_view(&text), &packed);
    assert_true(dm_buf_ok(&packed) && dm_buf_view(&packed).len < LEN / 50);
    assert_true(dm_inflate(dm_buf_view(&packed), LEN, &back));
    assert_true(dm_view_eq(dm_buf_view(&back), dm_buf_view(&text)));
    dm_buf_done(&text);
    dm_buf_done(&packed);
    dm_buf_done(&back);
}

static void nothing_comes_back_as_nothing(void **state)
{
    struct dm_buf packed, back;
    (void)state;
    dm_buf_init(&packed, 100);
    dm_buf_init(&back, 0);
    dm_deflate(DM_VIEW_NONE, &packed);
    assert_true(dm_inflate(dm_buf_view(&packed), 0, &back));
    assert_false(dm_inflate(DM_VIEW_NONE, 0, &back));
    dm_buf_done(&packed);
    dm_buf_done(&back);
}

static void another_length_a_cut_and_rubbish_are_refused(void **state)
{
    struct dm_buf packed, back;
    (void)state;
    dm_buf_init(&packed, 1000);
    dm_deflate(DM_LIT("what stands here is short"), &packed);
    dm_view v = dm_buf_view(&packed);
    const struct {
        dm_view text;
        size_t len;
    } bad[] = {{v, 24},
               {v, 26},
               {dm_view_sub(v, 0, v.len - 1), 25},
               {DM_LIT("rubbish"), 25},
               {DM_VIEW_NONE, 25}};
    for (size_t i = 0; i < DM_COUNT_OF(bad); i++) {
        dm_buf_init(&back, 1000);
        assert_false(dm_inflate(bad[i].text, bad[i].len, &back));
        assert_int_equal(dm_buf_view(&back).len, 0);
        dm_buf_done(&back);
    }
    dm_buf_add_byte(&packed, 'x'); /* something behind it */
    dm_buf_init(&back, 1000);
    assert_false(dm_inflate(dm_buf_view(&packed), 25, &back));
    dm_buf_done(&back);
    dm_buf_done(&packed);
}

static void nothing_is_written_past_the_cap(void **state)
{
    struct dm_buf packed, back;
    (void)state;
    dm_buf_init(&packed, 1000);
    dm_buf_init(&back, 10);
    dm_deflate(DM_LIT("what stands here is short"), &packed);
    assert_false(dm_inflate(dm_buf_view(&packed), 25, &back));
    dm_buf_done(&back);
    dm_buf_done(&packed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_comes_back),
        cmocka_unit_test(nothing_comes_back_as_nothing),
        cmocka_unit_test(another_length_a_cut_and_rubbish_are_refused),
        cmocka_unit_test(nothing_is_written_past_the_cap),
    };
    return cmocka_run_group_tests_name("deflate", tests, NULL, NULL);
}
