/* The stages of verification, for jwt.c and jwt_cache.c. */
#pragma once

#include "crypto/jwt.h"
#include "crypto/key.h"

struct dm_jwt_parts {
    dm_view signed_text; /* header, dot, payload: still encoded */
    dm_view payload, signature;
    const struct dm_key *key;
};

/* Shape, header, key by kid, algorithm. Allocates nothing. */
enum dm_jwt_fault dm_jwt_open(const struct dm_keyset *ks, dm_view token, struct dm_jwt_parts *ret);
struct dm_jwt_signature {
    unsigned char bytes[DM_SIGNATURE_MAX];
    size_t len;
};
/* Decodes it into *ret, whether or not it is right. */
enum dm_jwt_fault dm_jwt_check_signature(const struct dm_jwt_parts *parts,
                                         struct dm_jwt_signature *ret);
/* Payload into claims; the texts stay in `arena`. Judges form, not time. */
enum dm_jwt_fault dm_jwt_read_claims(dm_view payload, struct dm_arena *arena,
                                     struct dm_jwt_claims *ret);
/* Time and use of claims that were read. */
enum dm_jwt_fault dm_jwt_judge(const struct dm_jwt_claims *claims, enum dm_jwt_use use,
                               dm_time wall);
