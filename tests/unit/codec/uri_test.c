#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "codec/uri.h"

struct fixture {
    struct dm_arena_pool *pool;
    struct dm_arena arena;
    struct dm_target t;
    dm_view authority;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->pool = dm_arena_pool_new(4096, 4);
    dm_arena_init(&f->arena, f->pool, 64 * 1024);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    dm_arena_reset(&f->arena);
    dm_arena_pool_free(f->pool);
    free(f);
    return 0;
}

static enum dm_code parse(struct fixture *f, dm_view target)
{
    char *owner;
    dm_arena_reset(&f->arena);
    memset(&f->t, 0xA5, sizeof(f->t));
    dm_view v = exact(target, &owner);
    enum dm_code code = dm_target_parse(v, &f->arena, &f->t, &f->authority);
    if (code == DM_OK) { /* the result borrows from the target: keep it as long as the fixture */
        char *keep = dm_arena_alloc(&f->arena, v.len);
        memcpy(keep, v.ptr, v.len);
        code = dm_target_parse(dm_view_make(keep, v.len), &f->arena, &f->t, &f->authority);
    }
    free(owner);
    return code;
}

static void assert_path(struct fixture *f, dm_view want)
{
    struct dm_buf b;
    dm_buf_init(&b, 4096);
    dm_target_write_path(&f->t, 0, &b);
    assert_view(dm_buf_view(&b), want);
    dm_buf_done(&b);
}

static void a_target_is_split_into_decoded_segments(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, DM_LIT("/api/rest/a%20b/v1/%41%c3%a9?x=%2f&y")), DM_OK);
    assert_int_equal(f->t.n_segments, 5);
    assert_view(f->t.segments[0], DM_LIT("api"));
    assert_view(f->t.segments[2], DM_LIT("a b"));
    assert_view(f->t.segments[4], DM_LIT("A\xc3\xa9"));
    assert_view(f->t.raw_path, DM_LIT("/api/rest/a%20b/v1/%41%c3%a9"));
    assert_view(f->t.raw_query, DM_LIT("x=%2f&y"));
    assert_false(f->t.trailing_slash);
    assert_int_equal(f->authority.len, 0);
    assert_path(f, DM_LIT("/api/rest/a%20b/v1/A%C3%A9"));
}

static void empty_segments_vanish(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, DM_LIT("//a///b/")), DM_OK);
    assert_int_equal(f->t.n_segments, 2);
    assert_true(f->t.trailing_slash);
    assert_path(f, DM_LIT("/a/b"));
    assert_int_equal(parse(f, DM_LIT("/")), DM_OK);
    assert_int_equal(f->t.n_segments, 0);
    assert_false(f->t.trailing_slash);
    assert_path(f, DM_LIT("/"));
    assert_int_equal(parse(f, DM_LIT("///?")), DM_OK);
    assert_non_null(f->t.raw_query.ptr);
    assert_int_equal(f->t.raw_query.len, 0);
    assert_path(f, DM_LIT("/"));
}

static void without_a_question_mark_there_is_no_query(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, DM_LIT("/a")), DM_OK);
    assert_null(f->t.raw_query.ptr);
    assert_int_equal(parse(f, DM_LIT("/a?b?c=/../")), DM_OK); /* the query is not the path */
    assert_view(f->t.raw_query, DM_LIT("b?c=/../"));
}

static void segments_that_could_leave_the_path_are_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {
        "/.",      "/..",           "/a/../b",  "/a/./b",          "/%2e",
        "/%2e%2e", "/%2E%2e/x",     "/.%2e",    "/a/%2e./b",       "/..;/a",
        "/.;x/a",  "/%2e%2e;a=b/c", "/..%3b/a", "/a%2fb",          "/a%2Fb",
        "/%2f",    "/a%5cb",        "/a\\b",    "/..\\a",          "/a%3fb",
        "/a%23b",  "/a%00b",        "/%00",     "/a%0ab",          "/a%0d",
        "/a%1f",   "/a%7f",         "/a%09",    "/%c0%ae%c0%ae/a", "/%c0%af",
        "/%ff",    "/%ed%a0%80",    "/%c3",     "/a%c3/%a9"};
    for (size_t i = 0; i < DM_COUNT_OF(bad); i++) {
        if (parse(f, dm_view_of(bad[i])) != DM_INVALID)
            fail_msg("%s was taken", bad[i]);
    }
}

