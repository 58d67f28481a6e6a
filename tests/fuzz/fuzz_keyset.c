/* layer: crypto */
/* JWT_KEYS and the RSA pair. A set is built or every reason is told, never both; a sidecar's set
 * signs with nothing but HMAC; each key is found by its id. */
#include <stdint.h>
#include <stdlib.h>

#include "base/assert.h"
#include "crypto/keyset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifdef DOORMAN_PLANT_BUG
/* Reached only by a list of several keys whose signing one is called legacy-key. */
static void planted(const struct dm_keyset *ks, dm_view text)
{
    const struct dm_key *k = dm_keyset_signer(ks);
    dm_view rest = dm_view_sub(text, dm_view_find(text, DM_LIT("\"kid\"")) + 1, SIZE_MAX);
    if (k != NULL && dm_view_eq(dm_key_id(k), DM_LIT("legacy-key")) &&
        dm_view_find(rest, DM_LIT("\"kid\"")) != rest.len)
        abort();
}
#endif

static void check_set(const struct dm_keyset *ks, bool sidecar)
{
    const struct dm_key *k = dm_keyset_signer(ks);
    struct dm_buf signature;
    if (k == NULL)
        return;
    DM_REQUIRE(!sidecar || !dm_key_asymmetric(k));
    DM_REQUIRE(dm_keyset_find(ks, dm_key_id(k)) == k && dm_key_alg(k) != DM_JWT_NONE);
    DM_REQUIRE(dm_key_asymmetric(k) || dm_keyset_has_hmac(ks));
    dm_buf_init(&signature, 2048);
    DM_REQUIRE(dm_key_sign(k, DM_LIT("data"), &signature) == DM_OK);
    DM_REQUIRE(dm_key_verify(k, DM_LIT("data"), dm_buf_view(&signature)));
    DM_REQUIRE(!dm_key_verify(k, DM_LIT("date"), dm_buf_view(&signature)));
    dm_buf_done(&signature);
}

static void check_build(const struct dm_keyset_source *src)
{
    struct dm_keyset *ks = NULL;
    struct dm_buf faults;
    dm_buf_init(&faults, 1 << 20);
    enum dm_code code = dm_keyset_build(src, &ks, &faults);
    DM_REQUIRE((code == DM_OK) == (dm_buf_view(&faults).len == 0));
    DM_REQUIRE((code == DM_OK) == (ks != NULL));
    if (ks != NULL) {
        check_set(ks, src->sidecar);
#ifdef DOORMAN_PLANT_BUG
        planted(ks, src->jwt_keys);
#endif
    }
    dm_keyset_unref(ks);
    dm_buf_done(&faults);
}

/* The first byte chooses: 'a' JWT_KEYS of an admin, 'g' of a gateway, 'p' the pair and the secret
 * of an admin, 'q' of a gateway, cut at the first '|'. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    dm_view text = dm_view_make((const char *)data + 1, size - 1);
    size_t cut = dm_view_find_byte(text, '|', 0);
    struct dm_keyset_source src = {.sidecar = data[0] == 'g' || data[0] == 'q'};
    if (data[0] == 'p' || data[0] == 'q') {
        src.private_pem = dm_view_sub(text, 0, cut);
        src.public_pem = dm_view_sub(text, cut + 1, SIZE_MAX);
        src.secret = text;
    } else if (dm_view_find(text, DM_LIT("_path")) == text.len &&
               dm_view_find(text, DM_LIT("\\u")) == text.len) {
        src.jwt_keys = text; /* without paths: the fuzzer must not open files of its choosing */
    }
    check_build(&src);
    return 0;
}
