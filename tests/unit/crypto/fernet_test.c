#include "support.h"

#include <string.h>

#include "codec/base64.h"
#include "crypto/digest.h"
#include "crypto/fernet.h"

/* operations.md §8.13.1 */
#define VECTOR_KEY DM_LIT("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=")
#define VECTOR_TOKEN                                                                               \
    DM_LIT(                                                                                        \
        "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64"  \
        "jVmpU4IwqDA==")

static void the_acceptance_vector_holds_both_ways(void **state)
{
    (void)state;
    struct dm_secret key = {0};
    struct dm_buf b;
    unsigned char iv[16];
    for (size_t i = 0; i < sizeof(iv); i++)
        iv[i] = (unsigned char)i;
    dm_buf_init(&b, 1000);
    dm_fernet_key(VECTOR_KEY, &key);
    dm_fernet_encrypt_iv(&key, DM_LIT("hello"), 499162800 * DM_SEC, iv, &b);
    assert_view(dm_buf_view(&b), VECTOR_TOKEN);
    dm_buf_clear(&b);
    assert_int_equal(dm_fernet_decrypt(&key, VECTOR_TOKEN, &b), DM_OK);
    assert_view(dm_buf_view(&b), DM_LIT("hello"));
    dm_buf_done(&b);
    dm_secret_done(&key);
}

static void texts_of_every_length_come_back(void **state)
{
    (void)state;
    struct dm_secret key = {0};
    struct dm_buf token, plain;
    char text[100];
    memset(text, 'x', sizeof(text));
    dm_fernet_key(DM_LIT("a passphrase"), &key);
    dm_buf_init(&token, 1000);
    dm_buf_init(&plain, 1000);
    for (size_t len = 0; len <= sizeof(text); len++) {
        dm_buf_clear(&token);
        dm_buf_clear(&plain);
        dm_fernet_encrypt(&key, dm_view_make(text, len), 1700000000 * DM_SEC, &token);
        assert_int_equal(dm_fernet_decrypt(&key, dm_buf_view(&token), &plain), DM_OK);
        assert_view(dm_buf_view(&plain), dm_view_make(text, len));
    }
    dm_buf_done(&token);
    dm_buf_done(&plain);
    dm_secret_done(&key);
}

static void the_same_text_is_sealed_differently_each_time(void **state)
{
    (void)state;
    struct dm_secret key = {0};
    struct dm_buf a, b;
    dm_fernet_key(DM_LIT("k"), &key);
    dm_buf_init(&a, 1000);
    dm_buf_init(&b, 1000);
    dm_fernet_encrypt(&key, DM_LIT("x"), 0, &a);
    dm_fernet_encrypt(&key, DM_LIT("x"), 0, &b);
    assert_false(dm_view_eq(dm_buf_view(&a), dm_buf_view(&b)));
    dm_buf_done(&a);
    dm_buf_done(&b);
    dm_secret_done(&key);
}

static void a_setting_that_is_no_key_is_hashed(void **state)
{
    (void)state;
    struct dm_secret key = {0};
    unsigned char hash[DM_SHA256_LEN];
    static const char *const settings[] = {"short", "",
                                           "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4",
                                           "cw+0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=",
                                           "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=\n"};
    for (size_t i = 0; i < DM_COUNT_OF(settings); i++) {
        dm_fernet_key(dm_view_of(settings[i]), &key);
        dm_sha256(dm_view_of(settings[i]), hash);
        assert_view(dm_secret_view(&key), dm_view_make((char *)hash, sizeof(hash)));
    }
    dm_secret_done(&key);
}

static void no_changed_bit_is_accepted(void **state)
{
    (void)state;
    struct dm_secret key = {0};
    struct dm_buf raw, token, out;
    dm_buf_init(&raw, 1000);
    dm_buf_init(&token, 1000);
    dm_buf_init(&out, 1000);
    dm_fernet_key(VECTOR_KEY, &key);
    assert_true(dm_base64url_decode(VECTOR_TOKEN, &raw));
    size_t len = dm_buf_view(&raw).len;
    for (size_t bit = 0; bit < len * 8; bit++) {
        raw.ptr_[bit / 8] = (char)(raw.ptr_[bit / 8] ^ (1 << bit % 8));
        dm_buf_clear(&token);
        dm_base64url_encode(dm_buf_view(&raw), true, &token);
        assert_int_not_equal(dm_fernet_decrypt(&key, dm_buf_view(&token), &out), DM_OK);
        raw.ptr_[bit / 8] = (char)(raw.ptr_[bit / 8] ^ (1 << bit % 8));
    }
    assert_int_equal(dm_buf_view(&out).len, 0);
    dm_buf_done(&raw);
    dm_buf_done(&token);
    dm_buf_done(&out);
    dm_secret_done(&key);
}

static void cut_grown_and_foreign_tokens_are_refused(void **state)
{
    (void)state;
    struct dm_secret key = {0}, other = {0};
    struct dm_buf out;
    dm_buf_init(&out, 1000);
    dm_fernet_key(VECTOR_KEY, &key);
    dm_fernet_key(DM_LIT("another"), &other);
    assert_int_equal(dm_fernet_decrypt(&other, VECTOR_TOKEN, &out), DM_DENIED);
    for (size_t len = 0; len < VECTOR_TOKEN.len; len++)
        assert_int_not_equal(dm_fernet_decrypt(&key, dm_view_sub(VECTOR_TOKEN, 0, len), &out),
                             DM_OK);
    static const char *const bad[] = {
        "hello", "gAAA", "====",
        "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJ"
        "obwOz7JcbmrR64jVmpU4IwqDA==AAAA"};
    for (size_t i = 0; i < DM_COUNT_OF(bad); i++)
        assert_int_equal(dm_fernet_decrypt(&key, dm_view_of(bad[i]), &out), DM_INVALID);
    dm_buf_done(&out);
    dm_buf_init(&out, 3);
    assert_int_equal(dm_fernet_decrypt(&key, VECTOR_TOKEN, &out), DM_LIMIT);
    dm_buf_done(&out);
    dm_secret_done(&key);
    dm_secret_done(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_acceptance_vector_holds_both_ways),
        cmocka_unit_test(texts_of_every_length_come_back),
        cmocka_unit_test(the_same_text_is_sealed_differently_each_time),
        cmocka_unit_test(a_setting_that_is_no_key_is_hashed),
        cmocka_unit_test(no_changed_bit_is_accepted),
        cmocka_unit_test(cut_grown_and_foreign_tokens_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
