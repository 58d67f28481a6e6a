/* SHA-256 and HMAC-SHA256 through OpenSSL EVP, fetched once; SHA-1 for names that others made with
 * it, never for trust. Any thread. */
#pragma once

#include "base/view.h"

enum { DM_SHA256_LEN = 32, DM_SHA1_LEN = 20 };
void dm_sha1(dm_view data, unsigned char out[DM_SHA1_LEN]);
void dm_sha256(dm_view data, unsigned char out[DM_SHA256_LEN]);
void dm_hmac_sha256(dm_view key, dm_view data, unsigned char out[DM_SHA256_LEN]);
void dm_hkdf_sha256(dm_view key, dm_view salt, dm_view info, unsigned char *out, size_t len);
