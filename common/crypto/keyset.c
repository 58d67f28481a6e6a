#include "crypto/keyset.h"

#include "base/assert.h"
#include "crypto/keyset_priv.h"

#include "base/poison.h"

struct dm_keyset *dm_keyset_ref(struct dm_keyset *ks)
{
    DM_REQUIRE(ks != NULL);
    atomic_fetch_add_explicit(&ks->refs, 1, memory_order_relaxed);
    return ks;
}

void dm_keyset_unref(struct dm_keyset *ks)
{
    if (ks == NULL || atomic_fetch_sub_explicit(&ks->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < ks->n; i++)
        dm_key_done(&ks->keys[i]);
    dm_mem_free(ks);
}

static const struct dm_key *find_kid(const struct dm_keyset *ks, dm_view kid)
{
    for (size_t i = 0; i < ks->n; i++) {
        if (dm_view_eq(dm_key_id(&ks->keys[i]), kid))
            return &ks->keys[i];
    }
    return NULL;
}

const struct dm_key *dm_keyset_find(const struct dm_keyset *ks, dm_view kid)
{
    if (kid.len > 0)
        return find_kid(ks, kid);
    return ks->n == 1 ? &ks->keys[0] : find_kid(ks, DM_LIT("legacy-key"));
}

const struct dm_key *dm_keyset_signer(const struct dm_keyset *ks)
{
    for (size_t i = 0; i < ks->n; i++) {
        if (ks->keys[i].active && ks->keys[i].can_sign)
            return &ks->keys[i];
    }
    return NULL;
}

bool dm_keyset_has_hmac(const struct dm_keyset *ks)
{
    for (size_t i = 0; i < ks->n; i++) {
        if (!dm_key_asymmetric(&ks->keys[i]))
            return true;
    }
    return false;
}