static void bad_escapes_and_bytes_are_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {"/%",     "/%2",    "/a%",       "/a%4",    "/%zz",   "/%g0",
                                      "/%0g",   "/%%41",  "/%u0041",   "/a b",    "/a\tb",  "/a#b",
                                      "/a?b#c", "/a\x7f", "/\xc3\xa9", "/a?\xff", "/a?x y", "",
                                      "a",      "a/b",    "*",         "?x"};
    for (size_t i = 0; i < DM_COUNT_OF(bad); i++) {
        if (parse(f, dm_view_of(bad[i])) != DM_INVALID)
            fail_msg("%s was taken", bad[i]);
    }
    assert_int_equal(parse(f, dm_view_make("/a\0b", 4)), DM_INVALID);
    assert_int_equal(parse(f, dm_view_make("/a?\r\n", 5)), DM_INVALID);
}

static void segments_that_only_look_dangerous_pass(void **state)
{
    struct fixture *f = *state;
    static const char *const good[] = {"/...",           "/.a",         "/a.",       "/..a",
                                       "/a..b",          "/%252e%252e", "/a;..",     "/a%252fb",
                                       "/:@!$&'()*+,;=", "/~a-b_c.d",   "/%7Bid%7D", "/a%20"};
    for (size_t i = 0; i < DM_COUNT_OF(good); i++) {
        if (parse(f, dm_view_of(good[i])) != DM_OK)
            fail_msg("%s was refused", good[i]);
        assert_path(f, dm_view_of(good[i]));
    }
}

static void absolute_form_gives_its_authority(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, DM_LIT("http://a.example:81/x/y?z")), DM_OK);
    assert_view(f->authority, DM_LIT("a.example:81"));
    assert_view(f->t.raw_path, DM_LIT("/x/y"));
    assert_view(f->t.raw_query, DM_LIT("z"));
    assert_int_equal(parse(f, DM_LIT("HTTPS://[::1]")), DM_OK);
    assert_view(f->authority, DM_LIT("[::1]"));
    assert_view(f->t.raw_path, DM_LIT("/"));
    assert_int_equal(parse(f, DM_LIT("http://h?q")), DM_OK);
    assert_view(f->t.raw_path, DM_LIT("/"));
    assert_view(f->t.raw_query, DM_LIT("q"));
    static const char *const bad[] = {
        "http:/a",       "http://",     "http:///a",       "ftp://h/a",   "http://u@h/",
        "http://u:p@h/", "http://h:0/", "http://h:99999/", "http://a b/", "h:80",
        "http",          "://h/",       "http://h/../a",   "http://-h/"};
    for (size_t i = 0; i < DM_COUNT_OF(bad); i++) {
        if (parse(f, dm_view_of(bad[i])) != DM_INVALID)
            fail_msg("%s was taken", bad[i]);
    }
}

static void paths_have_a_limit_of_segments(void **state)
{
    struct fixture *f = *state;
    char path[2 * (DM_URI_SEGMENTS_MAX + 1)];
    for (size_t i = 0; i < sizeof(path); i += 2)
        memcpy(path + i, "/a", 2);
    assert_int_equal(parse(f, dm_view_make(path, sizeof(path) - 2)), DM_OK);
    assert_int_equal(f->t.n_segments, DM_URI_SEGMENTS_MAX);
    assert_int_equal(parse(f, dm_view_make(path, sizeof(path))), DM_INVALID);
}

static void a_full_arena_is_a_limit_not_a_crash(void **state)
{
    struct fixture *f = *state;
    struct dm_arena tiny;
    dm_arena_init(&tiny, f->pool, 8);
    assert_int_equal(dm_target_parse(DM_LIT("/%41aaaaaaaaaaaaaaaa"), &tiny, &f->t, NULL), DM_LIMIT);
    assert_int_equal(dm_target_parse(DM_LIT("/Aaaaaaaaaaaaaaaaa"), &tiny, &f->t, NULL), DM_OK);
    assert_int_equal(dm_arena_used(&tiny), 0); /* nothing to decode, nothing taken */
    dm_arena_reset(&tiny);
}

static void a_tail_of_the_path_can_be_written(void **state)
{
    struct fixture *f = *state;
    struct dm_buf b;
    dm_buf_init(&b, 64);
    assert_int_equal(parse(f, DM_LIT("/api/rest/n/v1/x%20y/z")), DM_OK);
    dm_target_write_path(&f->t, 4, &b);
    assert_view(dm_buf_view(&b), DM_LIT("/x%20y/z"));
    dm_buf_clear(&b);
    dm_target_write_path(&f->t, 6, &b);
    assert_view(dm_buf_view(&b), DM_LIT("/"));
    dm_buf_done(&b);
}

/* Every allowed segment, encoded and parsed again, is itself. A fixed generator: failures repeat.
 */
