#include "crypto/fernet.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/assert.h"
#include "codec/base64.h"
#include "crypto/digest.h"
#include "crypto/equal.h"
#include "crypto/random.h"

#include "base/poison.h"

/* Layout of a token before base64url: version, seconds, IV, ciphertext, MAC. */
enum {
    VERSION = 0x80,
    TIME_LEN = 8,
    IV_LEN = 16,
    HEAD_LEN = 1 + TIME_LEN + IV_LEN,
    BLOCK = 16,
    KEY_HALF = 16, /* first half signs, second half encrypts */
    KEY_LEN = 2 * KEY_HALF,
    KEY_TEXT_LEN = 44, /* 32 bytes in base64 with padding: the only form other libraries take */
    /* OpenSSL counts in int. A dump is the largest thing sealed and stays far below. */
    PLAIN_MAX = 1 << 30
};

void dm_fernet_key(dm_view setting, struct dm_secret *ret_key)
{
    unsigned char key[KEY_LEN];
    size_t len = 0;
    if (setting.len != KEY_TEXT_LEN || !dm_base64url_decode_to(setting, key, sizeof(key), &len) ||
        len != KEY_LEN)
        dm_sha256(setting, key);
    dm_secret_set(ret_key, dm_view_make((const char *)key, KEY_LEN));
    dm_mem_wipe(key, sizeof(key));
}

static dm_view half_of(const struct dm_secret *key, size_t from)
{
    DM_REQUIRE(dm_secret_view(key).len == KEY_LEN);
    return dm_view_sub(dm_secret_view(key), from, KEY_HALF);
}

static const unsigned char *bytes(dm_view v)
{
    return (const unsigned char *)v.ptr;
}

/* AES-128-CBC with PKCS #7. Gives the length written, SIZE_MAX when the padding is wrong. */
static size_t crypt_cbc(bool encrypt, const unsigned char *key, const unsigned char *iv, dm_view in,
                        unsigned char *out)
{
    int len = 0, rest = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    DM_ASSERT(ctx != NULL &&
              EVP_CipherInit_ex2(ctx, EVP_aes_128_cbc(), key, iv, encrypt, NULL) == 1);
    bool ok = EVP_CipherUpdate(ctx, out, &len, bytes(in), (int)in.len) == 1 &&
              EVP_CipherFinal_ex(ctx, out + len, &rest) == 1;
    EVP_CIPHER_CTX_free(ctx);
    ERR_clear_error();
    return ok ? (size_t)len + (size_t)rest : SIZE_MAX;
}

void dm_fernet_encrypt_iv(const struct dm_secret *key, dm_view plain, dm_time wall,
                          const unsigned char iv[16], struct dm_buf *out)
{
    if (plain.len > PLAIN_MAX) {
        dm_buf_reserve(out, SIZE_MAX); /* marks it: over any cap */
        return;
    }
    size_t size = HEAD_LEN + plain.len + BLOCK + DM_SHA256_LEN;
    unsigned char *token = dm_mem_alloc(size);
    uint64_t seconds = (uint64_t)(wall / DM_SEC);
    dm_view text = plain.len > 0 ? plain : DM_LIT("");
    token[0] = VERSION;
    for (int i = 0; i < TIME_LEN; i++)
        token[1 + i] = (unsigned char)(seconds >> (8 * (TIME_LEN - 1 - i)));
    memcpy(token + 1 + TIME_LEN, iv, IV_LEN);
    size_t len = crypt_cbc(true, bytes(half_of(key, KEY_HALF)), iv, text, token + HEAD_LEN);
    DM_ASSERT(len != SIZE_MAX);
    len += HEAD_LEN;
    dm_hmac_sha256(half_of(key, 0), dm_view_make((const char *)token, len), token + len);
    dm_base64url_encode(dm_view_make((const char *)token, len + DM_SHA256_LEN), true, out);
    dm_mem_free(token);
}

void dm_fernet_encrypt(const struct dm_secret *key, dm_view plain, dm_time wall, struct dm_buf *out)
{
    unsigned char iv[IV_LEN];
    dm_random_bytes(iv, sizeof(iv));
    dm_fernet_encrypt_iv(key, plain, wall, iv, out);
}

/* token is decoded. The MAC covers all before it and is judged before anything is decrypted. */
static enum dm_code open_token(const struct dm_secret *key, dm_view token, struct dm_buf *out)
{
    unsigned char mac[DM_SHA256_LEN];
    if (token.len < HEAD_LEN + BLOCK + DM_SHA256_LEN || token.len > PLAIN_MAX ||
        (token.len - HEAD_LEN - DM_SHA256_LEN) % BLOCK != 0 || bytes(token)[0] != VERSION)
        return DM_INVALID;
    dm_view sealed = dm_view_sub(token, 0, token.len - DM_SHA256_LEN);
    dm_hmac_sha256(half_of(key, 0), sealed, mac);
    if (!dm_equal_secret(dm_view_make((const char *)mac, sizeof(mac)),
                         dm_view_sub(token, sealed.len, DM_SHA256_LEN)))
        return DM_DENIED;
    dm_view text = dm_view_sub(sealed, HEAD_LEN, SIZE_MAX);
    char *to = dm_buf_reserve(out, text.len);
    if (to == NULL)
        return DM_LIMIT;
    size_t len = crypt_cbc(false, bytes(half_of(key, KEY_HALF)), bytes(sealed) + 1 + TIME_LEN, text,
                           (unsigned char *)to);
    if (len == SIZE_MAX)
        return DM_INVALID;
    dm_buf_commit(out, len);
    return DM_OK;
}

enum dm_code dm_fernet_decrypt(const struct dm_secret *key, dm_view token, struct dm_buf *out)
{
    struct dm_buf raw;
    if (token.len == 0 || token.len % 4 != 0) /* with padding, always */
        return DM_INVALID;
    dm_buf_init(&raw, token.len);
    enum dm_code code =
        dm_base64url_decode(token, &raw) ? open_token(key, dm_buf_view(&raw), out) : DM_INVALID;
    dm_buf_done(&raw);
    return code;
}
