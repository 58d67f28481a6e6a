#include "crypto/aead.h"

#include <openssl/evp.h>

#include "base/assert.h"

#include "base/poison.h"

/* EVP takes lengths as int: longer texts go in pieces. */
enum { STEP = 1 << 30 };

static bool update(EVP_CIPHER_CTX *ctx, dm_view in, char *out)
{
    for (size_t at = 0; at < in.len; at += STEP) {
        dm_view piece = dm_view_sub(in, at, STEP);
        int len = 0;
        if (EVP_CipherUpdate(ctx, (unsigned char *)out + at, &len, (const unsigned char *)piece.ptr,
                             (int)piece.len) != 1 ||
            (size_t)len != piece.len)
            return false;
    }
    return true;
}

static EVP_CIPHER_CTX *begin(const unsigned char *key, const unsigned char *nonce, bool seal)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    DM_REQUIRE(ctx != NULL);
    DM_REQUIRE(EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce, seal) == 1);
    return ctx;
}

void dm_aes256_gcm_seal(const unsigned char key[DM_AES256_KEY_LEN],
                        const unsigned char nonce[DM_GCM_NONCE_LEN], dm_view plain,
                        struct dm_buf *out)
{
    char *at = dm_buf_reserve(out, plain.len + DM_GCM_TAG_LEN);
    int rest = 0;
    if (at == NULL)
        return; /* the buffer is marked */
    EVP_CIPHER_CTX *ctx = begin(key, nonce, true);
    DM_REQUIRE(update(ctx, plain, at));
    DM_REQUIRE(EVP_CipherFinal_ex(ctx, (unsigned char *)at + plain.len, &rest) == 1 && rest == 0);
    DM_REQUIRE(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, DM_GCM_TAG_LEN, at + plain.len) ==
               1);
    EVP_CIPHER_CTX_free(ctx);
    dm_buf_commit(out, plain.len + DM_GCM_TAG_LEN);
}

enum dm_code dm_aes256_gcm_open(const unsigned char key[DM_AES256_KEY_LEN],
                                const unsigned char nonce[DM_GCM_NONCE_LEN], dm_view sealed,
                                struct dm_buf *out)
{
    if (sealed.len < DM_GCM_TAG_LEN)
        return DM_INVALID;
    dm_view text = dm_view_sub(sealed, 0, sealed.len - DM_GCM_TAG_LEN);
    char *at = dm_buf_reserve(out, text.len + 1); /* never empty: a NULL would say "full" */
    int rest = 0;
    if (at == NULL)
        return DM_LIMIT;
    EVP_CIPHER_CTX *ctx = begin(key, nonce, false);
    bool good = update(ctx, text, at) &&
                EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, DM_GCM_TAG_LEN,
                                    (void *)(uintptr_t)(sealed.ptr + text.len)) == 1 &&
                EVP_CipherFinal_ex(ctx, (unsigned char *)at + text.len, &rest) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (good)
        dm_buf_commit(out, text.len);
    else
        dm_mem_wipe(at, text.len); /* what was not authenticated is not there */
    return good ? DM_OK : DM_INVALID;
}
