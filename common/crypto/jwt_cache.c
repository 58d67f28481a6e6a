#include <string.h>

#include "base/assert.h"
#include "crypto/digest.h"
#include "crypto/jwt_priv.h"

#include "base/poison.h"

enum {
    /* Texts of one entry: a user name, a UUID, a role, a use take about 100 bytes. Longer ones are
     * verified anew each time. */
    TEXT_MAX = 256,
    ENTRIES_MAX = 1 << 20
};

static const uint32_t NONE = UINT32_MAX;

struct entry {
    unsigned char digest[DM_SHA256_LEN]; /* of the token, or its MAC where the key is an HMAC one */
    struct dm_jwt_claims claims;         /* views point into text */
    uint32_t newer, older;               /* order of use */
    uint32_t chain;                      /* next of the same bucket, or of the free list */
    char text[TEXT_MAX];
};

struct dm_jwt_cache {
    struct dm_keyset *keys; /* whose tokens these are; held, so its address is not used again */
    struct entry *entries;
    uint32_t *buckets;
    uint32_t n_entries, mask; /* buckets: a power of two */
    uint32_t n_begun;         /* entries ever used; those above are untouched memory */
    uint32_t free, newest, oldest;
};

struct dm_jwt_cache *dm_jwt_cache_new(size_t entries)
{
    DM_REQUIRE(entries > 0 && entries <= ENTRIES_MAX);
    struct dm_jwt_cache *c = DM_NEW(struct dm_jwt_cache);
    uint32_t buckets = 1;
    while (buckets < entries)
        buckets *= 2;
    c->n_entries = (uint32_t)entries;
    c->mask = buckets - 1;
    c->entries = dm_mem_array(entries, sizeof(*c->entries));
    c->buckets = dm_mem_array(buckets, sizeof(*c->buckets));
    dm_jwt_cache_clear(c);
    return c;
}

void dm_jwt_cache_free(struct dm_jwt_cache *c)
{
    if (c == NULL)
        return;
    dm_keyset_unref(c->keys);
    dm_mem_free(c->entries);
    dm_mem_free(c->buckets);
    dm_mem_free(c);
}

void dm_jwt_cache_clear(struct dm_jwt_cache *c)
{
    c->free = c->newest = c->oldest = NONE;
    for (uint32_t i = 0; i <= c->mask; i++)
        c->buckets[i] = NONE;
    c->n_begun = 0;
}

/* Only verified tokens get in, so nobody can aim at a bucket without our signature. */
static uint32_t *bucket_of(struct dm_jwt_cache *c, const unsigned char *digest)
{
    uint32_t n;
    memcpy(&n, digest, sizeof(n));
    return &c->buckets[n & c->mask];
}

static uint32_t find(struct dm_jwt_cache *c, const unsigned char *digest)
{
    uint32_t i = *bucket_of(c, digest);
    while (i != NONE && memcmp(c->entries[i].digest, digest, DM_SHA256_LEN) != 0)
        i = c->entries[i].chain;
    return i;
}

static void leave_order(struct dm_jwt_cache *c, struct entry *e)
{
    *(e->newer == NONE ? &c->newest : &c->entries[e->newer].older) = e->older;
    *(e->older == NONE ? &c->oldest : &c->entries[e->older].newer) = e->newer;
}

static void enter_order(struct dm_jwt_cache *c, uint32_t i)
{
    struct entry *e = &c->entries[i];
    e->newer = NONE;
    e->older = c->newest;
    *(c->newest == NONE ? &c->oldest : &c->entries[c->newest].newer) = i;
    c->newest = i;
}

static void drop(struct dm_jwt_cache *c, uint32_t i)
{
    struct entry *e = &c->entries[i];
    uint32_t *link = bucket_of(c, e->digest);
    while (*link != i)
        link = &c->entries[*link].chain;
    *link = e->chain;
    leave_order(c, e);
    e->chain = c->free;
    c->free = i;
}

static uint32_t take_free(struct dm_jwt_cache *c)
{
    if (c->free == NONE && c->n_begun < c->n_entries)
        return c->n_begun++;
    if (c->free == NONE)
        drop(c, c->oldest);
    uint32_t i = c->free;
    c->free = c->entries[i].chain;
    return i;
}

static dm_view keep_text(struct entry *e, size_t *used, dm_view text)
{
    char *at = e->text + *used;
    if (text.len > 0)
        memcpy(at, text.ptr, text.len);
    *used += text.len;
    return dm_view_make(at, text.len);
}

