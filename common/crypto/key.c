#include "crypto/key.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/equal.h"

#include "base/poison.h"

/* ES256: r and s of 32 bytes each (RFC 7518 §3.4), DER on OpenSSL's side. */
enum { ES256_HALF = 32, ES256_LEN = 2 * ES256_HALF, ES256_DER_MAX = 80 };

struct alg {
    const char *name;
    bool hmac;
    enum dm_hash hash;
};

static const struct alg algs[] = {[DM_JWT_NONE] = {"", false, DM_HASH_SHA256},
                                  [DM_JWT_HS256] = {"HS256", true, DM_HASH_SHA256},
                                  [DM_JWT_HS384] = {"HS384", true, DM_HASH_SHA384},
                                  [DM_JWT_HS512] = {"HS512", true, DM_HASH_SHA512},
                                  [DM_JWT_RS256] = {"RS256", false, DM_HASH_SHA256},
                                  [DM_JWT_ES256] = {"ES256", false, DM_HASH_SHA256}};

dm_view dm_jwt_alg_name(enum dm_jwt_alg alg)
{
    return dm_view_of(algs[alg].name);
}

enum dm_jwt_alg dm_jwt_alg_find(dm_view name)
{
    for (size_t i = DM_JWT_NONE + 1; i < DM_COUNT_OF(algs); i++) {
        if (dm_view_eq(name, dm_view_of(algs[i].name)))
            return (enum dm_jwt_alg)i;
    }
    return DM_JWT_NONE;
}

bool dm_jwt_alg_is_hmac(enum dm_jwt_alg alg)
{
    return algs[alg].hmac;
}

dm_view dm_key_id(const struct dm_key *k)
{
    return dm_view_of(k->kid);
}

enum dm_jwt_alg dm_key_alg(const struct dm_key *k)
{
    return k->alg;
}

bool dm_key_asymmetric(const struct dm_key *k)
{
    return !algs[k->alg].hmac;
}

void dm_key_set_secret(struct dm_key *k, dm_view secret)
{
    DM_REQUIRE(algs[k->alg].hmac && secret.len > 0);
    dm_hmac_key_init(&k->hmac, algs[k->alg].hash, secret);
    k->can_sign = true;
}

void dm_key_done(struct dm_key *k)
{
    EVP_PKEY_CTX_free(k->verify);
    k->verify = NULL;
    EVP_PKEY_free(k->pkey); /* OpenSSL wipes the private numbers */
    k->pkey = NULL;
    dm_hmac_key_done(&k->hmac);
    dm_mem_free(k->kid);
    k->kid = NULL;
}

/* No terminal is ever asked for a passphrase. */
static int no_passphrase(char *buf, int size, int writing, void *ctx)
{
    (void)buf, (void)size, (void)writing, (void)ctx;
    return -1;
}

/* A public half may come as the certificate that carries it: tools that make key pairs without
 * OpenSSL at hand (Helm's) give it in no other form. */
static EVP_PKEY *read_public(BIO *bio)
{
    EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);
    X509 *certificate;

    if (key != NULL || BIO_reset(bio) != 1)
        return key;
    certificate = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
    key = certificate == NULL ? NULL : X509_get_pubkey(certificate);
    X509_free(certificate);
    return key;
}

static EVP_PKEY *read_pem(dm_view pem, bool private_half)
{
    enum { PEM_MAX = 64 * 1024 };
    if (pem.len > PEM_MAX)
        return NULL;
    char *text = dm_mem_alloc(pem.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < pem.len; i++) {
        bool spelled = pem.ptr[i] == '\\' && i + 1 < pem.len && pem.ptr[i + 1] == 'n';
        text[len++] = spelled ? '\n' : pem.ptr[i];
        i += spelled;
    }
    BIO *bio = BIO_new_mem_buf(text, (int)len);
    DM_ASSERT(bio != NULL);
    EVP_PKEY *pkey = private_half ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL)
                                  : read_public(bio);
    BIO_free(bio);
    ERR_clear_error();
    dm_mem_wipe(text, len);
    dm_mem_free(text);
    return pkey;
}

static const char *check_kind(enum dm_jwt_alg alg, const EVP_PKEY *pkey)
{
    if (alg == DM_JWT_RS256) {
        if (!EVP_PKEY_is_a(pkey, "RSA"))
            return "not an RSA key";
        int bits = EVP_PKEY_get_bits(pkey);
        return bits < DM_RSA_BITS_MIN   ? "RSA key under 2048 bits"
               : bits > DM_RSA_BITS_MAX ? "RSA key over 8192 bits"
                                        : NULL;
    }
    char curve[32];
    size_t len;
    if (!EVP_PKEY_is_a(pkey, "EC") ||
        EVP_PKEY_get_group_name(pkey, curve, sizeof(curve), &len) != 1 ||
        strcmp(curve, "prime256v1") != 0)
        return "not an EC key on P-256";
    return NULL;
}

