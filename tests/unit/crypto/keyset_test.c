#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/json.h"
#include "crypto/keyset.h"

static struct dm_keyset *build(const struct dm_keyset_source *src)
{
    struct dm_keyset *ks = NULL;
    struct dm_buf faults;
    dm_buf_init(&faults, 1 << 16);
    if (dm_keyset_build(src, &ks, &faults) != DM_OK)
        fail_msg("%.*s", DM_FMT(dm_buf_view(&faults)));
    assert_int_equal(dm_buf_view(&faults).len, 0);
    dm_buf_done(&faults);
    return ks;
}

/* Each of the `wanted` lines must be among the faults, and there must be no other. */
static void assert_faults(const struct dm_keyset_source *src, const char *const *wanted, size_t n)
{
    struct dm_keyset *ks = (struct dm_keyset *)8;
    struct dm_buf faults;
    dm_buf_init(&faults, 1 << 16);
    assert_int_equal(dm_keyset_build(src, &ks, &faults), DM_INVALID);
    assert_ptr_equal(ks, (struct dm_keyset *)8);
    const char *text = dm_buf_cstr(&faults);
    size_t lines = 0;
    for (const char *p = text; *p != '\0'; p++)
        lines += *p == '\n';
    for (size_t i = 0; i < n; i++) {
        if (strstr(text, wanted[i]) == NULL)
            fail_msg("\"%s\" is missing in:\n%s", wanted[i], text);
    }
    if (lines != n)
        fail_msg("%zu faults expected:\n%s", n, text);
    dm_buf_done(&faults);
}

static void assert_keys_fault(const char *jwt_keys, const char *wanted)
{
    const struct dm_keyset_source src = {.jwt_keys = dm_view_of(jwt_keys)};
    assert_faults(&src, &wanted, 1);
}

/* One entry as JSON; NULL members are left out. */
static char *entry(const char *kid, const char *algorithm, const char *name1, const char *value1,
                   const char *name2, const char *value2)
{
    struct dm_buf b;
    struct dm_json *j = dm_json_new_object();
    dm_json_set_str(j, DM_LIT("kid"), dm_view_of(kid));
    dm_json_set_str(j, DM_LIT("algorithm"), dm_view_of(algorithm));
    if (name1 != NULL)
        dm_json_set_str(j, dm_view_of(name1), dm_view_of(value1));
    if (name2 != NULL)
        dm_json_set_str(j, dm_view_of(name2), dm_view_of(value2));
    dm_buf_init(&b, 1 << 16);
    dm_json_write(j, &b);
    dm_json_free(j);
    return dm_buf_take(&b, NULL);
}

static void the_secret_is_the_legacy_key(void **state)
{
    (void)state;
    struct dm_keyset *ks = build(&(struct dm_keyset_source){.secret = DM_LIT("0123456789")});
    const struct dm_key *k = dm_keyset_signer(ks);
    assert_view(dm_key_id(k), DM_LIT("legacy-key"));
    assert_int_equal(dm_key_alg(k), DM_JWT_HS256);
    assert_false(dm_key_asymmetric(k));
    assert_true(dm_keyset_has_hmac(ks));
    assert_ptr_equal(dm_keyset_find(ks, DM_VIEW_NONE), k);
    assert_ptr_equal(dm_keyset_find(ks, DM_LIT("legacy-key")), k);
    assert_null(dm_keyset_find(ks, DM_LIT("legacy-ke")));
    dm_keyset_unref(ks);
    dm_keyset_unref(NULL);
}

static void lists_wrapped_lists_and_single_entries_are_read(void **state)
{
    (void)state;
    static const char *const texts[] = {"[{\"kid\":\"a\",\"secret\":\"s1\"},{\"kid\":\"b\","
                                        "\"algorithm\":\"HS512\",\"key\":\"s2\",\"active\":false}]",
                                        "{\"keys\":[{\"kid\":\"a\",\"secret\":\"s1\"},{\"kid\":"
                                        "\"b\",\"algorithm\":\"HS384\",\"secret\":\"s2\"}]}",
                                        "{\"kid\":\"a\",\"secret\":\"s1\",\"private_key\":null}"};
    for (size_t i = 0; i < DM_COUNT_OF(texts); i++) {
        struct dm_keyset *ks = build(&(struct dm_keyset_source){.jwt_keys = dm_view_of(texts[i])});
        assert_view(dm_key_id(dm_keyset_signer(ks)), DM_LIT("a"));
        assert_int_equal(dm_keyset_find(ks, DM_LIT("b")) != NULL, i < 2);
        dm_keyset_unref(ks);
    }
}

