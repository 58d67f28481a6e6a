#include "support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base64.h"
#include "codec/json.h"
#include "crypto/jwt.h"

/* The world of one test: keys, an arena, a clock that stands. */
struct fixture {
    struct dm_keyset *ks, *rsa, *ec;
    struct dm_arena_pool *pool;
    struct dm_arena arena;
    struct dm_buf token;
    struct dm_jwt_claims claims;
};

static const dm_time now = 1700000000 * DM_SEC;

#define CLAIMS "\"sub\":\"bob\",\"jti\":\"j1\""
#define GOOD "{" CLAIMS ",\"exp\":1700000001}"

static struct dm_keyset *build(const struct dm_keyset_source *src)
{
    struct dm_keyset *ks = NULL;
    struct dm_buf faults;
    dm_buf_init(&faults, 4096);
    if (dm_keyset_build(src, &ks, &faults) != DM_OK)
        fail_msg("%.*s", DM_FMT(dm_buf_view(&faults)));
    dm_buf_done(&faults);
    return ks;
}

static struct dm_keyset *build_ec(void)
{
    struct dm_buf b;
    dm_buf_init(&b, 4096);
    dm_buf_add(&b, DM_LIT("[{\"kid\":\"e\",\"algorithm\":\"ES256\",\"private_key\":"));
    dm_json_write_str(dm_view_of(test_ec_private), &b);
    dm_buf_add(&b, DM_LIT("},{\"kid\":\"h\",\"secret\":\"0123456789\"}]"));
    struct dm_keyset *ks = build(&(struct dm_keyset_source){.jwt_keys = dm_buf_view(&b)});
    dm_buf_done(&b);
    return ks;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->ks = build(&(struct dm_keyset_source){.secret = DM_LIT("0123456789abcdef0123456789abcdef")});
    f->rsa = build(&(struct dm_keyset_source){.private_pem = dm_view_of(test_rsa_private),
                                              .public_pem = dm_view_of(test_rsa_public)});
    f->ec = build_ec();
    f->pool = dm_arena_pool_new(4096, 4);
    dm_arena_init(&f->arena, f->pool, 64 * 1024);
    dm_buf_init(&f->token, 64 * 1024);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    dm_keyset_unref(f->ks);
    dm_keyset_unref(f->rsa);
    dm_keyset_unref(f->ec);
    dm_arena_reset(&f->arena);
    dm_arena_pool_free(f->pool);
    dm_buf_done(&f->token);
    free(f);
    return 0;
}

static dm_view sign(struct fixture *f, const struct dm_keyset *ks, dm_view payload)
{
    dm_buf_clear(&f->token);
    assert_int_equal(dm_jwt_sign(dm_keyset_signer(ks), payload, &f->token), DM_OK);
    return dm_buf_view(&f->token);
}

/* A token with any header, signed correctly with the set's signing key. */
static dm_view sign_raw(struct fixture *f, const struct dm_keyset *ks, dm_view header,
                        dm_view payload)
{
    struct dm_buf sig;
    dm_buf_init(&sig, 2048);
    dm_buf_clear(&f->token);
    dm_base64url_encode(header, false, &f->token);
    dm_buf_add_byte(&f->token, '.');
    dm_base64url_encode(payload, false, &f->token);
    assert_int_equal(dm_key_sign(dm_keyset_signer(ks), dm_buf_view(&f->token), &sig), DM_OK);
    dm_buf_add_byte(&f->token, '.');
    dm_base64url_encode(dm_buf_view(&sig), false, &f->token);
    dm_buf_done(&sig);
    return dm_buf_view(&f->token);
}

static enum dm_jwt_fault verify_as(struct fixture *f, dm_view token, enum dm_jwt_use use)
{
    dm_arena_reset(&f->arena);
    return dm_jwt_verify(f->ks, token, use, now, &f->arena, &f->claims);
}

static enum dm_jwt_fault verify(struct fixture *f, dm_view token)
{
    return verify_as(f, token, DM_JWT_ACCESS);
}

static void assert_verdict(struct fixture *f, const char *payload, enum dm_jwt_fault want)
{
    enum dm_jwt_fault got = verify(f, sign(f, f->ks, dm_view_of(payload)));
    if (got != want)
        fail_msg("%s: %s, not %s", payload, dm_jwt_fault_name(got), dm_jwt_fault_name(want));
}

