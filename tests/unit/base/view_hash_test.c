#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/view.h"

/* Vectors of an independent SipHash-1-3: CPython 3.11 with PYTHONHASHSEED=0, which sets the key to
 * 0. */
static void hashes_equal_those_of_an_independent_siphash_1_3(void **state)
{
    (void)state;
    char bytes[63];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)i;
    assert_true(dm_view_siphash(DM_LIT("a"), 0, 0) == 0x407448d2b89b1813u);
    assert_true(dm_view_siphash(DM_LIT("1234567"), 0, 0) == 0xa33d651594fdae81u);
    assert_true(dm_view_siphash(DM_LIT("12345678"), 0, 0) == 0x3489982430560a87u);
    assert_true(dm_view_siphash(DM_LIT("123456789"), 0, 0) == 0x0fbc0f0007965fcfu);
    assert_true(dm_view_siphash(dm_view_make(bytes, sizeof bytes), 0, 0) == 0x385d3e39e5f37359u);
}

static void both_halves_of_the_key_count(void **state)
{
    (void)state;
    uint64_t plain = dm_view_siphash(DM_LIT("a"), 0, 0);
    assert_true(plain != dm_view_siphash(DM_LIT("a"), 1, 0));
    assert_true(plain != dm_view_siphash(DM_LIT("a"), 0, 1));
}

static void a_table_hash_is_keyed_and_depends_on_its_seed(void **state)
{
    (void)state;
    assert_true(dm_view_hash(DM_LIT("a"), 5) == dm_view_hash(DM_LIT("a"), 5));
    assert_true(dm_view_hash(DM_LIT("a"), 5) != dm_view_hash(DM_LIT("a"), 6));
    assert_true(dm_view_hash(DM_LIT("a"), 5) != dm_view_hash(DM_LIT("b"), 5));
    assert_true(dm_view_hash(DM_LIT("a"), 0) != dm_view_siphash(DM_LIT("a"), 0, 0));
    assert_true(dm_view_hash(DM_VIEW_NONE, 1) == dm_view_hash(DM_LIT(""), 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_equal_those_of_an_independent_siphash_1_3),
        cmocka_unit_test(both_halves_of_the_key_count),
        cmocka_unit_test(a_table_hash_is_keyed_and_depends_on_its_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
