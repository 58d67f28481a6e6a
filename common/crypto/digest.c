#include "crypto/digest.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "crypto/hmac.h"

#include "base/poison.h"

void dm_sha256(dm_view data, unsigned char out[DM_SHA256_LEN])
{
    unsigned char full[DM_HASH_LEN_MAX];
    dm_digest(DM_HASH_SHA256, data, full);
    memcpy(out, full, DM_SHA256_LEN);
}

void dm_sha1(dm_view data, unsigned char out[DM_SHA1_LEN])
{
    unsigned len = 0;
    int ok = EVP_Digest(data.ptr, data.len, out, &len, EVP_sha1(), NULL);
    DM_REQUIRE(ok == 1 && len == DM_SHA1_LEN);
}

void dm_hmac_sha256(dm_view key, dm_view data, unsigned char out[DM_SHA256_LEN])
{
    unsigned char full[DM_HASH_LEN_MAX];
    struct dm_hmac_key k;
    dm_hmac_key_init(&k, DM_HASH_SHA256, key);
    dm_hmac(&k, data, full);
    dm_hmac_key_done(&k);
    memcpy(out, full, DM_SHA256_LEN);
    dm_mem_wipe(full, sizeof(full));
}

/* RFC 5869. The expansion's input is previous block, info, counter. */
void dm_hkdf_sha256(dm_view key, dm_view salt, dm_view info, unsigned char *out, size_t len)
{
    enum { INFO_MAX = 256, BLOCKS_MAX = 255 };
    unsigned char prk[DM_SHA256_LEN];
    unsigned char text[DM_SHA256_LEN + INFO_MAX + 1];
    size_t before = 0; /* bytes of the previous block in text: none for the first */
    DM_REQUIRE(info.len <= INFO_MAX && len <= (size_t)BLOCKS_MAX * DM_SHA256_LEN);
    dm_hmac_sha256(salt, key, prk);
    for (unsigned char i = 1; len > 0; i++) {
        unsigned char block[DM_SHA256_LEN];
        size_t part = len < sizeof(block) ? len : sizeof(block);
        if (info.len > 0)
            memcpy(text + before, info.ptr, info.len);
        text[before + info.len] = i;
        dm_hmac_sha256(dm_view_make((const char *)prk, sizeof(prk)),
                       dm_view_make((const char *)text, before + info.len + 1), block);
        memcpy(out, block, part);
        memcpy(text, block, sizeof(block));
        before = sizeof(block);
        out += part;
        len -= part;
        dm_mem_wipe(block, sizeof(block));
    }
    dm_mem_wipe(prk, sizeof(prk));
    dm_mem_wipe(text, sizeof(text));
}
