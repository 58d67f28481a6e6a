#include "support.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "codec/regex.h"

static struct dm_regex *compile(dm_view pattern, bool nocase)
{
    struct dm_regex *re = NULL;
    struct dm_error err = {0};
    if (dm_regex_new(pattern, nocase, &re, &err) != DM_OK)
        fail_msg("%s", err.text);
    return re;
}

static void patterns_match_anywhere_unless_anchored(void **state)
{
    (void)state;
    struct dm_regex *re = compile(DM_LIT("b+"), false);
    assert_int_equal(dm_regex_match(re, DM_LIT("abbc")), DM_OK);
    assert_int_equal(dm_regex_match(re, DM_LIT("ac")), DM_NOT_FOUND);
    assert_int_equal(dm_regex_match(re, DM_VIEW_NONE), DM_NOT_FOUND);
    assert_int_equal(dm_regex_match(re, DM_LIT("B")), DM_NOT_FOUND);
    dm_regex_free(re);
    re = compile(DM_LIT("^https://[a-z]+\\.example\\.com$"), true);
    assert_int_equal(dm_regex_match(re, DM_LIT("HTTPS://APP.example.com")), DM_OK);
    assert_int_equal(dm_regex_match(re, DM_LIT("https://app.example.com.evil")), DM_NOT_FOUND);
    dm_regex_free(re);
    dm_regex_free(NULL);
}

static void patterns_and_texts_are_utf8(void **state)
{
    (void)state;
    struct dm_regex *re = compile(DM_LIT("^.$"), false);
    assert_int_equal(dm_regex_match(re, DM_LIT("\xc3\xa9")), DM_OK);
    assert_int_equal(dm_regex_match(re, DM_LIT("\xff")), DM_NOT_FOUND);
    dm_regex_free(re);
}

static void bad_patterns_are_refused_with_their_place(void **state)
{
    (void)state;
    struct dm_regex *re = (struct dm_regex *)8;
    struct dm_error err = {0};
    assert_int_equal(dm_regex_new(DM_LIT("a(b"), false, &re, &err), DM_INVALID);
    assert_non_null(strstr(err.text, "at byte 3"));
    assert_int_equal(dm_regex_new(DM_LIT("[a"), false, &re, &err), DM_INVALID);
    assert_int_equal(dm_regex_new(DM_LIT("\xff"), false, &re, &err), DM_INVALID);
    assert_int_equal(dm_regex_new(DM_LIT("\\C"), false, &re, &err), DM_INVALID);
    char *longer = calloc(1, 5000);
    memset(longer, 'a', 5000);
    assert_int_equal(dm_regex_new(dm_view_make(longer, 5000), false, &re, &err), DM_LIMIT);
    free(longer);
    assert_ptr_equal(re, (struct dm_regex *)8);
}

static void endless_backtracking_ends_at_a_limit(void **state)
{
    (void)state;
    struct dm_regex *re = compile(DM_LIT("^(a|aa)+$"), false);
    char text[64];
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = 'b';
    assert_int_equal(dm_regex_match(re, dm_view_make(text, sizeof(text))), DM_LIMIT);
    assert_int_equal(dm_regex_match(re, DM_LIT("aaa")), DM_OK); /* and nothing stays broken */
    dm_regex_free(re);
}

static void deep_recursion_ends_at_a_limit(void **state)
{
    (void)state;
    struct dm_regex *re = compile(DM_LIT("^(\\((?1)*\\)|a)$"), false);
    size_t len = 200000;
    char *text = calloc(1, len);
    memset(text, '(', len / 2);
    memset(text + len / 2, ')', len / 2);
    assert_int_equal(dm_regex_match(re, dm_view_make(text, len)), DM_LIMIT);
    free(text);
    dm_regex_free(re);
}

static void *match_often(void *arg)
{
    for (int i = 0; i < 1000; i++) {
        if (dm_regex_match(arg, DM_LIT("xxabcyy")) != DM_OK ||
            dm_regex_match(arg, DM_LIT("xxabyy")) != DM_NOT_FOUND)
            return arg;
    }
    return NULL;
}

static void one_pattern_serves_many_threads(void **state)
{
    (void)state;
    struct dm_regex *re = compile(DM_LIT("ab(c|d)"), false);
    pthread_t threads[4];
    for (size_t i = 0; i < DM_COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, match_often, re), 0);
    for (size_t i = 0; i < DM_COUNT_OF(threads); i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    dm_regex_free(re);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_match_anywhere_unless_anchored),
        cmocka_unit_test(patterns_and_texts_are_utf8),
        cmocka_unit_test(bad_patterns_are_refused_with_their_place),
        cmocka_unit_test(endless_backtracking_ends_at_a_limit),
        cmocka_unit_test(deep_recursion_ends_at_a_limit),
        cmocka_unit_test(one_pattern_serves_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
