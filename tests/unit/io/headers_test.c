#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/headers.h"

static void every_known_name_is_found_in_any_case(void **state)
{
    (void)state;
    for (int id = 1; id < DM_HDR_COUNT_; id++) {
        dm_view name = dm_header_name((enum dm_header_id)id);
        char lower[64], upper[64], other[64];
        for (size_t i = 0; i < name.len; i++) {
            lower[i] = (char)tolower(name.ptr[i]);
            upper[i] = (char)toupper(name.ptr[i]);
            other[i] = name.ptr[i];
        }
        assert_int_equal(dm_header_find(name), id);
        assert_int_equal(dm_header_find(dm_view_make(lower, name.len)), id);
        assert_int_equal(dm_header_find(dm_view_make(upper, name.len)), id);
        other[name.len] = 'x';
        assert_int_not_equal(dm_header_find(dm_view_make(other, name.len + 1)), id);
        other[0] ^= 1;
        assert_int_not_equal(dm_header_find(dm_view_make(other, name.len)), id);
        assert_int_not_equal(dm_header_find(dm_view_make(name.ptr, name.len - 1)), id);
    }
    assert_int_equal(dm_header_find(DM_LIT("")), DM_HDR_OTHER);
    assert_int_equal(dm_header_find(DM_LIT("X-Nobody-Knows")), DM_HDR_OTHER);
    assert_int_equal(dm_header_find(DM_LIT("Content_Length")), DM_HDR_OTHER);
}

static void the_rules_of_forwarding_are_in_the_table(void **state)
{
    (void)state;
    static const char *const hop[] = {
        "connection", "keep-alive", "proxy-connection", "te",    "trailer", "transfer-encoding",
        "upgrade",    "host",       "content-length",   "expect"};
    static const char *const never[] = {
        "authorization", "proxy-authorization", "www-authenticate", "x-api-key", "api-key",
        "cookie",        "set-cookie",          "x-csrf-token",     "csrf-token"};
    static const char *const request[] = {
        "accept",           "accept-language",  "accept-unheard-of", "content-type",
        "content-encoding", "content-language", "user-agent",        "range",
        "if-match",         "if-unheard-of",    "cache-control",     "pragma",
        "idempotency-key",  "traceparent",      "tracestate",        "soapaction"};
    static const char *const response[] = {"content-type",
                                           "content-disposition",
                                           "content-unheard-of",
                                           "cache-control",
                                           "etag",
                                           "last-modified",
                                           "expires",
                                           "age",
                                           "vary",
                                           "date",
                                           "location",
                                           "link",
                                           "allow",
                                           "accept-ranges",
                                           "retry-after"};
    static const struct {
        const char *const *names;
        size_t n;
        unsigned flag;
    } sets[] = {{hop, DM_COUNT_OF(hop), DM_HF_HOP},
                {never, DM_COUNT_OF(never), DM_HF_NEVER},
                {request, DM_COUNT_OF(request), DM_HF_REQUEST},
                {response, DM_COUNT_OF(response), DM_HF_RESPONSE}};
    for (size_t s = 0; s < DM_COUNT_OF(sets); s++)
        for (size_t i = 0; i < sets[s].n; i++) {
            dm_view name = dm_view_of(sets[s].names[i]);
            if ((dm_header_flags_of(dm_header_find(name), name) & sets[s].flag) == 0)
                fail_msg("%s", sets[s].names[i]);
        }
    /* what may be named explicitly, and what may not even then */
    assert_true(dm_header_flags(DM_HDR_COOKIE) & DM_HF_EXPLICIT);
    assert_true(dm_header_flags(DM_HDR_AUTHORIZATION) & DM_HF_EXPLICIT);
    assert_false(dm_header_flags(DM_HDR_X_API_KEY) & DM_HF_EXPLICIT);
    /* an answer's policy is ours: content-* does not let it through */
    assert_int_equal(dm_header_flags(DM_HDR_CONTENT_SECURITY_POLICY), DM_HF_SECURITY);
    assert_true(dm_header_flags_of(DM_HDR_OTHER, DM_LIT("X-Forwarded-Anything")) & DM_HF_OURS);
    assert_true(dm_header_flags_of(DM_HDR_OTHER, DM_LIT("X-Doorman-Internal-Y")) & DM_HF_INTERNAL);
    assert_int_equal(dm_header_flags_of(DM_HDR_OTHER, DM_LIT("X-Own")), 0);
    assert_int_equal(dm_header_flags(DM_HDR_OTHER), 0);
}

static void fields_keep_their_order_and_grow_to_the_cap(void **state)
{
    (void)state;
    struct dm_arena_pool *pool = dm_arena_pool_new(4096, 2);
    struct dm_arena a;
    dm_arena_init(&a, pool, 4096);
    struct dm_fields f = {0};
    size_t added = 0;
    while (dm_fields_add(&f, &a, added % 2 == 0 ? DM_HDR_VARY : DM_HDR_OTHER, DM_LIT("N"),
                         DM_LIT("v")))
        added++;
    assert_int_equal(f.count, added);
    assert_true(added >= 16 && added <= 64); /* 16, 32 and 64 lines would be 4480 bytes */
    assert_true(dm_view_eq(dm_fields_get(&f, DM_HDR_VARY), DM_LIT("v")));
    assert_null(dm_fields_get(&f, DM_HDR_ETAG).ptr);
    assert_true(dm_view_eq(dm_fields_get_name(&f, DM_LIT("n")), DM_LIT("v")));
    assert_null(dm_fields_get_name(&f, DM_LIT("m")).ptr);
    dm_arena_reset(&a);
    dm_arena_pool_free(pool);
}

static void lists_are_cut_at_commas(void **state)
{
    (void)state;
    assert_true(dm_list_has_token(DM_LIT("a, B ,c"), DM_LIT("b")));
    assert_true(dm_list_has_token(DM_LIT("close"), DM_LIT("CLOSE")));
    assert_false(dm_list_has_token(DM_LIT("closed, a close"), DM_LIT("close")));
    assert_false(dm_list_has_token(DM_LIT(""), DM_LIT("close")));
    struct dm_field_line lines[] = {{DM_LIT("Connection"), DM_LIT("x"), DM_HDR_CONNECTION},
                                    {DM_LIT("Other"), DM_LIT("z"), DM_HDR_OTHER},
                                    {DM_LIT("Connection"), DM_LIT("y, x-mine"), DM_HDR_CONNECTION}};
    struct dm_fields f = {lines, 3, 3};
    assert_true(dm_fields_connection_lists(&f, DM_LIT("X-Mine")));
    assert_false(dm_fields_connection_lists(&f, DM_LIT("z")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_known_name_is_found_in_any_case),
        cmocka_unit_test(the_rules_of_forwarding_are_in_the_table),
        cmocka_unit_test(fields_keep_their_order_and_grow_to_the_cap),
        cmocka_unit_test(lists_are_cut_at_commas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
