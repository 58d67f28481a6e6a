#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/jwt.h"

/* Reading claims is counted by what it needs and a hit does not: an arena of the payload's size.
 * The cache's own copy is smaller, so the arena's use tells a hit from a miss. */
struct fixture {
    struct dm_keyset *rsa, *rsa_again, *hmac;
    struct dm_jwt_cache *cache;
    struct dm_arena_pool *pool;
    struct dm_arena arena;
    struct dm_jwt_claims claims;
};

enum { ENTRIES = 3 };
static const dm_time now = 1700000000 * DM_SEC;

static struct dm_keyset *build(const struct dm_keyset_source *src)
{
    struct dm_keyset *ks = NULL;
    struct dm_buf faults;
    dm_buf_init(&faults, 4096);
    assert_int_equal(dm_keyset_build(src, &ks, &faults), DM_OK);
    dm_buf_done(&faults);
    return ks;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const struct dm_keyset_source pair = {.private_pem = dm_view_of(test_rsa_private),
                                          .public_pem = dm_view_of(test_rsa_public)};
    f->rsa = build(&pair);
    f->rsa_again = build(&pair);
    f->hmac = build(&(struct dm_keyset_source){.secret = DM_LIT("0123456789")});
    f->cache = dm_jwt_cache_new(ENTRIES);
    f->pool = dm_arena_pool_new(16384, 4);
    dm_arena_init(&f->arena, f->pool, 64 * 1024);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    dm_jwt_cache_free(f->cache);
    dm_jwt_cache_free(NULL);
    dm_keyset_unref(f->rsa);
    dm_keyset_unref(f->rsa_again);
    dm_keyset_unref(f->hmac);
    dm_arena_reset(&f->arena);
    dm_arena_pool_free(f->pool);
    free(f);
    return 0;
}

/* A token of about 2 KB whose claims are small. */
static char *sign(const struct dm_keyset *ks, const char *sub, long long exp, const char *more)
{
    char payload[2048];
    struct dm_buf b;
    int len = snprintf(
        payload, sizeof(payload),
        "{\"sub\":\"%s\",\"jti\":\"j-%s\",\"role\":\"r\",\"exp\":%lld%s,\"pad\":\"%01000d\"}", sub,
        sub, exp, more, 0);
    dm_buf_init(&b, 8192);
    assert_int_equal(dm_jwt_sign(dm_keyset_signer(ks), dm_view_make(payload, (size_t)len), &b),
                     DM_OK);
    return dm_buf_take(&b, NULL);
}

static enum dm_jwt_fault verify(struct fixture *f, const struct dm_keyset *ks, const char *token,
                                dm_time at, bool *ret_hit)
{
    dm_arena_reset(&f->arena);
    enum dm_jwt_fault fault = dm_jwt_cache_verify(f->cache, ks, dm_view_of(token), DM_JWT_ACCESS,
                                                  at, &f->arena, &f->claims);
    *ret_hit = dm_arena_used(&f->arena) < 1000;
    return fault;
}

static bool is_hit(struct fixture *f, const char *token)
{
    bool hit;
    assert_int_equal(verify(f, f->rsa, token, now, &hit), DM_JWT_OK);
    return hit;
}

static void the_second_time_comes_from_the_cache_with_the_same_claims(void **state)
{
    struct fixture *f = *state;
    char *token = sign(f->rsa, "bob", 1700000010, ",\"token_use\":\"access\",\"iat\":1699999990");
    assert_false(is_hit(f, token));
    assert_true(is_hit(f, token));
    assert_view(f->claims.sub, DM_LIT("bob"));
    assert_view(f->claims.jti, DM_LIT("j-bob"));
    assert_view(f->claims.role, DM_LIT("r"));
    assert_view(f->claims.token_use, DM_LIT("access"));
    assert_true(f->claims.exp == 1700000010 && f->claims.iat == 1699999990 && f->claims.nbf == 0);
    dm_jwt_cache_clear(f->cache); /* the claims were copied: they stay */
    assert_view(f->claims.sub, DM_LIT("bob"));
    assert_false(is_hit(f, token));
    dm_mem_free(token);
}

static void a_hit_allocates_nothing(void **state)
{
    struct fixture *f = *state;
    char *token = sign(f->rsa, "bob", 1800000000, "");
    assert_false(is_hit(f, token));
    assert_true(is_hit(f, token));
    uint64_t before = dm_mem_count();
    for (int i = 0; i < 50; i++)
        assert_true(is_hit(f, token));
    assert_int_equal(dm_mem_count(), before);
    dm_mem_free(token);
}