static void put(struct dm_jwt_cache *c, const unsigned char *digest,
                const struct dm_jwt_claims *claims)
{
    size_t used = 0;
    if (claims->sub.len + claims->jti.len + claims->role.len + claims->token_use.len > TEXT_MAX)
        return;
    uint32_t i = take_free(c);
    struct entry *e = &c->entries[i];
    memcpy(e->digest, digest, DM_SHA256_LEN);
    e->claims = *claims;
    e->claims.sub = keep_text(e, &used, claims->sub);
    e->claims.jti = keep_text(e, &used, claims->jti);
    e->claims.role = keep_text(e, &used, claims->role);
    e->claims.token_use = keep_text(e, &used, claims->token_use);
    uint32_t *bucket = bucket_of(c, digest);
    e->chain = *bucket;
    *bucket = i;
    enter_order(c, i);
}

/* The entry may go while the request waits, so its texts are copied: one block of the arena. */
static enum dm_jwt_fault copy_claims(const struct entry *e, struct dm_arena *arena,
                                     struct dm_jwt_claims *ret)
{
    char *text = dm_arena_alloc(arena, TEXT_MAX);
    if (text == NULL)
        return DM_JWT_NO_ROOM;
    memcpy(text, e->text, TEXT_MAX);
    *ret = e->claims;
    ret->sub.ptr = text + (e->claims.sub.ptr - e->text);
    ret->jti.ptr = text + (e->claims.jti.ptr - e->text);
    ret->role.ptr = text + (e->claims.role.ptr - e->text);
    ret->token_use.ptr = text + (e->claims.token_use.ptr - e->text);
    return DM_JWT_OK;
}

static enum dm_jwt_fault hit(struct dm_jwt_cache *c, uint32_t i, enum dm_jwt_use use, dm_time wall,
                             struct dm_arena *arena, struct dm_jwt_claims *ret)
{
    struct entry *e = &c->entries[i];
    enum dm_jwt_fault f = dm_jwt_judge(&e->claims, use, wall);
    if (f == DM_JWT_EXPIRED)
        drop(c, i);
    if (f != DM_JWT_OK)
        return f;
    leave_order(c, e);
    enter_order(c, i);
    return copy_claims(e, arena, ret);
}

static void use_keys(struct dm_jwt_cache *c, const struct dm_keyset *ks)
{
    if (c->keys == ks)
        return;
    dm_jwt_cache_clear(c);
    dm_keyset_unref(c->keys);
    c->keys = dm_keyset_ref((struct dm_keyset *)(uintptr_t)ks); /* counting is all that changes */
}

/* What stands for a token whose signature holds: the MAC of its text, of HS384 and HS512 the first
 * half. Two texts that share it are a collision of the hash, for the holder of the key too. */
static enum dm_jwt_fault check_mac(const struct dm_jwt_parts *parts,
                                   unsigned char ret_digest[DM_SHA256_LEN])
{
    struct dm_jwt_signature mac;
    enum dm_jwt_fault f = dm_jwt_check_signature(parts, &mac);
    if (f != DM_JWT_OK)
        return f;
    DM_ASSERT(mac.len >= DM_SHA256_LEN);
    memcpy(ret_digest, mac.bytes, DM_SHA256_LEN);
    return DM_JWT_OK;
}

static enum dm_jwt_fault read_claims(const struct dm_jwt_parts *parts, enum dm_jwt_use use,
                                     dm_time wall, struct dm_arena *arena,
                                     struct dm_jwt_claims *ret)
{
    enum dm_jwt_fault f = dm_jwt_read_claims(parts->payload, arena, ret);
    return f == DM_JWT_OK ? dm_jwt_judge(ret, use, wall) : f;
}

enum dm_jwt_fault dm_jwt_cache_verify(struct dm_jwt_cache *c, const struct dm_keyset *ks,
                                      dm_view token, enum dm_jwt_use use, dm_time wall,
                                      struct dm_arena *arena, struct dm_jwt_claims *ret)
{
    struct dm_jwt_parts parts;
    struct dm_jwt_signature signature;
    struct dm_jwt_claims claims;
    unsigned char digest[DM_SHA256_LEN];
    DM_REQUIRE(c != NULL && ks != NULL && arena != NULL && ret != NULL);
    enum dm_jwt_fault f = dm_jwt_open(ks, token, &parts);
    if (f != DM_JWT_OK)
        return f;
    bool asymmetric = dm_key_asymmetric(parts.key);
    use_keys(c, ks);
    if (asymmetric)
        dm_sha256(token, digest);
    else
        f = check_mac(&parts, digest);
    if (f != DM_JWT_OK)
        return f;
    uint32_t i = find(c, digest);
    if (i != NONE)
        return hit(c, i, use, wall, arena, ret);
    if (asymmetric)
        f = dm_jwt_check_signature(&parts, &signature);
    if (f == DM_JWT_OK)
        f = read_claims(&parts, use, wall, arena, &claims);
    if (f != DM_JWT_OK)
        return f;
    put(c, digest, &claims);
    *ret = claims;
    return DM_JWT_OK;
}