static void a_token_of_ours_gives_its_claims(void **state)
{
    struct fixture *f = *state;
    dm_view token =
        sign(f, f->ks,
             DM_LIT("{\"sub\":\"b\\u00f6b \\\"x\\\"\",\"role\":\"admin\",\"exp\":1700000900,"
                    "\"iat\":1700000000,\"nbf\":1699999999,\"jti\":\"j-1\","
                    "\"token_use\":\"access\",\"accesses\":{\"ui_access\":true}}"));
    assert_int_equal(verify(f, token), DM_JWT_OK);
    assert_view(f->claims.sub, DM_LIT("b\xc3\xb6"
                                      "b \"x\""));
    assert_view(f->claims.jti, DM_LIT("j-1"));
    assert_view(f->claims.role, DM_LIT("admin"));
    assert_view(f->claims.token_use, DM_LIT("access"));
    assert_true(f->claims.exp == 1700000900 && f->claims.iat == 1700000000 &&
                f->claims.nbf == 1699999999);
    assert_false(f->claims.has_aud);
}

static void the_header_is_the_contracts(void **state)
{
    struct fixture *f = *state;
    struct dm_buf b;
    dm_view token = sign(f, f->ks, DM_LIT(GOOD));
    dm_buf_init(&b, 256);
    assert_true(dm_base64url_decode(dm_view_sub(token, 0, dm_view_find_byte(token, '.', 0)), &b));
    assert_view(dm_buf_view(&b),
                DM_LIT("{\"alg\":\"HS256\",\"kid\":\"legacy-key\",\"typ\":\"JWT\"}"));
    dm_buf_done(&b);
}

