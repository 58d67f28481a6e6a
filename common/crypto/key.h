/* One key of a keyset: HMAC pads or an EVP_PKEY. For keyset*.c, key.c and jwt.c. */
#pragma once

#include "crypto/hmac.h"
#include "crypto/keyset.h"

/* RFC 7518 §3.3 asks for 2048 at least; above 8192 one check costs a millisecond. */
enum { DM_RSA_BITS_MIN = 2048, DM_RSA_BITS_MAX = 8192, DM_SIGNATURE_MAX = DM_RSA_BITS_MAX / 8 };

struct dm_key {
    char *kid;
    enum dm_jwt_alg alg;
    bool active, can_sign;
    struct dm_hmac_key hmac;
    struct evp_pkey_st *pkey;
    struct evp_pkey_ctx_st *verify; /* ready; copied per call, since a context is one thread's */
};

dm_view dm_jwt_alg_name(enum dm_jwt_alg alg);  /* as in a token's header */
enum dm_jwt_alg dm_jwt_alg_find(dm_view name); /* DM_JWT_NONE when unknown */
bool dm_jwt_alg_is_hmac(enum dm_jwt_alg alg);

void dm_key_set_secret(struct dm_key *k, dm_view secret);
/* Reads PEM texts (either may be empty, not both; "\n" spelled out counts as a line end) and checks
 * kind, size and that the halves belong together. NULL, or what is wrong. */
const char *dm_key_set_pem(struct dm_key *k, dm_view private_pem, dm_view public_pem);
void dm_key_done(struct dm_key *k);
