/* Fernet tokens (operations.md §8.13.1): 0x80, time, IV, AES-128-CBC, HMAC-SHA256. The MAC is
 * checked in constant time before anything is decrypted. Pure; any thread. */
#pragma once

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/secret.h"

/* A Fernet key as it is (base64url of 32 bytes), else SHA-256 of the text. */
void dm_fernet_key(dm_view setting, struct dm_secret *ret_key);
void dm_fernet_encrypt(const struct dm_secret *key, dm_view plain, dm_time wall,
                       struct dm_buf *out);
/* For the published vectors: fixed IV. */
void dm_fernet_encrypt_iv(const struct dm_secret *key, dm_view plain, dm_time wall,
                          const unsigned char iv[16], struct dm_buf *out);
enum dm_code dm_fernet_decrypt(const struct dm_secret *key, dm_view token,
                               struct dm_buf *out) DM_MUST_USE;