/* RFC 7515 A.1: key, signing input and signature published there. */
static void the_published_hs256_token_verifies(void **state)
{
    struct fixture *f = *state;
    struct dm_buf key;
    dm_buf_init(&key, 128);
    assert_true(dm_base64url_decode(DM_LIT("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-"
                                           "1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"),
                                    &key));
    struct dm_keyset *ks = build(&(struct dm_keyset_source){.secret = dm_buf_view(&key)});
    dm_view input = DM_LIT(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAs"
        "DQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ");
    dm_view token = DM_LIT(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAs"
        "DQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    dm_buf_clear(&key);
    assert_true(dm_base64url_decode(dm_view_sub(token, input.len + 1, SIZE_MAX), &key));
    assert_true(dm_key_verify(dm_keyset_signer(ks), input, dm_buf_view(&key)));
    /* the signature holds; what is missing are claims that we ask for */
    assert_int_equal(
        dm_jwt_verify(ks, token, DM_JWT_ACCESS, 1300819380 * DM_SEC, &f->arena, &f->claims),
        DM_JWT_BAD_CLAIMS);
    assert_int_equal(
        dm_jwt_verify(ks, token, DM_JWT_ACCESS, 1300819381 * DM_SEC, &f->arena, &f->claims),
        DM_JWT_EXPIRED);
    dm_keyset_unref(ks);
    dm_buf_done(&key);
}

static void expiry_has_no_leeway_and_ends_after_its_second(void **state)
{
    struct fixture *f = *state;
    assert_verdict(f, "{" CLAIMS ",\"exp\":1700000001}", DM_JWT_OK);
    assert_verdict(f, "{" CLAIMS ",\"exp\":1700000000}", DM_JWT_OK);
    assert_verdict(f, "{" CLAIMS ",\"exp\":1699999999}", DM_JWT_EXPIRED);
    assert_verdict(f, "{" CLAIMS ",\"exp\":1700000000.5}", DM_JWT_OK);
    assert_verdict(f, "{" CLAIMS ",\"exp\":1699999999.9}", DM_JWT_EXPIRED);
    assert_verdict(f, "{" CLAIMS ",\"exp\":1.7e9}", DM_JWT_OK);
    assert_verdict(f, "{" CLAIMS ",\"exp\":1e300}", DM_JWT_OK);
    assert_verdict(f, "{" CLAIMS ",\"exp\":-1e300}", DM_JWT_EXPIRED);
    assert_verdict(f, "{" CLAIMS ",\"exp\":9223372036854775807}", DM_JWT_OK);
    assert_verdict(f, "{" CLAIMS ",\"exp\":99999999999999999999}", DM_JWT_OK);
    assert_verdict(f, "{" CLAIMS ",\"exp\":0}", DM_JWT_EXPIRED);
}

static void a_token_without_a_usable_expiry_is_refused(void **state)
{
    struct fixture *f = *state;
    assert_verdict(f, "{" CLAIMS "}", DM_JWT_BAD_CLAIMS);
    assert_verdict(f, "{" CLAIMS ",\"exp\":\"1800000000\"}", DM_JWT_BAD_CLAIMS);
    assert_verdict(f, "{" CLAIMS ",\"exp\":null}", DM_JWT_BAD_CLAIMS);
    assert_verdict(f, "{" CLAIMS ",\"exp\":true}", DM_JWT_BAD_CLAIMS);
    assert_verdict(f, "{" CLAIMS ",\"exp\":[1800000000]}", DM_JWT_BAD_CLAIMS);
    assert_verdict(f, "{" CLAIMS ",\"x\":{\"exp\":1800000000}}", DM_JWT_BAD_CLAIMS);
}

static void a_token_from_the_future_is_refused(void **state)
{
    struct fixture *f = *state;
    assert_verdict(f, "{" CLAIMS ",\"exp\":1800000000,\"nbf\":1700000000,\"iat\":1700000000}",
                   DM_JWT_OK);
    assert_verdict(f, "{" CLAIMS ",\"exp\":1800000000,\"nbf\":1700000001}", DM_JWT_NOT_YET);
    assert_verdict(f, "{" CLAIMS ",\"exp\":1800000000,\"nbf\":1700000000.1}", DM_JWT_NOT_YET);
    assert_verdict(f, "{" CLAIMS ",\"exp\":1800000000,\"iat\":1700000001}", DM_JWT_NOT_YET);
    assert_verdict(f, "{" CLAIMS ",\"exp\":1800000000,\"iat\":\"1\"}", DM_JWT_BAD_CLAIMS);
    assert_verdict(f, "{" CLAIMS ",\"exp\":1800000000,\"nbf\":null}", DM_JWT_BAD_CLAIMS);
}

static void subject_and_id_must_be_texts_that_say_something(void **state)
{
    struct fixture *f = *state;
    assert_verdict(f, "{\"jti\":\"j\",\"exp\":1800000000}", DM_JWT_BAD_CLAIMS);
    assert_verdict(f, "{\"sub\":\"\",\"jti\":\"j\",\"exp\":1800000000}", DM_JWT_BAD_CLAIMS);
    assert_verdict(f, "{\"sub\":1,\"jti\":\"j\",\"exp\":1800000000}", DM_JWT_BAD_CLAIMS);
    assert_verdict(f, "{\"sub\":[\"a\"],\"jti\":\"j\",\"exp\":1800000000}", DM_JWT_BAD_CLAIMS);
    assert_verdict(f, "{\"sub\":\"a\",\"exp\":1800000000}", DM_JWT_BAD_CLAIMS);
    assert_verdict(f, "{\"sub\":\"a\",\"jti\":\"\",\"exp\":1800000000}", DM_JWT_BAD_CLAIMS);
    assert_verdict(f, "{\"sub\":\"a\",\"jti\":null,\"exp\":1800000000}", DM_JWT_BAD_CLAIMS);
}

static void a_token_for_an_audience_is_refused(void **state)
{
    struct fixture *f = *state;
    assert_verdict(f, "{" CLAIMS ",\"exp\":1800000000,\"aud\":\"x\"}", DM_JWT_BAD_CLAIMS);
    assert_verdict(f, "{" CLAIMS ",\"exp\":1800000000,\"aud\":[]}", DM_JWT_BAD_CLAIMS);
    assert_verdict(f, "{" CLAIMS ",\"exp\":1800000000,\"aud\":null}", DM_JWT_BAD_CLAIMS);
}

static void the_use_of_a_token_is_kept(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *use; /* NULL: the claim is absent */
        enum dm_jwt_fault access, refresh, any;
    } rows[] = {{NULL, DM_JWT_OK, DM_JWT_WRONG_USE, DM_JWT_OK},
                {"\"access\"", DM_JWT_OK, DM_JWT_WRONG_USE, DM_JWT_OK},
                {"\"refresh\"", DM_JWT_WRONG_USE, DM_JWT_OK, DM_JWT_OK},
                {"\"id\"", DM_JWT_WRONG_USE, DM_JWT_WRONG_USE, DM_JWT_OK},
                {"5", DM_JWT_BAD_CLAIMS, DM_JWT_BAD_CLAIMS, DM_JWT_BAD_CLAIMS}};
    for (size_t i = 0; i < DM_COUNT_OF(rows); i++) {
        struct dm_buf b;
        dm_buf_init(&b, 256);
        dm_buf_addf(&b, "{" CLAIMS ",\"exp\":1800000000");
        if (rows[i].use != NULL)
            dm_buf_addf(&b, ",\"token_use\":%s", rows[i].use);
        dm_buf_add_byte(&b, '}');
        dm_view token = sign(f, f->ks, dm_buf_view(&b));
        assert_int_equal(verify_as(f, token, DM_JWT_ACCESS), rows[i].access);
        assert_int_equal(verify_as(f, token, DM_JWT_REFRESH), rows[i].refresh);
        assert_int_equal(verify_as(f, token, DM_JWT_ANY), rows[i].any);
        dm_buf_done(&b);
    }
}

