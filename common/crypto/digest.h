/* SHA-256 and HMAC-SHA256 through OpenSSL EVP, fetched once. Any thread. */
#pragma once

#include "base/view.h"

enum { DM_SHA256_LEN = 32 };
void dm_sha256(dm_view data, unsigned char out[DM_SHA256_LEN]);
void dm_hmac_sha256(dm_view key, dm_view data, unsigned char out[DM_SHA256_LEN]);
void dm_hkdf_sha256(dm_view key, dm_view salt, dm_view info, unsigned char *out, size_t len);