static void encoding_and_parsing_are_inverse(void **state)
{
    struct fixture *f = *state;
    struct dm_buf b;
    uint32_t seed = 12345;
    dm_buf_init(&b, 4096);
    for (int round = 0; round < 20000; round++) {
        char segment[12];
        size_t len = 1 + (seed >> 8) % sizeof(segment);
        for (size_t i = 0; i < len; i++) {
            seed = seed * 1664525 + 1013904223;
            segment[i] = (char)(seed >> 24);
        }
        dm_view v = dm_view_make(segment, len);
        dm_buf_clear(&b);
        dm_buf_add_byte(&b, '/');
        dm_uri_encode_segment(v, &b);
        bool taken = parse(f, dm_buf_view(&b)) == DM_OK;
        bool allowed = dm_utf8_valid(v);
        for (size_t i = 0; i < len; i++)
            allowed = allowed && (unsigned char)segment[i] >= 0x20 && segment[i] != 0x7F &&
                      strchr("/?#\\", segment[i]) == NULL;
        dm_view name = dm_view_sub(v, 0, dm_view_find_byte(v, ';', 0));
        allowed = allowed && !dm_view_eq(name, DM_LIT(".")) && !dm_view_eq(name, DM_LIT(".."));
        assert_int_equal(taken, allowed);
        if (taken)
            assert_view(f->t.segments[0], v);
    }
    dm_buf_done(&b);
}

static void decoding_handles_plus_only_when_told(void **state)
{
    (void)state;
    struct dm_buf b;
    dm_buf_init(&b, 64);
    assert_true(dm_uri_decode(DM_LIT("a+b%2B%20"), true, &b));
    assert_view(dm_buf_view(&b), DM_LIT("a b+ "));
    dm_buf_clear(&b);
    assert_true(dm_uri_decode(DM_LIT("a+b"), false, &b));
    assert_view(dm_buf_view(&b), DM_LIT("a+b"));
    assert_false(dm_uri_decode(DM_LIT("%"), false, &b));
    assert_false(dm_uri_decode(DM_LIT("%4"), false, &b));
    assert_false(dm_uri_decode(DM_LIT("a%00"), false, &b));
    dm_buf_done(&b);
    dm_buf_init(&b, 2);
    assert_false(dm_uri_decode(DM_LIT("abc"), false, &b));
    dm_buf_done(&b);
}

static void query_parameters_are_found_and_decoded(void **state)
{
    (void)state;
    static const struct {
        const char *query, *name, *value; /* value NULL: not found */
    } rows[] = {{"a=1&b=2", "b", "2"},
                {"a=1&a=2", "a", "1"},
                {"a", "a", ""},
                {"a=", "a", ""},
                {"ab=1", "a", NULL},
                {"", "a", NULL},
                {"&&a=1", "a", "1"},
                {"%61=x%20y+z", "a", "x y z"},
                {"a=b=c", "a", "b=c"},
                {"a=%zz", "a", NULL},
                {"a=%00", "a", NULL},
                {"x%3Da=1", "x=a", "1"},
                {"%6=1&%61%=2&a=3", "a", "3"},
                {"p+q=1", "p q", "1"}};
    struct dm_buf b;
    dm_buf_init(&b, 64);
    for (size_t i = 0; i < DM_COUNT_OF(rows); i++) {
        dm_buf_clear(&b);
        bool found = dm_query_get(dm_view_of(rows[i].query), dm_view_of(rows[i].name), &b);
        if (found != (rows[i].value != NULL))
            fail_msg("%s in %s", rows[i].name, rows[i].query);
        if (found)
            assert_view(dm_buf_view(&b), dm_view_of(rows[i].value));
    }
    assert_false(dm_query_get(DM_VIEW_NONE, DM_LIT("a"), &b));
    dm_buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_target_is_split_into_decoded_segments, set_up, tear_down),
        cmocka_unit_test_setup_teardown(empty_segments_vanish, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_question_mark_there_is_no_query, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(segments_that_could_leave_the_path_are_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(bad_escapes_and_bytes_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(segments_that_only_look_dangerous_pass, set_up, tear_down),
        cmocka_unit_test_setup_teardown(absolute_form_gives_its_authority, set_up, tear_down),
        cmocka_unit_test_setup_teardown(paths_have_a_limit_of_segments, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_arena_is_a_limit_not_a_crash, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_tail_of_the_path_can_be_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(encoding_and_parsing_are_inverse, set_up, tear_down),
        cmocka_unit_test(decoding_handles_plus_only_when_told),
        cmocka_unit_test(query_parameters_are_found_and_decoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
