/* HMAC (RFC 2104) over kept EVP digests: the key's two pads are made once, a call makes two digests
 * with the thread's own contexts and no heap of ours. For the files of crypto/. Any thread; a
 * struct dm_hmac_key is immutable after dm_hmac_key_init. */
#pragma once

#include "base/view.h"

enum dm_hash { DM_HASH_SHA256 = 0, DM_HASH_SHA384, DM_HASH_SHA512, DM_HASH_COUNT_ };
enum { DM_HASH_LEN_MAX = 64, DM_HASH_BLOCK_MAX = 128 };

struct dm_hmac_key {
    enum dm_hash hash_;
    unsigned char inner_[DM_HASH_BLOCK_MAX], outer_[DM_HASH_BLOCK_MAX];
};

void dm_hmac_key_init(struct dm_hmac_key *k, enum dm_hash hash, dm_view secret);
void dm_hmac_key_done(struct dm_hmac_key *k); /* wipes */
/* Both give the length of the result. */
size_t dm_hmac(const struct dm_hmac_key *k, dm_view data, unsigned char out[DM_HASH_LEN_MAX]);
size_t dm_digest(enum dm_hash hash, dm_view data, unsigned char out[DM_HASH_LEN_MAX]);
