#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "codec/base64.h"
#include "crypto/ed25519.h"

/* RFC 8032 §7.1, test 2. */
#define SEED "TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs="
#define PUBLIC "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw="
static const unsigned char signature_of_r[DM_ED25519_LEN] = {
    0x92, 0xa0, 0x09, 0xa9, 0xf0, 0xd4, 0xca, 0xb8, 0x72, 0x0e, 0x82, 0x0b, 0x5f, 0x64, 0x25, 0x40,
    0xa2, 0xb2, 0x7b, 0x54, 0x16, 0x50, 0x3f, 0x8f, 0xb3, 0x76, 0x22, 0x23, 0xeb, 0xdb, 0x69, 0xda,
    0x08, 0x5a, 0xc1, 0xe4, 0x3e, 0x15, 0x99, 0x6e, 0x45, 0x8f, 0x36, 0x13, 0xd0, 0xf1, 0x1d, 0x8c,
    0x38, 0x7b, 0x2e, 0xae, 0xb4, 0x30, 0x2a, 0xee, 0xb0, 0x0d, 0x29, 0x16, 0x12, 0xbb, 0x0c, 0x00};

/* Made by `openssl genpkey -algorithm ed25519` for these tests. */
#define PEM_PRIVATE                                                                                \
    "-----BEGIN PRIVATE KEY-----\\nMC4CAQAwBQYDK2VwBCIEIEzNCJso/5banbbDRuwRTg9bijGfNaumJNqM9u1P"   \
    "uKb7\\n-----END PRIVATE KEY-----\\n"
#define PEM_PUBLIC                                                                                 \
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=\n"   \
    "-----END PUBLIC KEY-----\n"
#define OTHER "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

static struct dm_ed25519_signer *signer(const char *text)
{
    struct dm_ed25519_signer *s = NULL;
    assert_int_equal(dm_ed25519_signer_new(dm_view_of(text), &s, NULL), DM_OK);
    return s;
}

static struct dm_ed25519_verifier *verifier(const char *text)
{
    struct dm_ed25519_verifier *v = NULL;
    assert_int_equal(dm_ed25519_verifier_new(dm_view_of(text), &v, NULL), DM_OK);
    return v;
}

static dm_view bytes(const unsigned char *s)
{
    return dm_view_make((const char *)s, DM_ED25519_LEN);
}

static void signature_is_that_of_the_rfc(void **state)
{
    static const char *const forms[] = {SEED, PEM_PRIVATE};
    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(forms); i++) {
        struct dm_ed25519_signer *s = signer(forms[i]);
        unsigned char made[DM_ED25519_LEN];
        dm_ed25519_sign(s, DM_LIT("r"), made);
        assert_memory_equal(made, signature_of_r, sizeof made);
        dm_ed25519_signer_free(s);
    }
}

static void any_of_several_keys_verifies(void **state)
{
    static const char *const forms[] = {PUBLIC, PEM_PUBLIC, OTHER ", " PUBLIC,
                                        PEM_PUBLIC "," OTHER};
    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(forms); i++) {
        struct dm_ed25519_verifier *v = verifier(forms[i]);
        assert_true(dm_ed25519_verify(v, DM_LIT("r"), bytes(signature_of_r)));
        dm_ed25519_verifier_free(v);
    }
}

static void changed_text_signature_or_key_is_refused(void **state)
{
    struct dm_ed25519_verifier *v = verifier(PUBLIC), *other = verifier(OTHER);
    unsigned char changed[DM_ED25519_LEN];
    (void)state;
    memcpy(changed, signature_of_r, sizeof changed);
    changed[3] ^= 1;
    assert_false(dm_ed25519_verify(v, DM_LIT("s"), bytes(signature_of_r)));
    assert_false(dm_ed25519_verify(v, DM_LIT("r"), bytes(changed)));
    assert_false(dm_ed25519_verify(v, DM_LIT("r"), DM_VIEW_NONE));
    assert_false(dm_ed25519_verify(v, DM_LIT("r"), dm_view_sub(bytes(signature_of_r), 0, 63)));
    assert_false(dm_ed25519_verify(other, DM_LIT("r"), bytes(signature_of_r)));
    dm_ed25519_verifier_free(v);
    dm_ed25519_verifier_free(other);
}

static void what_is_no_key_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      " , ",
                                      "short",
                                      PUBLIC "x",
                                      PEM_PRIVATE "," PUBLIC,
                                      "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"};
    struct dm_ed25519_verifier *v = NULL;
    struct dm_ed25519_signer *s = NULL;
    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(bad); i++)
        assert_int_equal(dm_ed25519_verifier_new(dm_view_of(bad[i]), &v, NULL), DM_INVALID);
    assert_int_equal(dm_ed25519_signer_new(DM_LIT(PEM_PUBLIC), &s, NULL), DM_INVALID);
    assert_int_equal(dm_ed25519_signer_new(DM_LIT(""), &s, NULL), DM_INVALID);
    assert_null(v);
    assert_null(s);
}

static void both_programs_derive_the_same_pair(void **state)
{
    struct dm_buf a, b, public_half;
    (void)state;
    dm_buf_init(&a, 128);
    dm_buf_init(&b, 128);
    dm_buf_init(&public_half, 128);
    dm_ed25519_derive(DM_LIT("a shared secret of 32 characters"), &a);
    dm_ed25519_derive(DM_LIT("a shared secret of 32 characterS"), &b);
    assert_false(dm_view_eq(dm_buf_view(&a), dm_buf_view(&b)));
    struct dm_ed25519_signer *s = signer(dm_buf_cstr(&a));
    dm_ed25519_public(s, &public_half);
    struct dm_ed25519_verifier *v = verifier(dm_buf_cstr(&public_half));
    unsigned char made[DM_ED25519_LEN];
    dm_ed25519_sign(s, DM_LIT("text"), made);
    assert_true(dm_ed25519_verify(v, DM_LIT("text"), bytes(made)));
    dm_ed25519_signer_free(s);
    dm_ed25519_verifier_free(v);
    dm_buf_done(&a);
    dm_buf_done(&b);
    dm_buf_done(&public_half);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signature_is_that_of_the_rfc),
        cmocka_unit_test(any_of_several_keys_verifies),
        cmocka_unit_test(changed_text_signature_or_key_is_refused),
        cmocka_unit_test(what_is_no_key_is_refused),
        cmocka_unit_test(both_programs_derive_the_same_pair),
    };
    return cmocka_run_group_tests_name("ed25519", tests, NULL, NULL);
}
