#include "crypto/ed25519.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/assert.h"
#include "codec/base64.h"
#include "crypto/digest.h"

#include "base/poison.h"

enum { PEM_MAX = 64 * 1024 /* of one key; a certificate with its chain is less */ };

struct dm_ed25519_signer {
    EVP_PKEY *key;
};

struct dm_ed25519_verifier {
    size_t n;
    EVP_PKEY *keys[DM_ED25519_KEYS_MAX];
};

/* No terminal is ever asked for a passphrase. */
static int no_passphrase(char *buf, int size, int writing, void *ctx)
{
    (void)buf, (void)size, (void)writing, (void)ctx;
    return -1;
}

/* "\n" spelled out counts as a line end: environments hold PEM texts that way. */
static size_t spell_lines(dm_view pem, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < pem.len; i++) {
        bool spelled = pem.ptr[i] == '\\' && i + 1 < pem.len && pem.ptr[i + 1] == 'n';
        out[len++] = spelled ? '\n' : pem.ptr[i];
        i += spelled;
    }
    return len;
}

static EVP_PKEY *of_certificate(BIO *bio)
{
    X509 *cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
    EVP_PKEY *key = cert == NULL ? NULL : X509_get_pubkey(cert);
    X509_free(cert);
    return key;
}

static EVP_PKEY *read_pem(dm_view pem, bool private_half)
{
    if (pem.len > PEM_MAX)
        return NULL;
    char *text = dm_mem_alloc(pem.len + 1);
    size_t len = spell_lines(pem, text);
    BIO *bio = BIO_new_mem_buf(text, (int)len);
    DM_ASSERT(bio != NULL);
    EVP_PKEY *key;
    if (private_half)
        key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    else if (dm_view_find(pem, DM_LIT("BEGIN CERTIFICATE")) < pem.len)
        key = of_certificate(bio);
    else
        key = PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    ERR_clear_error();
    dm_mem_wipe(text, len);
    dm_mem_free(text);
    if (key != NULL && !EVP_PKEY_is_a(key, "ED25519")) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

static EVP_PKEY *read_raw(dm_view text, bool private_half)
{
    struct dm_buf raw;
    EVP_PKEY *key = NULL;
    dm_buf_init(&raw, 2 * DM_ED25519_SEED);
    bool good = dm_base64_decode(text, &raw) && dm_buf_ok(&raw);
    if (!good) {
        dm_buf_clear(&raw);
        good = dm_base64url_decode(text, &raw) && dm_buf_ok(&raw);
    }
    dm_view v = dm_buf_view(&raw);
    if (good && v.len == DM_ED25519_SEED) {
        const unsigned char *p = (const unsigned char *)v.ptr;
        key = private_half ? EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, p, v.len)
                           : EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, p, v.len);
    }
    ERR_clear_error();
    if (v.len > 0)
        dm_mem_wipe((char *)(uintptr_t)v.ptr, v.len);
    dm_buf_done(&raw);
    return key;
}

static EVP_PKEY *read_key(dm_view text, bool private_half)
{
    return dm_view_find(text, DM_LIT("-----BEGIN ")) < text.len ? read_pem(text, private_half)
                                                                : read_raw(text, private_half);
}

enum dm_code dm_ed25519_signer_new(dm_view text, struct dm_ed25519_signer **ret,
                                   struct dm_error *err)
{
    EVP_PKEY *key = read_key(dm_view_trim(text), true);
    if (key == NULL)
        return DM_FAIL(err, DM_INVALID, ERR_NONE, "could not read the signing key of policy");
    *ret = DM_NEW(struct dm_ed25519_signer);
    (*ret)->key = key;
    return DM_OK;
}

void dm_ed25519_sign(const struct dm_ed25519_signer *s, dm_view text,
                     unsigned char ret[DM_ED25519_LEN])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t len = DM_ED25519_LEN;
    DM_ASSERT(ctx != NULL && EVP_DigestSignInit_ex(ctx, NULL, NULL, NULL, NULL, s->key, NULL) == 1);
    DM_ASSERT(EVP_DigestSign(ctx, ret, &len, (const unsigned char *)text.ptr, text.len) == 1 &&
              len == DM_ED25519_LEN);
    EVP_MD_CTX_free(ctx);
}

void dm_ed25519_signer_free(struct dm_ed25519_signer *s)
{
    if (s == NULL)
        return;
    EVP_PKEY_free(s->key); /* OpenSSL wipes the private half */
    dm_mem_free(s);
}

enum dm_code dm_ed25519_verifier_new(dm_view keys, struct dm_ed25519_verifier **ret,
                                     struct dm_error *err)
{
    struct dm_ed25519_verifier *v = DM_NEW(struct dm_ed25519_verifier);
    dm_view rest = keys, item;
    size_t seen = 0;
    bool good = true;
    while (good && dm_view_split(&rest, ',', &item)) {
        item = dm_view_trim(item);
        if (item.len == 0)
            continue;
        seen++;
        EVP_PKEY *key = v->n < DM_ED25519_KEYS_MAX ? read_key(item, false) : NULL;
        good = key != NULL;
        if (good)
            v->keys[v->n++] = key;
    }
    if (!good || v->n == 0) {
        dm_ed25519_verifier_free(v);
        return DM_FAIL(err, DM_INVALID, ERR_NONE, "could not read verify key %zu of policy", seen);
    }
    *ret = v;
    return DM_OK;
}

static bool verify_one(EVP_PKEY *key, dm_view text, dm_view signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    DM_ASSERT(ctx != NULL && EVP_DigestVerifyInit_ex(ctx, NULL, NULL, NULL, NULL, key, NULL) == 1);
    bool good = EVP_DigestVerify(ctx, (const unsigned char *)signature.ptr, signature.len,
                                 (const unsigned char *)text.ptr, text.len) == 1;
    EVP_MD_CTX_free(ctx);
    return good;
}

bool dm_ed25519_verify(const struct dm_ed25519_verifier *v, dm_view text, dm_view signature)
{
    bool good = false;
    if (signature.len != DM_ED25519_LEN)
        return false;
    for (size_t i = 0; i < v->n && !good; i++)
        good = verify_one(v->keys[i], text, signature);
    ERR_clear_error(); /* a refused signature leaves entries in this thread's queue */
    return good;
}

void dm_ed25519_verifier_free(struct dm_ed25519_verifier *v)
{
    if (v == NULL)
        return;
    for (size_t i = 0; i < v->n; i++)
        EVP_PKEY_free(v->keys[i]);
    dm_mem_free(v);
}

void dm_ed25519_public(const struct dm_ed25519_signer *s, struct dm_buf *out)
{
    unsigned char raw[DM_ED25519_SEED];
    size_t len = sizeof raw;
    DM_ASSERT(EVP_PKEY_get_raw_public_key(s->key, raw, &len) == 1 && len == sizeof raw);
    dm_base64_encode(dm_view_make((const char *)raw, len), out);
}

void dm_ed25519_derive(dm_view jwt_secret, struct dm_buf *out)
{
    unsigned char seed[DM_ED25519_SEED];
    dm_hkdf_sha256(jwt_secret, DM_VIEW_NONE, DM_LIT("doorman-policy-ed25519-v1"), seed,
                   sizeof seed);
    dm_base64_encode(dm_view_make((const char *)seed, sizeof seed), out);
    dm_mem_wipe(seed, sizeof seed);
}
