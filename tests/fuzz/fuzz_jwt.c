/* layer: crypto */
/* Tokens. The first byte chooses: a token as it is; a header or a payload that we sign ourselves,
 * judged a second time by way of the tree. No token is taken that our key would not have signed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "crypto/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW = 1700000000, ARENA_CAP = 1 << 16 };

static struct dm_keyset *hmac_keys, *ec_keys;
static struct dm_jwt_cache *cache;

/* Made for fuzzing; they open nothing. */
#define SECRET "fuzz-fuzz-fuzz-fuzz-fuzz-fuzz-fz"
#define EC_KEYS                                                                                    \
    "[{\"kid\":\"e\",\"algorithm\":\"ES256\",\"private_key\":\"-----BEGIN PRIVATE KEY-----\\n"     \
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgbkKNQasa/FwZuHqh\\n"                          \
    "6NCUReXQeHXoA33t8BuVnhPq0iehRANCAATSn/KJBHJe60RSda2sYFAPjvn8wNll\\n"                          \
    "2RS3QUJHDja5GhxuXDCjeL6FERlV0rtKsxwUOPBCXjZl/KYAIpGNoflt\\n-----END PRIVATE KEY-----\\n\"}]"

static struct dm_keyset *build(dm_view secret, dm_view jwt_keys)
{
    const struct dm_keyset_source src = {.secret = secret, .jwt_keys = jwt_keys};
    struct dm_keyset *ks = NULL;
    struct dm_buf faults;
    dm_buf_init(&faults, 4096);
    DM_REQUIRE(dm_keyset_build(&src, &ks, &faults) == DM_OK);
    dm_buf_done(&faults);
    return ks;
}

/* Kept for the whole run, reachable to the end. */
static void start(void)
{
    if (hmac_keys != NULL)
        return;
    hmac_keys = build(DM_LIT(SECRET), DM_VIEW_NONE);
    ec_keys = build(DM_VIEW_NONE, DM_LIT(EC_KEYS));
    cache = dm_jwt_cache_new(4);
}

/* ---- a token as it is ---- */

static void check_ours(const struct dm_key *k, dm_view token)
{
    struct dm_buf sig, text;
    size_t dot = dm_view_find_byte(token, '.', dm_view_find_byte(token, '.', 0) + 1);
    dm_buf_init(&sig, 1024);
    dm_buf_init(&text, 2048);
    DM_REQUIRE(dm_key_sign(k, dm_view_sub(token, 0, dot), &sig) == DM_OK);
    dm_base64url_encode(dm_buf_view(&sig), false, &text);
    DM_REQUIRE(dm_view_eq(dm_buf_view(&text), dm_view_sub(token, dot + 1, SIZE_MAX)));
    dm_buf_done(&sig);
    dm_buf_done(&text);
}

static void check_claims(const struct dm_jwt_claims *c)
{
    DM_REQUIRE(c->sub.len > 0 && c->jti.len > 0 && !c->has_aud && c->exp >= NOW);
    DM_REQUIRE(c->nbf <= NOW && c->iat <= NOW && dm_utf8_valid(c->sub));
}

static enum dm_jwt_fault verify(dm_view token, enum dm_jwt_use use, struct dm_arena *arena,
                                struct dm_jwt_claims *claims)
{
    return dm_jwt_verify(hmac_keys, token, use, (dm_time)NOW * DM_SEC, arena, claims);
}

static void check_token(dm_view token, struct dm_arena *arena)
{
    struct dm_jwt_claims c;
    if (verify(token, DM_JWT_ANY, arena, &c) == DM_JWT_OK) {
        check_ours(dm_keyset_signer(hmac_keys), token);
        check_claims(&c);
    }
    /* Nobody ever signed for this set outside check_payload, and an ECDSA signature cannot be
     * guessed. */
    DM_REQUIRE(dm_jwt_cache_verify(cache, ec_keys, token, DM_JWT_ANY, (dm_time)NOW * DM_SEC, arena,
                                   &c) != DM_JWT_OK);
}

/* ---- our signature under any header ---- */

static void make_token(dm_view header, dm_view payload, struct dm_buf *out)
{
    struct dm_buf sig;
    dm_buf_init(&sig, 1024);
    dm_base64url_encode(header, false, out);
    dm_buf_add_byte(out, '.');
    dm_base64url_encode(payload, false, out);
    DM_REQUIRE(dm_key_sign(dm_keyset_signer(hmac_keys), dm_buf_view(out), &sig) == DM_OK);
    dm_buf_add_byte(out, '.');
    dm_base64url_encode(dm_buf_view(&sig), false, out);
    dm_buf_done(&sig);
}

#ifdef DOORMAN_PLANT_BUG
/* Reached only by an accepted header of three members none of which is "typ". */
static void planted(const struct dm_json *header)
{
    if (dm_json_len(header) == 3 && dm_json_get(header, DM_LIT("typ")) == NULL)
        abort();
}
#endif

static bool header_should_pass(dm_view text)
{
    static const struct dm_json_limits limits = {
        .max_bytes = 512, .max_depth = 4, .max_values = 32};
    struct dm_json *h = NULL;
    if (dm_json_parse(text, &limits, &h, NULL) != DM_OK)
        return false;
    const struct dm_json *kid = dm_json_get(h, DM_LIT("kid"));
    bool pass = dm_json_is(h, DM_JSON_OBJECT) && dm_json_get(h, DM_LIT("crit")) == NULL &&
                dm_view_eq(dm_json_str(dm_json_get(h, DM_LIT("alg"))), DM_LIT("HS256")) &&
                (kid == NULL || dm_view_eq(dm_json_str(kid), DM_LIT("legacy-key")));
#ifdef DOORMAN_PLANT_BUG
    if (pass)
        planted(h);
#endif
    dm_json_free(h);
    return pass;
}