/* A context ready to sign or verify a SHA-256 digest. NULL only when OpenSSL refuses the key. */
static EVP_PKEY_CTX *operation(const struct dm_key *k, int (*init)(EVP_PKEY_CTX *))
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
    bool ok = ctx != NULL && init(ctx) == 1 &&
              EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
              (k->alg != DM_JWT_RS256 || EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1);
    if (!ok) {
        EVP_PKEY_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

/* r||s to DER. 0 when it is no such pair. */
static size_t der_from_pair(dm_view pair, unsigned char der[ES256_DER_MAX])
{
    if (pair.len != ES256_LEN)
        return 0;
    const unsigned char *p = (const unsigned char *)pair.ptr;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(p, ES256_HALF, NULL);
    BIGNUM *s = BN_bin2bn(p + ES256_HALF, ES256_HALF, NULL);
    DM_ASSERT(sig != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(sig, r, s) == 1);
    int len = i2d_ECDSA_SIG(sig, &der);
    ECDSA_SIG_free(sig);
    DM_ASSERT(len > 0 && len <= ES256_DER_MAX);
    return (size_t)len;
}

static bool pair_from_der(const unsigned char *der, size_t len, unsigned char pair[ES256_LEN])
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);
    bool ok = sig != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(sig), pair, ES256_HALF) == ES256_HALF &&
              BN_bn2binpad(ECDSA_SIG_get0_s(sig), pair + ES256_HALF, ES256_HALF) == ES256_HALF;
    ECDSA_SIG_free(sig);
    return ok;
}

static bool verify_pkey(const struct dm_key *k, dm_view data, dm_view signature)
{
    unsigned char digest[DM_HASH_LEN_MAX], der[ES256_DER_MAX];
    const unsigned char *sig = (const unsigned char *)signature.ptr;
    size_t sig_len = signature.len;
    size_t digest_len = dm_digest(algs[k->alg].hash, data, digest);
    if (k->alg == DM_JWT_ES256) {
        sig_len = der_from_pair(signature, der);
        sig = der;
    }
    if (sig_len == 0)
        return false;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_dup(k->verify);
    bool ok = ctx != NULL && EVP_PKEY_verify(ctx, sig, sig_len, digest, digest_len) == 1;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error(); /* a refused signature leaves entries in this thread's queue */
    return ok;
}

bool dm_key_verify(const struct dm_key *k, dm_view data, dm_view signature)
{
    if (!algs[k->alg].hmac)
        return verify_pkey(k, data, signature);
    unsigned char mac[DM_HASH_LEN_MAX];
    size_t len = dm_hmac(&k->hmac, data, mac);
    bool ok = dm_equal_secret(dm_view_make((const char *)mac, len), signature);
    dm_mem_wipe(mac, sizeof(mac)); /* it is the signature that a forger lacks */
    return ok;
}

static bool sign_pkey(const struct dm_key *k, dm_view data, unsigned char *out, size_t *ret_len)
{
    unsigned char digest[DM_HASH_LEN_MAX], pair[ES256_LEN];
    size_t digest_len = dm_digest(algs[k->alg].hash, data, digest);
    size_t len = DM_SIGNATURE_MAX;
    EVP_PKEY_CTX *ctx = operation(k, EVP_PKEY_sign_init);
    bool ok = ctx != NULL && EVP_PKEY_sign(ctx, out, &len, digest, digest_len) == 1;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    if (ok && k->alg == DM_JWT_ES256) {
        ok = pair_from_der(out, len, pair);
        memcpy(out, pair, sizeof(pair));
        len = sizeof(pair);
    }
    *ret_len = len;
    return ok;
}

enum dm_code dm_key_sign(const struct dm_key *k, dm_view data, struct dm_buf *out)
{
    unsigned char signature[DM_SIGNATURE_MAX];
    size_t len;
    if (!k->can_sign)
        return DM_INVALID;
    if (algs[k->alg].hmac)
        len = dm_hmac(&k->hmac, data, signature);
    else if (!sign_pkey(k, data, signature, &len))
        return DM_BUG;
    dm_buf_add(out, dm_view_make((const char *)signature, len));
    return dm_buf_ok(out) ? DM_OK : DM_LIMIT;
}

/* A damaged PEM may hold numbers that belong to different keys; nothing else would notice before
 * the first token is refused. */
static bool halves_fit(const struct dm_key *k)
{
    unsigned char signature[DM_SIGNATURE_MAX];
    size_t len;
    dm_view sample = DM_LIT("do the halves fit");
    return sign_pkey(k, sample, signature, &len) &&
           verify_pkey(k, sample, dm_view_make((const char *)signature, len));
}

const char *dm_key_set_pem(struct dm_key *k, dm_view private_pem, dm_view public_pem)
{
    DM_REQUIRE(!algs[k->alg].hmac && k->pkey == NULL);
    EVP_PKEY *whole = private_pem.len > 0 ? read_pem(private_pem, true) : NULL;
    EVP_PKEY *half = public_pem.len > 0 ? read_pem(public_pem, false) : NULL;
    const char *wrong = NULL;
    if (private_pem.len > 0 && whole == NULL)
        wrong = "the private key is no readable PEM private key";
    else if (public_pem.len > 0 && half == NULL)
        wrong = "the public key is no readable PEM public key";
    else if (whole != NULL && half != NULL && EVP_PKEY_eq(whole, half) != 1)
        wrong = "the private and the public key do not belong together";
    else
        wrong = check_kind(k->alg, whole != NULL ? whole : half);
    ERR_clear_error();
    if (wrong != NULL) {
        EVP_PKEY_free(whole);
        EVP_PKEY_free(half);
        return wrong;
    }
    k->can_sign = whole != NULL;
    k->pkey = whole != NULL ? whole : half;
    if (whole != NULL)
        EVP_PKEY_free(half);
    k->verify = operation(k, EVP_PKEY_verify_init);
    if (k->verify == NULL)
        return "OpenSSL refuses this key";
    return k->can_sign && !halves_fit(k) ? "the private key does not fit its own public half"
                                         : NULL;
}
