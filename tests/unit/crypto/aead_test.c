#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "crypto/aead.h"

/* McGrew and Viega, "The Galois/Counter Mode of Operation", test case 15 (AES-256, no additional
 * data). */
static const unsigned char key[DM_AES256_KEY_LEN] = {
    0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08,
    0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08};
static const unsigned char nonce[DM_GCM_NONCE_LEN] = {0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce,
                                                      0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88};
static const unsigned char plain[] = {
    0xd9, 0x31, 0x32, 0x25, 0xf8, 0x84, 0x06, 0xe5, 0xa5, 0x59, 0x09, 0xc5, 0xaf, 0xf5, 0x26, 0x9a,
    0x86, 0xa7, 0xa9, 0x53, 0x15, 0x34, 0xf7, 0xda, 0x2e, 0x4c, 0x30, 0x3d, 0x8a, 0x31, 0x8a, 0x72,
    0x1c, 0x3c, 0x0c, 0x95, 0x95, 0x68, 0x09, 0x53, 0x2f, 0xcf, 0x0e, 0x24, 0x49, 0xa6, 0xb5, 0x25,
    0xb1, 0x6a, 0xed, 0xf5, 0xaa, 0x0d, 0xe6, 0x57, 0xba, 0x63, 0x7b, 0x39, 0x1a, 0xaf, 0xd2, 0x55};
static const unsigned char sealed[] = {
    0x52, 0x2d, 0xc1, 0xf0, 0x99, 0x56, 0x7d, 0x07, 0xf4, 0x7f, 0x37, 0xa3, 0x2a, 0x84, 0x42, 0x7d,
    0x64, 0x3a, 0x8c, 0xdc, 0xbf, 0xe5, 0xc0, 0xc9, 0x75, 0x98, 0xa2, 0xbd, 0x25, 0x55, 0xd1, 0xaa,
    0x8c, 0xb0, 0x8e, 0x48, 0x59, 0x0d, 0xbb, 0x3d, 0xa7, 0xb0, 0x8b, 0x10, 0x56, 0x82, 0x88, 0x38,
    0xc5, 0xf6, 0x1e, 0x63, 0x93, 0xba, 0x7a, 0x0a, 0xbc, 0xc9, 0xf6, 0x62, 0x89, 0x80, 0x15, 0xad,
    0xb0, 0x94, 0xda, 0xc5, 0xd9, 0x34, 0x71, 0xbd, 0xec, 0x1a, 0x50, 0x22, 0x70, 0xe3, 0xcc, 0x6c};

static dm_view view(const unsigned char *bytes, size_t len)
{
    return dm_view_make((const char *)bytes, len);
}

static void published_vector_is_sealed_and_opened(void **state)
{
    (void)state;
    struct dm_buf out;
    dm_buf_init(&out, 1000);
    dm_aes256_gcm_seal(key, nonce, view(plain, sizeof plain), &out);
    assert_true(dm_view_eq(dm_buf_view(&out), view(sealed, sizeof sealed)));
    dm_buf_clear(&out);
    assert_int_equal(dm_aes256_gcm_open(key, nonce, view(sealed, sizeof sealed), &out), DM_OK);
    assert_true(dm_view_eq(dm_buf_view(&out), view(plain, sizeof plain)));
    dm_buf_done(&out);
}

static void any_changed_bit_is_refused_and_nothing_appended(void **state)
{
    (void)state;
    struct dm_buf out;
    dm_buf_init(&out, 1000);
    for (size_t i = 0; i < sizeof sealed * 8; i++) {
        unsigned char bad[sizeof sealed];
        memcpy(bad, sealed, sizeof bad);
        bad[i / 8] ^= (unsigned char)(1u << i % 8);
        assert_int_equal(dm_aes256_gcm_open(key, nonce, view(bad, sizeof bad), &out), DM_INVALID);
        assert_int_equal(dm_buf_view(&out).len, 0);
    }
    for (size_t len = 0; len < sizeof sealed; len++)
        assert_int_equal(dm_aes256_gcm_open(key, nonce, view(sealed, len), &out), DM_INVALID);
    dm_buf_done(&out);
}

static void empty_text_is_only_a_tag(void **state)
{
    (void)state;
    struct dm_buf out, back;
    dm_buf_init(&out, 1000);
    dm_buf_init(&back, 1000);
    dm_aes256_gcm_seal(key, nonce, DM_VIEW_NONE, &out);
    assert_int_equal(dm_buf_view(&out).len, DM_GCM_TAG_LEN);
    assert_int_equal(dm_aes256_gcm_open(key, nonce, dm_buf_view(&out), &back), DM_OK);
    assert_int_equal(dm_buf_view(&back).len, 0);
    dm_buf_done(&out);
    dm_buf_done(&back);
}

static void full_buffer_is_told(void **state)
{
    (void)state;
    struct dm_buf out;
    dm_buf_init(&out, 10);
    dm_aes256_gcm_seal(key, nonce, view(plain, sizeof plain), &out);
    assert_false(dm_buf_ok(&out));
    dm_buf_clear(&out);
    assert_int_equal(dm_aes256_gcm_open(key, nonce, view(sealed, sizeof sealed), &out), DM_LIMIT);
    dm_buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vector_is_sealed_and_opened),
        cmocka_unit_test(any_changed_bit_is_refused_and_nothing_appended),
        cmocka_unit_test(empty_text_is_only_a_tag),
        cmocka_unit_test(full_buffer_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