static void check_header(dm_view header, struct dm_arena *arena)
{
    struct dm_jwt_claims c;
    struct dm_buf token;
    dm_buf_init(&token, 1 << 20);
    make_token(header, DM_LIT("{\"sub\":\"a\",\"jti\":\"b\",\"exp\":1700000000}"), &token);
    bool taken = verify(dm_buf_view(&token), DM_JWT_ACCESS, arena, &c) == DM_JWT_OK;
    DM_REQUIRE(taken == header_should_pass(header));
    dm_buf_done(&token);
}

/* ---- our signature over any payload ---- */

static bool not_after_now(const struct dm_json *j)
{
    return j == NULL || dm_json_f64(j, NOW + 1.0) <= NOW;
}

static bool payload_should_pass(const struct dm_json *p)
{
    const struct dm_json *use = dm_json_get(p, DM_LIT("token_use"));
    const struct dm_json *exp = dm_json_get(p, DM_LIT("exp"));
    dm_view use_text = dm_json_str(use);
    return dm_json_is(p, DM_JSON_OBJECT) && dm_json_f64(exp, 0) >= NOW &&
           not_after_now(dm_json_get(p, DM_LIT("nbf"))) &&
           not_after_now(dm_json_get(p, DM_LIT("iat"))) &&
           (use == NULL || (dm_json_is(use, DM_JSON_STRING) &&
                            (use_text.len == 0 || dm_view_eq(use_text, DM_LIT("access"))))) &&
           dm_json_get(p, DM_LIT("aud")) == NULL &&
           dm_json_str(dm_json_get(p, DM_LIT("sub"))).len > 0 &&
           dm_json_str(dm_json_get(p, DM_LIT("jti"))).len > 0;
}

static void check_payload(dm_view payload, struct dm_arena *arena)
{
    static const struct dm_json_limits limits = {
        .max_bytes = DM_JWT_MAX, .max_depth = 16, .max_values = 1024};
    struct dm_json *p = NULL;
    struct dm_jwt_claims c;
    struct dm_buf token;
    dm_buf_init(&token, 1 << 20);
    make_token(DM_LIT("{\"alg\":\"HS256\"}"), payload, &token);
    bool taken = verify(dm_buf_view(&token), DM_JWT_ACCESS, arena, &c) == DM_JWT_OK;
    bool pass = dm_json_parse(payload, &limits, &p, NULL) == DM_OK && payload_should_pass(p) &&
                dm_buf_view(&token).len <= DM_JWT_MAX;
    DM_REQUIRE(taken == pass);
    if (taken) {
        check_claims(&c);
        DM_REQUIRE(dm_view_eq(c.sub, dm_json_str(dm_json_get(p, DM_LIT("sub")))));
        DM_REQUIRE(dm_view_eq(c.jti, dm_json_str(dm_json_get(p, DM_LIT("jti")))));
        DM_REQUIRE(dm_view_eq(c.role, dm_json_str(dm_json_get(p, DM_LIT("role")))));
    }
    dm_json_free(p);
    dm_buf_done(&token);
}

/* The same payload under a key: cached and plain verification agree, twice. */
static void check_cache(const struct dm_keyset *ks, dm_view payload, struct dm_arena *arena)
{
    struct dm_jwt_claims plain, cached;
    struct dm_buf token;
    dm_buf_init(&token, 1 << 20);
    if (payload.len > 0 && payload.ptr[0] == '{' &&
        dm_jwt_sign(dm_keyset_signer(ks), payload, &token) == DM_OK) {
        dm_view t = dm_buf_view(&token);
        enum dm_jwt_fault f =
            dm_jwt_verify(ks, t, DM_JWT_ACCESS, (dm_time)NOW * DM_SEC, arena, &plain);
        for (int i = 0; i < 2; i++) {
            DM_REQUIRE(dm_jwt_cache_verify(cache, ks, t, DM_JWT_ACCESS, (dm_time)NOW * DM_SEC,
                                           arena, &cached) == f);
            DM_REQUIRE(f != DM_JWT_OK ||
                       (dm_view_eq(plain.sub, cached.sub) && plain.exp == cached.exp &&
                        dm_view_eq(plain.jti, cached.jti)));
        }
    }
    dm_buf_done(&token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    start();
    if (size == 0)
        return 0;
    struct dm_arena_pool *pool = dm_arena_pool_new(16384, 2);
    struct dm_arena arena;
    dm_view rest = dm_view_make((const char *)data + 1, size - 1);
    dm_arena_init(&arena, pool, ARENA_CAP);
    switch (data[0]) {
    case 'h':
        check_header(rest, &arena);
        break;
    case 'p':
        check_payload(rest, &arena);
        break;
    case 'c':
        check_cache(ec_keys, rest, &arena);
        check_cache(hmac_keys, rest, &arena);
        break;
    default:
        check_token(dm_view_make((const char *)data, size), &arena);
    }
    dm_arena_reset(&arena);
    dm_arena_pool_free(pool);
    return 0;
}