static void no_changed_character_is_accepted(void **state)
{
    struct fixture *f = *state;
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    dm_view token = sign(f, f->ks, DM_LIT(GOOD));
    char *text = (char *)(uintptr_t)token.ptr;
    for (size_t i = 0; i < token.len; i++) {
        char was = text[i];
        for (size_t d = 0; digits[d] != '\0'; d++) {
            text[i] = digits[d];
            if (digits[d] != was)
                assert_int_not_equal(verify(f, token), DM_JWT_OK);
        }
        text[i] = was;
    }
    assert_int_equal(verify(f, token), DM_JWT_OK);
}

static void cut_and_grown_tokens_are_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const tails[] = {".", "A", "=", "==", ".A", " ", "\n", "AAAA"};
    dm_view token = sign(f, f->ks, DM_LIT(GOOD));
    for (size_t len = 0; len < token.len; len++)
        assert_int_not_equal(verify(f, dm_view_sub(token, 0, len)), DM_JWT_OK);
    for (size_t i = 0; i < DM_COUNT_OF(tails); i++) {
        struct dm_buf b;
        dm_buf_init(&b, 4096);
        dm_buf_add(&b, dm_buf_view(&f->token));
        dm_buf_add(&b, dm_view_of(tails[i]));
        assert_int_not_equal(verify(f, dm_buf_view(&b)), DM_JWT_OK);
        dm_buf_done(&b);
    }
    static const char *const bad[] = {"",      ".",        "..",        "...",
                                      "a.b.c", "e30.e30.", ".e30.AAAA", "e30..AAAA"};
    for (size_t i = 0; i < DM_COUNT_OF(bad); i++)
        assert_int_not_equal(verify(f, dm_view_of(bad[i])), DM_JWT_OK);
}

static void the_header_does_not_choose_the_algorithm(void **state)
{
    struct fixture *f = *state;
    static const char *const headers[] = {"{\"alg\":\"none\"}",
                                          "{\"alg\":\"None\"}",
                                          "{\"alg\":\"HS512\"}",
                                          "{\"alg\":\"hs256\"}",
                                          "{\"alg\":\"RS256\"}",
                                          "{\"alg\":\"\"}",
                                          "{}",
                                          "{\"alg\":\"HS256 \"}"};
    for (size_t i = 0; i < DM_COUNT_OF(headers); i++) {
        dm_view token = sign_raw(f, f->ks, dm_view_of(headers[i]), DM_LIT(GOOD));
        assert_int_equal(verify(f, token), DM_JWT_BAD_ALG);
    }
    assert_int_equal(verify(f, sign_raw(f, f->ks, DM_LIT("{\"alg\":\"HS256\"}"), DM_LIT(GOOD))),
                     DM_JWT_OK);
}

static void an_unsigned_token_is_refused(void **state)
{
    struct fixture *f = *state;
    dm_buf_clear(&f->token);
    dm_base64url_encode(DM_LIT("{\"alg\":\"none\"}"), false, &f->token);
    dm_buf_add_byte(&f->token, '.');
    dm_base64url_encode(DM_LIT(GOOD), false, &f->token);
    dm_buf_add_byte(&f->token, '.');
    assert_int_equal(verify(f, dm_buf_view(&f->token)), DM_JWT_MALFORMED);
}

