#include "crypto/hmac.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#include "base/poison.h"

struct hash {
    const char *name;
    size_t len, block;
};

static const struct hash hashes[DM_HASH_COUNT_] = {[DM_HASH_SHA256] = {"SHA256", 32, 64},
                                                   [DM_HASH_SHA384] = {"SHA384", 48, 128},
                                                   [DM_HASH_SHA512] = {"SHA512", 64, 128}};

/* Contexts of one thread. Two plain digests on kept contexts cost what OpenSSL's EVP_MAC costs,
 * need no context per key and thread, and leave one small block per digest to OpenSSL 3.0's own
 * heap. */
struct contexts {
    EVP_MD_CTX *of[DM_HASH_COUNT_];
};

static EVP_MD *digests[DM_HASH_COUNT_];
static pthread_key_t at_thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local struct contexts *mine;

static void free_contexts(void *ptr)
{
    struct contexts *c = ptr;
    for (int i = 0; i < DM_HASH_COUNT_; i++)
        EVP_MD_CTX_free(c->of[i]);
    dm_mem_free(c);
    mine = NULL;
}

static void fetch_digests(void)
{
    for (int i = 0; i < DM_HASH_COUNT_; i++) {
        digests[i] = EVP_MD_fetch(NULL, hashes[i].name, NULL);
        DM_ASSERT(digests[i] != NULL);
    }
    int failed = pthread_key_create(&at_thread_end, free_contexts);
    DM_ASSERT(failed == 0);
}

static struct contexts *new_contexts(void)
{
    pthread_once(&once, fetch_digests);
    struct contexts *c = DM_NEW(struct contexts);
    for (int i = 0; i < DM_HASH_COUNT_; i++) {
        c->of[i] = EVP_MD_CTX_new();
        DM_ASSERT(c->of[i] != NULL);
    }
    int failed = pthread_setspecific(at_thread_end, c);
    DM_ASSERT(failed == 0);
    mine = c;
    return c;
}

/* Digest of prefix and data. */
static size_t digest2(enum dm_hash hash, dm_view prefix, dm_view data, unsigned char *out)
{
    EVP_MD_CTX *ctx = (mine != NULL ? mine : new_contexts())->of[hash];
    unsigned len = 0;
    int ok = EVP_DigestInit_ex2(ctx, digests[hash], NULL) == 1 &&
             EVP_DigestUpdate(ctx, prefix.ptr, prefix.len) == 1 &&
             EVP_DigestUpdate(ctx, data.ptr, data.len) == 1 &&
             EVP_DigestFinal_ex(ctx, out, &len) == 1;
    DM_ASSERT(ok && len == hashes[hash].len); /* fails only for lack of memory */
    return len;
}

size_t dm_digest(enum dm_hash hash, dm_view data, unsigned char out[DM_HASH_LEN_MAX])
{
    return digest2(hash, DM_VIEW_NONE, data, out);
}

void dm_hmac_key_init(struct dm_hmac_key *k, enum dm_hash hash, dm_view secret)
{
    unsigned char block[DM_HASH_BLOCK_MAX] = {0};
    if (secret.len > hashes[hash].block)
        dm_digest(hash, secret, block);
    else if (secret.len > 0)
        memcpy(block, secret.ptr, secret.len);
    k->hash_ = hash;
    for (size_t i = 0; i < sizeof(block); i++) {
        k->inner_[i] = block[i] ^ 0x36;
        k->outer_[i] = block[i] ^ 0x5C;
    }
    dm_mem_wipe(block, sizeof(block));
}

void dm_hmac_key_done(struct dm_hmac_key *k)
{
    dm_mem_wipe(k, sizeof(*k));
}

size_t dm_hmac(const struct dm_hmac_key *k, dm_view data, unsigned char out[DM_HASH_LEN_MAX])
{
    size_t block = hashes[k->hash_].block;
    size_t len = digest2(k->hash_, dm_view_make((const char *)k->inner_, block), data, out);
    return digest2(k->hash_, dm_view_make((const char *)k->outer_, block),
                   dm_view_make((const char *)out, len), out);
}
