/* Keys that sign and verify tokens (configuration.md §2.13, gateway.md §8.3): JWT_KEYS, the RSA
 * pair, or JWT_SECRET_KEY as kid "legacy-key". The algorithm belongs to the key, never to the
 * token. Immutable after building, counted; any thread. Wiped on the last unref. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

enum dm_jwt_alg {
    DM_JWT_NONE = 0,
    DM_JWT_HS256,
    DM_JWT_HS384,
    DM_JWT_HS512,
    DM_JWT_RS256,
    DM_JWT_ES256
};

struct dm_keyset;
struct dm_key;

struct dm_keyset_source {
    dm_view jwt_keys;                /* JSON text, or empty */
    dm_view secret;                  /* JWT_SECRET_KEY, or empty */
    dm_view private_pem, public_pem; /* RS256 pair, or empty */
    bool sidecar;                    /* a private half is then a fault (G31) */
};
/* Appends every fault to `faults`, a line each without secrets; DM_INVALID when there is any. The
 * secret counts only where neither JWT_KEYS nor the pair is given. Reads the *_path files. */
enum dm_code dm_keyset_build(const struct dm_keyset_source *src, struct dm_keyset **ret,
                             struct dm_buf *faults) DM_MUST_USE;
struct dm_keyset *dm_keyset_ref(struct dm_keyset *ks);
void dm_keyset_unref(struct dm_keyset *ks);
/* kid empty: the only key, else "legacy-key", else NULL. Borrowed. */
const struct dm_key *dm_keyset_find(const struct dm_keyset *ks, dm_view kid);
/* The first active key with signing material, or NULL. */
const struct dm_key *dm_keyset_signer(const struct dm_keyset *ks);
dm_view dm_key_id(const struct dm_key *k);
enum dm_jwt_alg dm_key_alg(const struct dm_key *k);
bool dm_key_asymmetric(const struct dm_key *k);
bool dm_keyset_has_hmac(const struct dm_keyset *ks);
/* Raw signature over data; ES256 gives r||s (RFC 7518 §3.4). HMAC compares in constant time. */
enum dm_code dm_key_sign(const struct dm_key *k, dm_view data, struct dm_buf *out) DM_MUST_USE;
bool dm_key_verify(const struct dm_key *k, dm_view data, dm_view signature);
