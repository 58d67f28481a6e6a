#include "support.h"

#include <pthread.h>
#include <string.h>

#include "crypto/digest.h"
#include "crypto/equal.h"
#include "crypto/hmac.h"

static void sha256_has_its_published_values(void **state)
{
    (void)state;
    unsigned char out[DM_SHA256_LEN];
    dm_sha256(DM_LIT("abc"), out);
    assert_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    dm_sha256(DM_VIEW_NONE, out);
    assert_hex(out, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* RFC 4231: test cases 1, 2, 3 and 6 (a key longer than the block). */
static void hmac_has_its_published_values(void **state)
{
    (void)state;
    unsigned char key[131], data[50], out[DM_HASH_LEN_MAX];
    struct dm_hmac_key k;
    memset(key, 0x0b, 20);
    dm_hmac_sha256(dm_view_make((char *)key, 20), DM_LIT("Hi There"), out);
    assert_hex(out, 32, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    dm_hmac_sha256(DM_LIT("Jefe"), DM_LIT("what do ya want for nothing?"), out);
    assert_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key));
    memset(data, 0xdd, sizeof(data));
    dm_hmac_sha256(dm_view_make((char *)key, 20), dm_view_make((char *)data, sizeof(data)), out);
    assert_hex(out, 32, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    dm_view big = DM_LIT("Test Using Larger Than Block-Size Key - Hash Key First");
    dm_hmac_sha256(dm_view_make((char *)key, 131), big, out);
    assert_hex(out, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    dm_hmac_key_init(&k, DM_HASH_SHA384, DM_LIT("Jefe"));
    assert_int_equal(dm_hmac(&k, DM_LIT("what do ya want for nothing?"), out), 48);
    assert_hex(
        out, 48,
        "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ec"
        "fab21649");
    dm_hmac_key_init(&k, DM_HASH_SHA512, DM_LIT("Jefe"));
    assert_int_equal(dm_hmac(&k, DM_LIT("what do ya want for nothing?"), out), 64);
    assert_hex(
        out, 64,
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65"
        "f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737");
    dm_hmac_key_done(&k);
    for (size_t i = 0; i < sizeof(k); i++)
        assert_int_equal(((unsigned char *)&k)[i], 0);
}

/* RFC 5869 A.1 and A.3 */
static void hkdf_has_its_published_values(void **state)
{
    (void)state;
    unsigned char ikm[22], salt[13], info[10], out[42];
    memset(ikm, 0x0b, sizeof(ikm));
    for (size_t i = 0; i < sizeof(salt); i++)
        salt[i] = (unsigned char)i;
    for (size_t i = 0; i < sizeof(info); i++)
        info[i] = (unsigned char)(0xf0 + i);
    dm_view key = dm_view_make((char *)ikm, sizeof(ikm));
    dm_hkdf_sha256(key, dm_view_make((char *)salt, sizeof(salt)),
                   dm_view_make((char *)info, sizeof(info)), out, sizeof(out));
    assert_hex(
        out, sizeof(out),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    dm_hkdf_sha256(key, DM_VIEW_NONE, DM_VIEW_NONE, out, sizeof(out));
    assert_hex(
        out, sizeof(out),
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

static void digests_in_the_steady_state_use_no_heap_of_ours(void **state)
{
    (void)state;
    unsigned char out[DM_SHA256_LEN];
    dm_sha256(DM_LIT("x"), out);
    uint64_t before = dm_mem_count();
    for (int i = 0; i < 100; i++)
        dm_hmac_sha256(DM_LIT("key"), DM_LIT("data"), out);
    assert_int_equal(dm_mem_count(), before);
}

static void *digest_often(void *arg)
{
    unsigned char out[DM_SHA256_LEN];
    for (int i = 0; i < 1000; i++) {
        dm_sha256(DM_LIT("abc"), out);
        if (out[0] != 0xba || out[31] != 0xad)
            return arg;
    }
    return NULL;
}

static void threads_do_not_share_contexts(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (size_t i = 0; i < DM_COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, digest_often, threads), 0);
    for (size_t i = 0; i < DM_COUNT_OF(threads); i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

static void secrets_are_equal_only_when_all_bytes_are(void **state)
{
    (void)state;
    assert_true(dm_equal_secret(DM_LIT("abc"), DM_LIT("abc")));
    assert_true(dm_equal_secret(DM_VIEW_NONE, DM_LIT("")));
    assert_false(dm_equal_secret(DM_LIT("abc"), DM_LIT("abd")));
    assert_false(dm_equal_secret(DM_LIT("xbc"), DM_LIT("abc")));
    assert_false(dm_equal_secret(DM_LIT("abc"), DM_LIT("ab")));
    assert_false(dm_equal_secret(DM_LIT(""), DM_LIT("a")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_has_its_published_values),
        cmocka_unit_test(hmac_has_its_published_values),
        cmocka_unit_test(hkdf_has_its_published_values),
        cmocka_unit_test(digests_in_the_steady_state_use_no_heap_of_ours),
        cmocka_unit_test(threads_do_not_share_contexts),
        cmocka_unit_test(secrets_are_equal_only_when_all_bytes_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