static void an_inactive_key_verifies_but_never_signs(void **state)
{
    (void)state;
    struct dm_keyset *ks = build(&(struct dm_keyset_source){
        .jwt_keys = DM_LIT("[{\"kid\":\"old\",\"secret\":\"s1\",\"active\":false},"
                           "{\"kid\":\"new\",\"secret\":\"s2\"}]")});
    assert_view(dm_key_id(dm_keyset_signer(ks)), DM_LIT("new"));
    assert_non_null(dm_keyset_find(ks, DM_LIT("old")));
    assert_null(dm_keyset_find(ks, DM_VIEW_NONE)); /* two keys, none called legacy-key */
    dm_keyset_unref(ks);
    ks = build(&(struct dm_keyset_source){
        .jwt_keys = DM_LIT("[{\"kid\":\"x\",\"secret\":\"s1\",\"active\":false}]")});
    assert_null(dm_keyset_signer(ks));
    dm_keyset_unref(ks);
}

static void without_a_kid_the_legacy_key_is_meant(void **state)
{
    (void)state;
    struct dm_keyset *ks = build(&(struct dm_keyset_source){
        .jwt_keys = DM_LIT(
            "[{\"kid\":\"a\",\"secret\":\"s1\"},{\"kid\":\"legacy-key\",\"secret\":\"s2\"}]")});
    assert_view(dm_key_id(dm_keyset_find(ks, DM_VIEW_NONE)), DM_LIT("legacy-key"));
    dm_keyset_unref(ks);
}

static void asymmetric_keys_sign_with_the_private_half_only(void **state)
{
    (void)state;
    static const struct {
        const char *alg, *whole, *half;
        enum dm_jwt_alg want;
    } rows[] = {{"RS256", test_rsa_private, test_rsa_public, DM_JWT_RS256},
                {"ES256", test_ec_private, test_ec_public, DM_JWT_ES256},
                {"ES256", test_ec_private, test_ec_certificate, DM_JWT_ES256}};
    for (size_t i = 0; i < DM_COUNT_OF(rows); i++) {
        char *both =
            entry("k", rows[i].alg, "private_key", rows[i].whole, "public_key", rows[i].half);
        char *half = entry("k", rows[i].alg, "public_key", rows[i].half, NULL, NULL);
        char *whole = entry("k", rows[i].alg, "private_key", rows[i].whole, NULL, NULL);
        struct dm_keyset *signer = build(&(struct dm_keyset_source){.jwt_keys = dm_view_of(both)});
        struct dm_keyset *alone = build(&(struct dm_keyset_source){.jwt_keys = dm_view_of(whole)});
        struct dm_keyset *verifier =
            build(&(struct dm_keyset_source){.jwt_keys = dm_view_of(half), .sidecar = true});
        const struct dm_key *k = dm_keyset_find(verifier, DM_LIT("k"));
        struct dm_buf sig;
        dm_buf_init(&sig, 2048);
        assert_null(dm_keyset_signer(verifier));
        assert_int_equal(dm_key_alg(k), rows[i].want);
        assert_true(dm_key_asymmetric(k));
        assert_false(dm_keyset_has_hmac(verifier));
        assert_int_equal(dm_key_sign(k, DM_LIT("data"), &sig), DM_INVALID);
        assert_int_equal(dm_key_sign(dm_keyset_signer(signer), DM_LIT("data"), &sig), DM_OK);
        assert_true(dm_key_verify(k, DM_LIT("data"), dm_buf_view(&sig)));
        assert_true(dm_key_verify(dm_keyset_signer(alone), DM_LIT("data"), dm_buf_view(&sig)));
        assert_false(dm_key_verify(k, DM_LIT("datb"), dm_buf_view(&sig)));
        assert_false(dm_key_verify(k, DM_LIT("data"), dm_view_sub(dm_buf_view(&sig), 0, 63)));
        assert_false(dm_key_verify(k, DM_LIT("data"), DM_VIEW_NONE));
        sig.ptr_[10] = (char)(sig.ptr_[10] ^ 1);
        assert_false(dm_key_verify(k, DM_LIT("data"), dm_buf_view(&sig)));
        dm_buf_done(&sig);
        dm_keyset_unref(signer);
        dm_keyset_unref(alone);
        dm_keyset_unref(verifier);
        dm_mem_free(both);
        dm_mem_free(half);
        dm_mem_free(whole);
    }
}

