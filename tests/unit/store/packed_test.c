/* Packing is exact for every text, short for records, and keeps equal tokens equal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "store/packed.h"

static size_t round_trip(dm_view text)
{
    struct dm_buf packed, back;

    dm_buf_init(&packed, 1 << 20);
    dm_buf_init(&back, 1 << 20);
    dm_pack(text, &packed);
    dm_unpack(dm_buf_view(&packed), &back);
    assert_true(dm_buf_ok(&packed) && dm_buf_ok(&back));
    assert_true(dm_view_eq(dm_buf_view(&back), text));
    size_t len = dm_buf_view(&packed).len;
    dm_buf_done(&packed);
    dm_buf_done(&back);
    return len;
}

static const dm_view endpoint =
    DM_LIT("{\"api_name\":\"orders\",\"endpoint_method\":\"GET\",\"api_id\":"
           "\"6a1f0000-0000-4000-8000-0123456789ab\",\"endpoint_id\":\"ffffffff-ffff-ffff-ffff-"
           "ffffffffffff\"}");

static void record_loses_its_names_and_the_form_of_its_ids(void **state)
{
    (void)state;
    /* braces and commas, four names, two UUIDs, two other values */
    assert_int_equal(round_trip(endpoint), 5 + 4 * 2 + 2 * 17 + sizeof "\"orders\"\"GET\"" - 1);
}

static void texts_that_only_look_like_tokens_come_back(void **state)
{
    (void)state;
    static const dm_view texts[] = {
        DM_LIT(""),
        DM_LIT("\""),
        DM_LIT("\"\""),
        DM_LIT("\":"),
        DM_LIT("\"\":"),
        DM_LIT("\"api_name\""),
        DM_LIT("\"api_name\" :"),
        DM_LIT("\"api_name"),
        DM_LIT("\"api_namex\":1"),
        DM_LIT("{\"x\":\"\\\"api_name\\\":\"}"),
        DM_LIT("{\"x\":\"a\\\"6a1f0000-0000-4000-8000-0123456789ab\"}"),
        DM_LIT("\"6a1f0000-0000-4000-8000-0123456789ab"),
        DM_LIT("\"6A1F0000-0000-4000-8000-0123456789AB\""),
        DM_LIT("\"6a1f0000-0000-4000-8000-0123456789abc\""),
        DM_LIT("\"6a1f00000-000-4000-8000-0123456789ab\""),
        DM_LIT("\"6a1f0000-0000-4000-8000-0123456789g0\""),
        DM_LIT("\"a name that is longer than any name of a table can be\":"),
        DM_LIT("\"\xc3\xa4\xf0\x9f\x98\x80\xff\x7f\""),
    };
    for (size_t i = 0; i < DM_COUNT_OF(texts); i++)
        (void)round_trip(texts[i]);
}

static void bytes_that_are_no_json_come_back(void **state)
{
    (void)state;
    char all[256 * 2];
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (char)i;
    assert_int_equal(round_trip(dm_view_make(all, sizeof all)), sizeof all + 2 * 0x20);
}

/* Pieces of tokens in any order, also cut in the middle: a fixed generator, so a failure repeats.
 */
static void any_mixture_of_pieces_comes_back(void **state)
{
    (void)state;
    static const char *const pieces[] = {"\"",
                                         "api_id",
                                         "\":",
                                         "\"api_name\":",
                                         "{",
                                         "}",
                                         ",",
                                         "\\",
                                         "6a1f0000-0000-4000-8000-0123456789ab",
                                         "-",
                                         "8000",
                                         "\"6a1f0000-0000-4000-8000-0123456789ab\"",
                                         "\1",
                                         "\3\1",
                                         "\2",
                                         "null"};
    uint32_t random = 1;
    for (int round = 0; round < 20000; round++) {
        char text[512];
        size_t len = 0;
        for (int i = 0; i < 8; i++) {
            random = random * 1664525 + 1013904223;
            const char *piece = pieces[(random >> 16) % DM_COUNT_OF(pieces)];
            memcpy(text + len, piece, strlen(piece));
            len += strlen(piece);
        }
        (void)round_trip(dm_view_make(text, len - (random >> 8) % 2));
    }
}

static void packed_member_stands_in_every_packed_object_that_holds_it(void **state)
{
    (void)state;
    static const dm_view members[] = {
        DM_LIT("\"api_name\":\"orders\""),
        DM_LIT("\"api_id\":\"6a1f0000-0000-4000-8000-0123456789ab\""),
        DM_LIT("\"endpoint_id\":\"ffffffff-ffff-ffff-ffff-ffffffffffff\""),
        DM_LIT("\"GET\""),
    };
    struct dm_buf whole;
    dm_buf_init(&whole, 4096);
    dm_pack(endpoint, &whole);
    for (size_t i = 0; i < DM_COUNT_OF(members); i++) {
        struct dm_buf member;
        dm_buf_init(&member, 4096);
        dm_pack(members[i], &member);
        assert_true(dm_view_find(dm_buf_view(&whole), dm_buf_view(&member)) <
                    dm_buf_view(&whole).len);
        dm_buf_done(&member);
    }
    dm_buf_done(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record_loses_its_names_and_the_form_of_its_ids),
        cmocka_unit_test(texts_that_only_look_like_tokens_come_back),
        cmocka_unit_test(bytes_that_are_no_json_come_back),
        cmocka_unit_test(any_mixture_of_pieces_comes_back),
        cmocka_unit_test(packed_member_stands_in_every_packed_object_that_holds_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
