/* AES-256-GCM (NIST SP 800-38D) through OpenSSL: 12-byte nonce, 16-byte tag behind the ciphertext.
 * A nonce must never be used twice with one key. Pure; any thread. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

enum { DM_AES256_KEY_LEN = 32, DM_GCM_NONCE_LEN = 12, DM_GCM_TAG_LEN = 16 };

void dm_aes256_gcm_seal(const unsigned char key[DM_AES256_KEY_LEN],
                        const unsigned char nonce[DM_GCM_NONCE_LEN], dm_view plain,
                        struct dm_buf *out);
/* DM_INVALID when the tag does not fit: nothing is appended then. */
enum dm_code dm_aes256_gcm_open(const unsigned char key[DM_AES256_KEY_LEN],
                                const unsigned char nonce[DM_GCM_NONCE_LEN], dm_view sealed,
                                struct dm_buf *out) DM_MUST_USE;