/* The old trick: the public key's text as an HMAC secret. */
static void a_public_key_is_never_an_hmac_secret(void **state)
{
    struct fixture *f = *state;
    struct dm_keyset *forger =
        build(&(struct dm_keyset_source){.secret = dm_view_of(test_rsa_public)});
    dm_view token =
        sign_raw(f, forger, DM_LIT("{\"alg\":\"HS256\",\"kid\":\"rsa-pair\"}"), DM_LIT(GOOD));
    assert_int_equal(dm_jwt_verify(f->rsa, token, DM_JWT_ANY, now, &f->arena, &f->claims),
                     DM_JWT_BAD_ALG);
    token = sign_raw(f, forger, DM_LIT("{\"alg\":\"RS256\",\"kid\":\"rsa-pair\"}"), DM_LIT(GOOD));
    assert_int_equal(dm_jwt_verify(f->rsa, token, DM_JWT_ANY, now, &f->arena, &f->claims),
                     DM_JWT_BAD_SIGNATURE);
    dm_keyset_unref(forger);
}

static void the_key_is_found_by_its_id_only(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        verify(f, sign_raw(f, f->ks, DM_LIT("{\"alg\":\"HS256\",\"kid\":\"x\"}"), DM_LIT(GOOD))),
        DM_JWT_UNKNOWN_KEY);
    dm_view token = sign_raw(f, f->ec, DM_LIT("{\"alg\":\"ES256\",\"kid\":\"e\"}"), DM_LIT(GOOD));
    assert_int_equal(dm_jwt_verify(f->ec, token, DM_JWT_ANY, now, &f->arena, &f->claims),
                     DM_JWT_OK);
    token = sign_raw(f, f->ec, DM_LIT("{\"alg\":\"ES256\",\"kid\":\"h\"}"), DM_LIT(GOOD));
    assert_int_equal(dm_jwt_verify(f->ec, token, DM_JWT_ANY, now, &f->arena, &f->claims),
                     DM_JWT_BAD_ALG);
    token =
        sign_raw(f, f->ec, DM_LIT("{\"alg\":\"ES256\"}"), DM_LIT(GOOD)); /* two keys: which one? */
    assert_int_equal(dm_jwt_verify(f->ec, token, DM_JWT_ANY, now, &f->arena, &f->claims),
                     DM_JWT_UNKNOWN_KEY);
    token = sign_raw(f, f->ks, DM_LIT("{\"alg\":\"HS256\",\"kid\":\"legacy\\u002dkey\"}"),
                     DM_LIT(GOOD));
    assert_int_equal(verify(f, token), DM_JWT_OK);
}

static void headers_that_are_not_strictly_right_are_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const headers[] = {"{\"alg\":\"HS256\",\"crit\":[\"exp\"]}",
                                          "{\"alg\":\"HS256\",\"crit\":null}",
                                          "{\"alg\":\"HS256\",\"b64\":false,\"crit\":[\"b64\"]}",
                                          "{\"alg\":\"HS256\",\"\\u0063rit\":[]}",
                                          "{\"alg\":\"HS256\",\"alg\":\"HS256\"}",
                                          "{\"alg\":\"HS256\",\"kid\":\"\"}",
                                          "{\"alg\":\"HS256\",\"kid\":5}",
                                          "{\"alg\":\"HS256\",\"kid\":null}",
                                          "{\"alg\":[\"HS256\"]}",
                                          "{\"alg\":\"HS256\"",
                                          "{\"alg\":\"HS256\"}x",
                                          "[\"HS256\"]",
                                          "\"HS256\"",
                                          "",
                                          "{\"alg\":\"HS256\",\"x\":[[[[1]]]]}",
                                          "{\"alg\":\"HS256\",\"x\":\"\\u0000\"}",
                                          "{\"alg\":\"HS256\",\"x\":01}"};
    for (size_t i = 0; i < DM_COUNT_OF(headers); i++) {
        if (verify(f, sign_raw(f, f->ks, dm_view_of(headers[i]), DM_LIT(GOOD))) != DM_JWT_MALFORMED)
            fail_msg("%s was taken", headers[i]);
    }
    char longer[600];
    int len = snprintf(longer, sizeof(longer), "{\"alg\":\"HS256\",\"x\":\"%0500d\"}", 0);
    assert_int_equal(verify(f, sign_raw(f, f->ks, dm_view_make(longer, (size_t)len), DM_LIT(GOOD))),
                     DM_JWT_MALFORMED);
    /* members that say where to fetch a key are read over */
    dm_view token = sign_raw(
        f, f->ks, DM_LIT("{\"jku\":\"http://evil\",\"jwk\":{\"k\":\"x\"},\"alg\":\"HS256\"}"),
        DM_LIT(GOOD));
    assert_int_equal(verify(f, token), DM_JWT_OK);
}