static void expiry_start_and_use_are_judged_on_every_hit(void **state)
{
    struct fixture *f = *state;
    bool hit;
    char *token = sign(f->rsa, "bob", 1700000010, ",\"nbf\":1700000000");
    assert_false(is_hit(f, token));
    assert_int_equal(verify(f, f->rsa, token, now - DM_SEC, &hit),
                     DM_JWT_NOT_YET); /* a stepped clock */
    assert_int_equal(dm_jwt_cache_verify(f->cache, f->rsa, dm_view_of(token), DM_JWT_REFRESH, now,
                                         &f->arena, &f->claims),
                     DM_JWT_WRONG_USE);
    assert_true(is_hit(f, token));
    assert_int_equal(verify(f, f->rsa, token, 1700000010 * DM_SEC, &hit), DM_JWT_OK);
    assert_true(hit);
    assert_int_equal(verify(f, f->rsa, token, 1700000011 * DM_SEC, &hit), DM_JWT_EXPIRED);
    assert_false(is_hit(f, token)); /* dropped when it expired */
    dm_mem_free(token);
}

static void an_arena_without_room_is_not_the_tokens_fault(void **state)
{
    struct fixture *f = *state;
    struct dm_arena small;
    char *token = sign(f->rsa, "bob", 1800000000, "");

    dm_arena_init(&small, f->pool, 16);
    for (int i = 0; i < 2; i++) { /* read anew, then remembered */
        assert_int_equal(dm_jwt_cache_verify(f->cache, f->rsa, dm_view_of(token), DM_JWT_ACCESS,
                                             now, &small, &f->claims),
                         DM_JWT_NO_ROOM);
        assert_true(is_hit(f, token) == (i == 1));
    }
    dm_arena_reset(&small);
    dm_mem_free(token);
}

static void the_least_recently_used_goes_first(void **state)
{
    struct fixture *f = *state;
    char *t[5];
    for (int i = 0; i < 5; i++)
        t[i] = sign(f->rsa, (char[]){(char)('a' + i), '\0'}, 1800000000, "");
    for (int i = 0; i < ENTRIES; i++)
        assert_false(is_hit(f, t[i]));
    assert_true(is_hit(f, t[0])); /* now 1 is the oldest */
    assert_false(is_hit(f, t[3]));
    assert_true(is_hit(f, t[0]));
    assert_true(is_hit(f, t[2]));
    assert_true(is_hit(f, t[3]));
    assert_false(is_hit(f, t[1]));
    for (int round = 0; round < 20; round++) { /* going round over more than fits never hits */
        bool hit = is_hit(f, t[round % 5]);
        assert_false(hit && round >= 5);
    }
    for (int i = 0; i < 5; i++)
        dm_mem_free(t[i]);
}

static void a_new_keyset_empties_the_cache(void **state)
{
    struct fixture *f = *state;
    bool hit;
    char *token = sign(f->rsa, "bob", 1800000000, "");
    assert_false(is_hit(f, token));
    assert_int_equal(verify(f, f->rsa_again, token, now, &hit), DM_JWT_OK);
    assert_false(hit); /* the same key, another set: verified anew */
    assert_int_equal(verify(f, f->rsa_again, token, now, &hit), DM_JWT_OK);
    assert_true(hit);
    assert_false(is_hit(f, token));
    dm_mem_free(token);
}

static void a_keyset_lives_as_long_as_the_cache_knows_it(void **state)
{
    struct fixture *f = *state;
    bool hit;
    char *token = sign(f->rsa, "bob", 1800000000, "");
    struct dm_keyset *brief = build(&(struct dm_keyset_source){
        .private_pem = dm_view_of(test_rsa_private), .public_pem = dm_view_of(test_rsa_public)});
    assert_int_equal(verify(f, brief, token, now, &hit), DM_JWT_OK);
    dm_keyset_unref(
        brief); /* its address must not come back for another set while the cache compares it */
    assert_false(is_hit(f, token));
    dm_mem_free(token);
}

static void refused_tokens_are_not_kept(void **state)
{
    struct fixture *f = *state;
    bool hit;
    char *token = sign(f->rsa, "bob", 1800000000, "");
    char *last = token + strlen(token) - 5;
    *last = *last == 'A' ? 'B' : 'A';
    for (int i = 0; i < 2; i++)
        assert_int_equal(verify(f, f->rsa, token, now, &hit), DM_JWT_BAD_SIGNATURE);
    dm_mem_free(token);
    assert_int_equal(verify(f, f->rsa, "a.b.c", now, &hit), DM_JWT_MALFORMED);
}

static void a_token_with_the_same_text_but_another_signature_is_no_hit(void **state)
{
    struct fixture *f = *state;
    bool hit;
    char *token = sign(f->rsa, "bob", 1800000000, "");
    assert_false(is_hit(f, token));
    token[strlen(token) - 10] ^= 1;
    assert_int_not_equal(verify(f, f->rsa, token, now, &hit), DM_JWT_OK);
    dm_mem_free(token);
}