static void an_es256_signature_of_zeros_is_refused(void **state)
{
    (void)state;
    char zeros[64] = {0};
    char *half = entry("k", "ES256", "public_key", test_ec_public, NULL, NULL);
    struct dm_keyset *ks = build(&(struct dm_keyset_source){.jwt_keys = dm_view_of(half)});
    const struct dm_key *k = dm_keyset_find(ks, DM_LIT("k"));
    assert_false(dm_key_verify(k, DM_LIT("data"), dm_view_make(zeros, sizeof(zeros))));
    dm_keyset_unref(ks);
    dm_mem_free(half);
}

static void the_rsa_pair_of_the_settings_is_a_key(void **state)
{
    (void)state;
    /* line ends spelled out, as an environment variable may carry them */
    struct dm_buf spelled;
    dm_buf_init(&spelled, 8192);
    for (const char *p = test_rsa_private; *p != '\0'; p++)
        dm_buf_add(&spelled, *p == '\n' ? DM_LIT("\\n") : dm_view_make(p, 1));
    struct dm_keyset *ks =
        build(&(struct dm_keyset_source){.private_pem = dm_buf_view(&spelled),
                                         .public_pem = dm_view_of(test_rsa_public),
                                         .secret = DM_LIT("ignored beside the pair")});
    assert_int_equal(dm_key_alg(dm_keyset_signer(ks)), DM_JWT_RS256);
    assert_false(dm_keyset_has_hmac(ks));
    dm_keyset_unref(ks);
    dm_buf_done(&spelled);
    ks = build(
        &(struct dm_keyset_source){.public_pem = dm_view_of(test_rsa_public), .sidecar = true});
    assert_null(dm_keyset_signer(ks));
    assert_non_null(dm_keyset_find(ks, DM_VIEW_NONE));
    dm_keyset_unref(ks);
}

static void half_a_pair_is_refused_in_the_contracts_words(void **state)
{
    (void)state;
    const char *want = "JWT_PRIVATE_KEY and JWT_PUBLIC_KEY environment variables are required";
    assert_faults(&(struct dm_keyset_source){.public_pem = dm_view_of(test_rsa_public)}, &want, 1);
    assert_faults(&(struct dm_keyset_source){.private_pem = dm_view_of(test_rsa_private),
                                             .secret = DM_LIT("no way out")},
                  &want, 1);
    want = "do not belong together";
    assert_faults(&(struct dm_keyset_source){.private_pem = dm_view_of(test_rsa_private),
                                             .public_pem = dm_view_of(test_rsa2_public)},
                  &want, 1);
}

static void a_private_half_has_no_place_in_a_sidecar(void **state)
{
    (void)state;
    const char *want = "has no place in a gateway";
    assert_faults(&(struct dm_keyset_source){.private_pem = dm_view_of(test_rsa_private),
                                             .public_pem = dm_view_of(test_rsa_public),
                                             .sidecar = true},
                  &want, 1);
    char *text = entry("k", "ES256", "private_key", test_ec_private, "public_key", test_ec_public);
    assert_faults(&(struct dm_keyset_source){.jwt_keys = dm_view_of(text), .sidecar = true}, &want,
                  1);
    dm_mem_free(text);
    text = entry("k", "ES256", "private_key_path", "/does/not/exist", "public_key", test_ec_public);
    assert_faults(&(struct dm_keyset_source){.jwt_keys = dm_view_of(text), .sidecar = true}, &want,
                  1);
    dm_mem_free(text);
    /* a secret works there; the guard of the settings warns */
    dm_keyset_unref(build(&(struct dm_keyset_source){.secret = DM_LIT("s"), .sidecar = true}));
}