static void payloads_that_are_not_strictly_right_are_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const payloads[] = {
        "{\"sub\":\"a\",\"sub\":\"b\",\"jti\":\"j\",\"exp\":1800000000}",
        "{\"sub\":\"a\",\"\\u0073ub\":\"b\",\"jti\":\"j\",\"exp\":1800000000}",
        "{" CLAIMS ",\"exp\":1800000000,\"x\":{\"a\":1,\"a\":2}}",
        "{" CLAIMS ",\"exp\":1800000000",
        "{" CLAIMS ",\"exp\":1800000000}{}",
        "{" CLAIMS ",\"exp\":01800000000}",
        "{" CLAIMS ",\"exp\":1800000000,}",
        "{" CLAIMS ",\"exp\":1e999}",
        "{" CLAIMS ",\"exp\":1800000000,\"x\":\"\xff\"}",
        "{\"sub\":\"a\\u0000b\",\"jti\":\"j\",\"exp\":1800000000}",
        "{} "};
    for (size_t i = 0; i < DM_COUNT_OF(payloads); i++) {
        enum dm_jwt_fault want =
            i + 1 < DM_COUNT_OF(payloads) ? DM_JWT_MALFORMED : DM_JWT_BAD_CLAIMS;
        dm_view token = sign_raw(f, f->ks, DM_LIT("{\"alg\":\"HS256\"}"), dm_view_of(payloads[i]));
        if (verify(f, token) != want)
            fail_msg("%s", payloads[i]);
    }
    static const char *const others[] = {"[]", "\"x\"", "null", "1", ""};
    for (size_t i = 0; i < DM_COUNT_OF(others); i++)
        assert_int_equal(
            verify(f, sign_raw(f, f->ks, DM_LIT("{\"alg\":\"HS256\"}"), dm_view_of(others[i]))),
            DM_JWT_MALFORMED);
}

static void an_escaped_claim_name_still_counts(void **state)
{
    struct fixture *f = *state;
    assert_verdict(f, "{" CLAIMS ",\"exp\":1800000000,\"\\u0061ud\":\"x\"}", DM_JWT_BAD_CLAIMS);
    assert_verdict(f, "{\"\\u0073\\u0075b\":\"bob\",\"jti\":\"j\",\"exp\":1800000000}", DM_JWT_OK);
    assert_view(f->claims.sub, DM_LIT("bob"));
}

static void long_tokens_are_refused(void **state)
{
    struct fixture *f = *state;
    char *payload = calloc(1, 8000);
    int len = snprintf(payload, 8000, "{" CLAIMS ",\"exp\":1800000000,\"x\":\"%07000d\"}", 0);
    dm_view token =
        sign_raw(f, f->ks, DM_LIT("{\"alg\":\"HS256\"}"), dm_view_make(payload, (size_t)len));
    assert_true(token.len > DM_JWT_MAX);
    assert_int_equal(verify(f, token), DM_JWT_MALFORMED);
    dm_buf_clear(&f->token);
    assert_int_equal(
        dm_jwt_sign(dm_keyset_signer(f->ks), dm_view_make(payload, (size_t)len), &f->token),
        DM_LIMIT);
    free(payload);
}

static void claims_are_written_only_when_all_is_well(void **state)
{
    struct fixture *f = *state;
    dm_view token = sign(f, f->ks, DM_LIT("{" CLAIMS ",\"exp\":1}"));
    f->claims = (struct dm_jwt_claims){.sub = DM_LIT("before")};
    assert_int_equal(verify(f, token), DM_JWT_EXPIRED);
    assert_view(f->claims.sub, DM_LIT("before"));
}

static void verification_allocates_nothing(void **state)
{
    struct fixture *f = *state;
    dm_view token = sign(f, f->ks, DM_LIT(GOOD));
    for (int i = 0; i < 3; i++)
        assert_int_equal(verify(f, token), DM_JWT_OK); /* fills the arena's pool */
    uint64_t before = dm_mem_count();
    for (int i = 0; i < 100; i++)
        assert_int_equal(verify(f, token), DM_JWT_OK);
    assert_int_equal(dm_mem_count(), before);
}