static void hmac_tokens_are_verified_each_time_and_read_once(void **state)
{
    struct fixture *f = *state;
    bool hit;
    char *token = sign(f->hmac, "bob", 1700000010, ",\"token_use\":\"access\"");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(verify(f, f->hmac, token, now, &hit), DM_JWT_OK);
        assert_true(hit == (i > 0));
        assert_view(f->claims.sub, DM_LIT("bob"));
        assert_view(f->claims.jti, DM_LIT("j-bob"));
        assert_view(f->claims.token_use, DM_LIT("access"));
    }
    struct dm_keyset *other = build(&(struct dm_keyset_source){.secret = DM_LIT("9876543210")});
    assert_int_equal(verify(f, other, token, now, &hit), DM_JWT_BAD_SIGNATURE);
    dm_keyset_unref(other);
    assert_int_equal(verify(f, f->hmac, token, 1700000011 * DM_SEC, &hit), DM_JWT_EXPIRED);
    dm_mem_free(token);
}

static void longer_macs_are_remembered_too(void **state)
{
    struct fixture *f = *state;
    static const char *const algorithms[] = {"HS384", "HS512"};
    for (size_t i = 0; i < DM_COUNT_OF(algorithms); i++) {
        char keys[128];
        bool hit;
        (void)snprintf(keys, sizeof(keys),
                       "[{\"kid\":\"k\",\"algorithm\":\"%s\",\"active\":true,"
                       "\"secret\":\"0123456789\"}]",
                       algorithms[i]);
        struct dm_keyset *ks = build(&(struct dm_keyset_source){.jwt_keys = dm_view_of(keys)});
        char *token = sign(ks, "bob", 1800000000, "");
        assert_int_equal(verify(f, ks, token, now, &hit), DM_JWT_OK);
        assert_false(hit);
        assert_int_equal(verify(f, ks, token, now, &hit), DM_JWT_OK);
        assert_true(hit);
        char *last = strrchr(token, '.') + 60; /* behind the half that is remembered */
        *last = *last == 'A' ? 'B' : 'A';
        assert_int_equal(verify(f, ks, token, now, &hit), DM_JWT_BAD_SIGNATURE);
        dm_mem_free(token);
        dm_keyset_unref(ks);
    }
}

static void any_other_text_under_a_known_mac_is_refused(void **state)
{
    struct fixture *f = *state;
    bool hit;
    char *token = sign(f->hmac, "bob", 1800000000, ""),
         *twin = sign(f->hmac, "eve", 1800000000, "");
    size_t len = strlen(token);
    assert_int_equal(len, strlen(twin));
    assert_int_equal(verify(f, f->hmac, token, now, &hit), DM_JWT_OK);
    size_t signature = (size_t)(strrchr(token, '.') - token) + 1;
    memcpy(twin + signature, token + signature, len - signature);
    assert_int_equal(verify(f, f->hmac, twin, now, &hit), DM_JWT_BAD_SIGNATURE);
    for (size_t i = 0; i < len; i++) {
        char was = token[i];
        token[i] = was == 'A' ? 'B' : 'A';
        assert_int_not_equal(verify(f, f->hmac, token, now, &hit), DM_JWT_OK);
        token[i] = was;
    }
    assert_int_equal(verify(f, f->hmac, token, now, &hit), DM_JWT_OK);
    assert_true(hit);
    dm_mem_free(token);
    dm_mem_free(twin);
}

static void claims_too_long_for_an_entry_are_verified_each_time(void **state)
{
    struct fixture *f = *state;
    char sub[300];
    memset(sub, 's', sizeof(sub) - 1);
    sub[sizeof(sub) - 1] = '\0';
    char *token = sign(f->rsa, sub, 1800000000, "");
    assert_false(is_hit(f, token));
    assert_false(is_hit(f, token));
    assert_int_equal(f->claims.sub.len, sizeof(sub) - 1);
    dm_mem_free(token);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_second_time_comes_from_the_cache_with_the_same_claims),
        TEST(a_hit_allocates_nothing),
        TEST(expiry_start_and_use_are_judged_on_every_hit),
        TEST(an_arena_without_room_is_not_the_tokens_fault),
        TEST(the_least_recently_used_goes_first),
        TEST(a_new_keyset_empties_the_cache),
        TEST(a_keyset_lives_as_long_as_the_cache_knows_it),
        TEST(refused_tokens_are_not_kept),
        TEST(a_token_with_the_same_text_but_another_signature_is_no_hit),
        TEST(hmac_tokens_are_verified_each_time_and_read_once),
        TEST(longer_macs_are_remembered_too),
        TEST(any_other_text_under_a_known_mac_is_refused),
        TEST(claims_too_long_for_an_entry_are_verified_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
