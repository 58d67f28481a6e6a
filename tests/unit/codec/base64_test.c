#include "support.h"

#include <string.h>

#include "codec/base64.h"

/* RFC 4648 §10 */
static const struct {
    const char *plain, *text;
} vectors[] = {{"", ""},
               {"f", "Zg=="},
               {"fo", "Zm8="},
               {"foo", "Zm9v"},
               {"foob", "Zm9vYg=="},
               {"fooba", "Zm9vYmE="},
               {"foobar", "Zm9vYmFy"}};

static void published_vectors_hold_both_ways(void **state)
{
    (void)state;
    struct dm_buf b;
    dm_buf_init(&b, 64);
    for (size_t i = 0; i < DM_COUNT_OF(vectors); i++) {
        dm_view plain = dm_view_of(vectors[i].plain), text = dm_view_of(vectors[i].text);
        dm_view bare = dm_view_sub(text, 0, dm_view_find_byte(text, '=', 0));
        dm_buf_clear(&b);
        dm_base64_encode(plain, &b);
        assert_view(dm_buf_view(&b), text);
        dm_buf_clear(&b);
        dm_base64url_encode(plain, true, &b);
        assert_view(dm_buf_view(&b), text);
        dm_buf_clear(&b);
        dm_base64url_encode(plain, false, &b);
        assert_view(dm_buf_view(&b), bare);
        dm_buf_clear(&b);
        assert_true(dm_base64_decode(text, &b));
        assert_view(dm_buf_view(&b), plain);
        dm_buf_clear(&b);
        assert_true(dm_base64url_decode(text, &b));
        assert_true(dm_base64url_decode(bare, &b));
        assert_int_equal(dm_buf_view(&b).len, 2 * plain.len);
        assert_int_equal(dm_base64_decode(bare, &b), bare.len == text.len);
    }
    dm_buf_done(&b);
}

static void every_byte_and_length_comes_back(void **state)
{
    (void)state;
    unsigned char all[256 + 3];
    struct dm_buf text, back;
    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (unsigned char)(i * 7 + 1);
    dm_buf_init(&text, 1000);
    dm_buf_init(&back, 1000);
    for (size_t len = 0; len <= sizeof(all); len++) {
        dm_view v = dm_view_make((const char *)all, len);
        dm_buf_clear(&text);
        dm_buf_clear(&back);
        dm_base64_encode(v, &text);
        assert_true(dm_base64_decode(dm_buf_view(&text), &back));
        assert_view(dm_buf_view(&back), v);
        dm_buf_clear(&text);
        dm_buf_clear(&back);
        dm_base64url_encode(v, false, &text);
        assert_true(dm_base64url_decode(dm_buf_view(&text), &back));
        assert_view(dm_buf_view(&back), v);
    }
    dm_buf_done(&text);
    dm_buf_done(&back);
}

static void each_bytes_value_has_one_text(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "A",    "AAAAA",    "=",        "====",   "A===",  "AA=",  "AA=A",
        "=AAA", "AAA=AAAA", "AA==AAAA", "AA==\n", " AA==", "AA A", "AB==",
        "AAB=", "AA\xff=",  "AA-_+/AA", "AAAA=",  "AAAA=="};
    struct dm_buf b;
    dm_buf_init(&b, 64);
    for (size_t i = 0; i < DM_COUNT_OF(bad); i++) {
        if (dm_base64_decode(dm_view_of(bad[i]), &b) || dm_base64url_decode(dm_view_of(bad[i]), &b))
            fail_msg("\"%s\" was decoded", bad[i]);
    }
    assert_false(dm_base64url_decode(DM_LIT("AB"), &b));
    assert_false(dm_base64url_decode(DM_LIT("AAB"), &b));
    assert_true(dm_base64url_decode(DM_LIT("-_-_"), &b));
    assert_false(dm_base64_decode(DM_LIT("-_-_"), &b));
    assert_true(dm_base64_decode(DM_LIT("+/+/"), &b));
    assert_false(dm_base64url_decode(DM_LIT("+/+/"), &b));
    dm_buf_done(&b);
}

static void decoding_to_an_array_never_exceeds_it(void **state)
{
    (void)state;
    unsigned char out[3];
    size_t len = 99;
    assert_true(dm_base64url_decode_to(DM_LIT("Zm9v"), out, 3, &len));
    assert_int_equal(len, 3);
    assert_memory_equal(out, "foo", 3);
    assert_false(dm_base64url_decode_to(DM_LIT("Zm9vYg"), out, 3, &len));
    assert_false(dm_base64url_decode_to(DM_LIT("Zm9v"), out, 2, &len));
    assert_true(dm_base64url_decode_to(DM_LIT(""), out, 0, &len));
    assert_int_equal(len, 0);
}

static void a_full_buffer_is_marked_not_exceeded(void **state)
{
    (void)state;
    struct dm_buf b;
    dm_buf_init(&b, 7);
    dm_base64_encode(DM_LIT("foob"), &b);
    assert_false(dm_buf_ok(&b));
    dm_buf_clear(&b);
    assert_false(dm_base64_decode(DM_LIT("Zm9vYmFyZm9v"), &b));
    dm_buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors_hold_both_ways),
        cmocka_unit_test(every_byte_and_length_comes_back),
        cmocka_unit_test(each_bytes_value_has_one_text),
        cmocka_unit_test(decoding_to_an_array_never_exceeds_it),
        cmocka_unit_test(a_full_buffer_is_marked_not_exceeded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