static void a_full_arena_refuses_instead_of_crashing(void **state)
{
    struct fixture *f = *state;
    struct dm_arena tiny;
    dm_arena_init(&tiny, f->pool, 16);
    dm_view token = sign(f, f->ks, DM_LIT(GOOD));
    assert_int_equal(dm_jwt_verify(f->ks, token, DM_JWT_ACCESS, now, &tiny, &f->claims),
                     DM_JWT_NO_ROOM);
    dm_arena_reset(&tiny);
}

static void asymmetric_tokens_verify(void **state)
{
    struct fixture *f = *state;
    struct dm_keyset *const sets[] = {f->rsa, f->ec};
    for (size_t i = 0; i < DM_COUNT_OF(sets); i++) {
        dm_view token = sign(f, sets[i], DM_LIT(GOOD));
        assert_int_equal(dm_jwt_verify(sets[i], token, DM_JWT_ACCESS, now, &f->arena, &f->claims),
                         DM_JWT_OK);
        char *last = (char *)(uintptr_t)token.ptr + token.len - 5;
        *last = *last == 'A' ? 'B' : 'A';
        assert_int_equal(dm_jwt_verify(sets[i], token, DM_JWT_ACCESS, now, &f->arena, &f->claims),
                         DM_JWT_BAD_SIGNATURE);
    }
}

struct verifier {
    const struct dm_keyset *ks;
    dm_view token;
    int failures;
};

static void *verify_often(void *arg)
{
    struct verifier *v = arg;
    struct dm_arena_pool *pool = dm_arena_pool_new(4096, 4);
    for (int i = 0; i < 200; i++) {
        struct dm_arena arena;
        struct dm_jwt_claims claims;
        dm_arena_init(&arena, pool, 16 * 1024);
        v->failures +=
            dm_jwt_verify(v->ks, v->token, DM_JWT_ACCESS, now, &arena, &claims) != DM_JWT_OK;
        dm_arena_reset(&arena);
    }
    dm_arena_pool_free(pool);
    return NULL;
}

static void one_keyset_serves_many_threads(void **state)
{
    struct fixture *f = *state;
    const struct dm_keyset *const sets[] = {f->ks, f->rsa, f->ec};
    for (size_t s = 0; s < DM_COUNT_OF(sets); s++) {
        pthread_t threads[4];
        struct verifier v[4];
        dm_view token = sign(f, sets[s], DM_LIT(GOOD));
        for (size_t i = 0; i < DM_COUNT_OF(threads); i++) {
            v[i] = (struct verifier){sets[s], token, 0};
            assert_int_equal(pthread_create(&threads[i], NULL, verify_often, &v[i]), 0);
        }
        for (size_t i = 0; i < DM_COUNT_OF(threads); i++) {
            pthread_join(threads[i], NULL);
            assert_int_equal(v[i].failures, 0);
        }
    }
}

static void every_fault_has_a_name(void **state)
{
    (void)state;
    for (int i = DM_JWT_OK; i <= DM_JWT_NO_ROOM; i++)
        assert_true(strlen(dm_jwt_fault_name((enum dm_jwt_fault)i)) > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_token_of_ours_gives_its_claims),
        TEST(the_header_is_the_contracts),
        TEST(the_published_hs256_token_verifies),
        TEST(expiry_has_no_leeway_and_ends_after_its_second),
        TEST(a_token_without_a_usable_expiry_is_refused),
        TEST(a_token_from_the_future_is_refused),
        TEST(subject_and_id_must_be_texts_that_say_something),
        TEST(a_token_for_an_audience_is_refused),
        TEST(the_use_of_a_token_is_kept),
        TEST(no_changed_character_is_accepted),
        TEST(cut_and_grown_tokens_are_refused),
        TEST(the_header_does_not_choose_the_algorithm),
        TEST(an_unsigned_token_is_refused),
        TEST(a_public_key_is_never_an_hmac_secret),
        TEST(the_key_is_found_by_its_id_only),
        TEST(headers_that_are_not_strictly_right_are_refused),
        TEST(payloads_that_are_not_strictly_right_are_refused),
        TEST(an_escaped_claim_name_still_counts),
        TEST(long_tokens_are_refused),
        TEST(claims_are_written_only_when_all_is_well),
        TEST(verification_allocates_nothing),
        TEST(a_full_arena_refuses_instead_of_crashing),
        TEST(asymmetric_tokens_verify),
        TEST(one_keyset_serves_many_threads),
        cmocka_unit_test(every_fault_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