static void keys_of_the_wrong_kind_or_size_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *alg, *name, *pem, *want;
    } rows[] = {
        {"RS256", "private_key", test_rsa1024_private, "RSA key under 2048 bits"},
        {"RS256", "private_key", test_ec_private, "not an RSA key"},
        {"ES256", "private_key", test_rsa_private, "not an EC key on P-256"},
        {"ES256", "private_key", test_ec384_private, "not an EC key on P-256"},
        {"ES256", "private_key", test_ec_public, "no readable PEM private key"},
        {"ES256", "public_key", test_ec_private, "no readable PEM public key"},
        {"ES256", "private_key", test_ec_broken_private, "does not fit its own public half"},
        {"ES256", "private_key", test_encrypted_private, "no readable PEM private key"},
        {"RS256", "public_key", "-----BEGIN PUBLIC KEY-----\nAAAA\n", "no readable PEM public key"},
        {"RS256", "public_key", "garbage", "no readable PEM public key"}};
    for (size_t i = 0; i < DM_COUNT_OF(rows); i++) {
        char *text = entry("k", rows[i].alg, rows[i].name, rows[i].pem, NULL, NULL);
        assert_keys_fault(text, rows[i].want);
        dm_mem_free(text);
    }
}

static void malformed_entries_are_refused_each_with_a_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"[", "JWT_KEYS: could not parse JSON at byte 1"},
        {"[]", "JWT_KEYS: list of keys expected"},
        {"{\"keys\":[]}", "JWT_KEYS: list of keys expected"},
        {"{\"keys\":{}}", "JWT_KEYS: list of keys expected"},
        {"\"x\"", "JWT_KEYS: list of keys expected"},
        {"[1]", "JWT_KEYS, entry 1: object expected"},
        {"[{\"secret\":\"s\"}]", "entry 1: kid of 1 to 128 bytes expected"},
        {"[{\"kid\":\"a\"}]", "entry 1: secret expected"},
        {"[{\"kid\":\"a\",\"algorithm\":\"RS256\"}]",
         "entry 1: private_key or public_key expected"},
        {"[{\"kid\":\"a\",\"algorithm\":\"none\",\"secret\":\"s\"}]", "entry 1: algorithm: HS256"},
        {"[{\"kid\":\"a\",\"algorithm\":\"PS256\",\"secret\":\"s\"}]", "entry 1: algorithm: HS256"},
        {"[{\"kid\":\"a\",\"secret\":\"s\",\"key\":\"t\"}]", "secret and key exclude each other"},
        {"[{\"kid\":\"a\",\"secret\":\"s\",\"alg\":\"HS256\"}]", "unknown member \"alg\""},
        {"[{\"kid\":\"a\",\"secret\":\"s\",\"active\":\"yes\"}]", "active: true or false expected"},
        {"[{\"kid\":\"a\",\"secret\":\"s\",\"public_key\":\"x\"}]", "public_key does not go with"},
        {"[{\"kid\":\"a\",\"secret\":\"s\"},{\"kid\":\"a\",\"secret\":\"t\"}]",
         "entry 2: kid \"a\" is used twice"},
        {"[{\"kid\":\"a\",\"secret\":\"s\",\"kid\":\"b\"}]", "duplicate member name"},
        {"[{\"kid\":\"a\",\"algorithm\":\"ES256\",\"public_key_path\":\"/does/not/exist\"}]",
         "public_key_path \"/does/not/exist\": No such file"},
        {"[{\"kid\":\"a\",\"algorithm\":\"ES256\",\"public_key_path\":\"/\"}]",
         "not a regular file"},
        {"[{\"kid\":\"a\",\"algorithm\":\"ES256\",\"public_key_path\":\"/dev/null\"}]",
         "not a regular file"}};
    for (size_t i = 0; i < DM_COUNT_OF(rows); i++)
        assert_keys_fault(rows[i].text, rows[i].want);
    static const char *const two[] = {"entry 1: kid: non-empty string", "entry 1: kid of 1 to 128"};
    assert_faults(&(struct dm_keyset_source){.jwt_keys = DM_LIT("[{\"kid\":5,\"secret\":\"s\"}]")},
                  two, 2);
}

static void all_faults_are_told_at_once(void **state)
{
    (void)state;
    static const char *const want[] = {"entry 1: secret expected", "entry 2: unknown member",
                                       "entry 3: algorithm", "JWT_PRIVATE_KEY and JWT_PUBLIC_KEY"};
    assert_faults(
        &(struct dm_keyset_source){
            .jwt_keys = DM_LIT("[{\"kid\":\"a\"},{\"kid\":\"b\",\"secret\":\"s\",\"x\":1},"
                               "{\"kid\":\"c\",\"algorithm\":\"x\",\"secret\":\"t\"}]"),
            .public_pem = dm_view_of(test_rsa_public)},
        want, 4);
}

