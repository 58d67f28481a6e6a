#include "crypto/certificate.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <time.h>

#include "base/mem.h"

#include "base/poison.h"

/* Larger texts are no certificate files; also keeps the length within the int that OpenSSL takes.
 */
enum { PEM_MAX = 1 << 20 };

static BIO *bio_of(dm_view text)
{
    return text.len > 0 && text.len <= PEM_MAX ? BIO_new_mem_buf(text.ptr, (int)text.len) : NULL;
}

/* An encrypted key cannot be asked for its phrase by a server: it is refused, not prompted for. */
static int no_phrase(char *out, int size, int writing, void *ctx)
{
    (void)out;
    (void)size;
    (void)writing;
    (void)ctx;
    return -1;
}

static bool wall_of(const ASN1_TIME *when, dm_time *ret)
{
    struct tm parts;
    if (ASN1_TIME_to_tm(when, &parts) != 1)
        return false;
    *ret = (dm_time)timegm(&parts) * DM_SEC;
    return true;
}

static const char *judge(X509 *certificate, EVP_PKEY *key, dm_time wall, dm_time *ret_until)
{
    dm_time from, until;
    if (!wall_of(X509_get0_notBefore(certificate), &from) ||
        !wall_of(X509_get0_notAfter(certificate), &until))
        return "the certificate has no readable validity";
    *ret_until = until;
    if (X509_check_private_key(certificate, key) != 1)
        return "the key is not that of the certificate";
    if (wall > until)
        return "the certificate has expired";
    return wall < from ? "the certificate is not valid yet" : NULL;
}

const char *dm_certificate_check(dm_view chain, dm_view key, dm_time wall, dm_time *ret_until)
{
    BIO *chain_text = bio_of(chain), *key_text = bio_of(key);
    X509 *certificate =
        chain_text == NULL ? NULL : PEM_read_bio_X509(chain_text, NULL, no_phrase, NULL);
    EVP_PKEY *private_key =
        key_text == NULL ? NULL : PEM_read_bio_PrivateKey(key_text, NULL, no_phrase, NULL);
    const char *wrong = certificate == NULL   ? "no certificate can be read from it"
                        : private_key == NULL ? "no private key can be read"
                                              : judge(certificate, private_key, wall, ret_until);
    X509_free(certificate);
    EVP_PKEY_free(private_key);
    BIO_free(chain_text);
    BIO_free(key_text);
    ERR_clear_error();
    return wrong;
}
