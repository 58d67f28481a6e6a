/* JWT (RFC 7519) in JWS compact form. Verification gives the claims that the product reads and
 * nothing else; we allocate nothing: strings are decoded into `arena`. Any thread (arena: its
 * owner's). */
#pragma once

#include "base/arena.h"
#include "base/clock.h"
#include "crypto/keyset.h"

/* Longer tokens are refused: ours are below 1 KB, and header fields are capped anyway. */
enum { DM_JWT_MAX = 8192 };

struct dm_jwt_claims {
    dm_view sub, jti, role, token_use;
    int64_t exp, iat, nbf; /* Unix seconds; iat and nbf 0 when absent */
    bool has_aud;
};

enum dm_jwt_use { DM_JWT_ACCESS = 0, DM_JWT_REFRESH, DM_JWT_ANY };

/* Why a token was refused: for metrics and logs, never for the client. */
enum dm_jwt_fault {
    DM_JWT_OK = 0,
    DM_JWT_MALFORMED,
    DM_JWT_UNKNOWN_KEY,
    DM_JWT_BAD_ALG,
    DM_JWT_BAD_SIGNATURE,
    DM_JWT_EXPIRED,
    DM_JWT_NOT_YET,
    DM_JWT_BAD_CLAIMS,
    DM_JWT_WRONG_USE,
    DM_JWT_NO_ROOM /* nothing is wrong with the token: `arena` had no room for its claims */
};
const char *dm_jwt_fault_name(enum dm_jwt_fault f);

/* Order of gateway.md §8.3. `wall` is now; no leeway. ACCESS takes token_use "access" or none,
 * REFRESH wants "refresh", ANY takes every one. Claims are written on DM_JWT_OK only. */
enum dm_jwt_fault dm_jwt_verify(const struct dm_keyset *ks, dm_view token, enum dm_jwt_use use,
                                dm_time wall, struct dm_arena *arena,
                                struct dm_jwt_claims *ret) DM_MUST_USE;
/* Signs payload_json (a JSON object text) with k: header {"alg","kid","typ":"JWT"}. */
enum dm_code dm_jwt_sign(const struct dm_key *k, dm_view payload_json,
                         struct dm_buf *out) DM_MUST_USE;

/* Claims of verified tokens; bounded, least recently used goes first, expiry respected, dropped
 * whole when the keyset changes. Tokens of asymmetric keys are known by their SHA-256 and not
 * verified again; those of HMAC keys are, each time, and known by their MAC: only reading their
 * claims is saved. One thread (a worker's own). */
struct dm_jwt_cache;
struct dm_jwt_cache *dm_jwt_cache_new(size_t entries);
void dm_jwt_cache_free(struct dm_jwt_cache *c);
/* As dm_jwt_verify. */
enum dm_jwt_fault dm_jwt_cache_verify(struct dm_jwt_cache *c, const struct dm_keyset *ks,
                                      dm_view token, enum dm_jwt_use use, dm_time wall,
                                      struct dm_arena *arena,
                                      struct dm_jwt_claims *ret) DM_MUST_USE;
void dm_jwt_cache_clear(struct dm_jwt_cache *c);