static void no_fault_holds_a_secret(void **state)
{
    (void)state;
    struct dm_keyset *ks;
    struct dm_buf faults;
    dm_buf_init(&faults, 1 << 16);
    static const char *const texts[] = {
        "[{\"kid\":\"a\",\"secret\":\"hunter2\",\"key\":\"hunter2\"}]",
        "[{\"kid\":\"a\",\"secret\":\"hunter2\" hunter2]",
        "[{\"kid\":\"a\",\"algorithm\":\"RS256\",\"private_key\":\"hunter2\",\"secret\":"
        "\"hunter2\"}]"};
    for (size_t i = 0; i < DM_COUNT_OF(texts); i++) {
        const struct dm_keyset_source src = {.jwt_keys = dm_view_of(texts[i])};
        assert_int_equal(dm_keyset_build(&src, &ks, &faults), DM_INVALID);
    }
    assert_null(strstr(dm_buf_cstr(&faults), "hunter2"));
    dm_buf_done(&faults);
}

static void nothing_at_all_is_refused(void **state)
{
    (void)state;
    const char *want = "no key to verify tokens with";
    assert_faults(&(struct dm_keyset_source){.secret = DM_VIEW_NONE}, &want, 1);
}

static void key_files_are_read(void **state)
{
    (void)state;
    char path[] = "/tmp/doorman-keyset-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, test_ec_private, strlen(test_ec_private)), strlen(test_ec_private));
    char *text = entry("k", "ES256", "private_key_path", path, "public_key", test_ec_public);
    struct dm_keyset *ks = build(&(struct dm_keyset_source){.jwt_keys = dm_view_of(text)});
    assert_non_null(dm_keyset_signer(ks));
    dm_keyset_unref(ks);
    dm_mem_free(text);
    text = entry("k", "ES256", "private_key_path", path, "private_key", test_ec_private);
    assert_keys_fault(text, "private_key and private_key_path exclude each other");
    dm_mem_free(text);
    assert_int_equal(ftruncate(fd, 0), 0);
    text = entry("k", "ES256", "private_key_path", path, NULL, NULL);
    assert_keys_fault(text, "empty file");
    assert_int_equal(ftruncate(fd, 65537), 0);
    assert_keys_fault(text, "at most 64 KiB");
    dm_mem_free(text);
    close(fd);
    unlink(path);
}

static void more_keys_than_a_rotation_needs_are_refused(void **state)
{
    (void)state;
    struct dm_buf b;
    dm_buf_init(&b, 1 << 16);
    dm_buf_add_byte(&b, '[');
    for (int i = 0; i < 65; i++)
        dm_buf_addf(&b, "%s{\"kid\":\"k%d\",\"secret\":\"s\"}", i == 0 ? "" : ",", i);
    dm_buf_add_byte(&b, ']');
    assert_keys_fault(dm_buf_cstr(&b), "entry 65: more than 64 keys");
    dm_buf_done(&b);
}

static void the_last_reference_frees(void **state)
{
    (void)state;
    struct dm_keyset *ks = build(&(struct dm_keyset_source){.secret = DM_LIT("s")});
    assert_ptr_equal(dm_keyset_ref(ks), ks);
    dm_keyset_unref(ks);
    assert_non_null(dm_keyset_signer(ks)); /* still there: one reference is left */
    dm_keyset_unref(ks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_secret_is_the_legacy_key),
        cmocka_unit_test(lists_wrapped_lists_and_single_entries_are_read),
        cmocka_unit_test(an_inactive_key_verifies_but_never_signs),
        cmocka_unit_test(without_a_kid_the_legacy_key_is_meant),
        cmocka_unit_test(asymmetric_keys_sign_with_the_private_half_only),
        cmocka_unit_test(an_es256_signature_of_zeros_is_refused),
        cmocka_unit_test(the_rsa_pair_of_the_settings_is_a_key),
        cmocka_unit_test(half_a_pair_is_refused_in_the_contracts_words),
        cmocka_unit_test(a_private_half_has_no_place_in_a_sidecar),
        cmocka_unit_test(keys_of_the_wrong_kind_or_size_are_refused),
        cmocka_unit_test(malformed_entries_are_refused_each_with_a_line),
        cmocka_unit_test(all_faults_are_told_at_once),
        cmocka_unit_test(no_fault_holds_a_secret),
        cmocka_unit_test(nothing_at_all_is_refused),
        cmocka_unit_test(key_files_are_read),
        cmocka_unit_test(more_keys_than_a_rotation_needs_are_refused),
        cmocka_unit_test(the_last_reference_frees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
