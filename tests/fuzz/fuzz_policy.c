/* layer: store */
/* Values of policy as Redis could hold them, and lists of objects. What is taken, built again, is
 * byte for byte what came; nothing but our own signature opens it; a list's entries add up to it,
 * and packed it comes back. */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "store/policy_envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAP = 1 << 20 };

/* Signing and packing take a hundred times as long as reading: one input in eight pays for it. */
static bool thorough(dm_view in)
{
    return in.len % 8 == 0;
}

static struct dm_ed25519_signer *signer;
static struct dm_ed25519_verifier *verifier;

static void make_keys(void)
{
    struct dm_buf half;
    if (signer != NULL)
        return;
    dm_buf_init(&half, 256);
    dm_ed25519_derive(DM_LIT("a secret that no input knows"), &half);
    DM_REQUIRE(dm_ed25519_signer_new(dm_buf_view(&half), &signer, NULL) == DM_OK);
    dm_buf_clear(&half);
    dm_ed25519_public(signer, &half);
    DM_REQUIRE(dm_ed25519_verifier_new(dm_buf_view(&half), &verifier, NULL) == DM_OK);
    dm_buf_done(&half);
}

/* As it came: signed by nobody. Signed by us: good under its own key, no other, as no other form.
 */
static void check_signature(dm_view in, const struct dm_policy_value *v, dm_view key)
{
    struct dm_policy_value opened;
    struct dm_buf ours;
    make_keys();
    DM_REQUIRE(dm_policy_open(in, v->form, key, verifier, &opened) == DM_POLICY_SIGNATURE);
    DM_REQUIRE(dm_policy_open(in, v->form, key, NULL, &opened) == DM_POLICY_GOOD);
    dm_buf_init(&ours, DM_POLICY_VALUE_MAX);
    dm_policy_build(v, signer, &ours);
    const dm_view bytes = dm_buf_view(&ours);
    if (bytes.len <= DM_POLICY_VALUE_MAX) {
        DM_REQUIRE(dm_policy_open(bytes, v->form, key, verifier, &opened) == DM_POLICY_GOOD);
        DM_REQUIRE(dm_policy_open(bytes, v->form, DM_LIT("x"), verifier, &opened) ==
                   DM_POLICY_NAME);
        DM_REQUIRE(dm_policy_open(bytes, (v->form + 1) % 4, key, verifier, &opened) ==
                   DM_POLICY_NAME);
    }
    dm_buf_done(&ours);
}

static void check_value(dm_view in)
{
    struct dm_policy_value v;
    struct dm_live_key key;
    struct dm_buf again;
    if (!dm_policy_read(in, &v))
        return;
    dm_buf_init(&again, DM_POLICY_VALUE_MAX);
    dm_policy_build(&v, NULL, &again);
    DM_REQUIRE(dm_view_eq(dm_buf_view(&again), v.signed_part));
    DM_REQUIRE(v.signed_part.len + v.signature.len == in.len);
    dm_policy_key(&key, &v);
    DM_REQUIRE(dm_policy_named(&v, dm_live_key_view(&key)));
    if (thorough(in))
        check_signature(in, &v, dm_live_key_view(&key));
#ifdef DOORMAN_PLANT_BUG
    DM_REQUIRE(!(v.form == DM_POLICY_DELTA && v.version < v.generation));
#endif
    dm_buf_done(&again);
}

static void check_packing(dm_view list)
{
    struct dm_buf packed, back;
    dm_buf_init(&packed, list.len + CAP);
    dm_policy_list_pack(list, &packed);
    DM_REQUIRE(dm_policy_list_unpack(dm_buf_view(&packed), &back));
    DM_REQUIRE(dm_view_eq(dm_buf_view(&back), list));
    dm_buf_done(&packed);
    dm_buf_done(&back);
}

static void check_list(dm_view in)
{
    struct dm_policy_entry e;
    struct dm_buf again;
    dm_view rest = in;
    dm_buf_init(&again, in.len);
    while (dm_policy_entry_next(&rest, &e))
        dm_policy_entry_add(&again, &e);
    DM_REQUIRE(dm_buf_ok(&again) &&
               dm_view_eq(dm_buf_view(&again), dm_view_sub(in, 0, in.len - rest.len)));
    if (dm_buf_view(&again).len > 0 && thorough(in))
        check_packing(dm_buf_view(&again));
    dm_buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const dm_view in = dm_view_make((const char *)data, size);
    struct dm_buf list;
    check_value(in);
    check_list(in);
    /* A claim of 256 MB is true of no input this small, but would be reserved: keep to what fits.
     */
    if (size >= 4 && data[0] == 0 && data[1] < CAP >> 16) {
        if (dm_policy_list_unpack(in, &list))
            check_list(dm_buf_view(&list));
        dm_buf_done(&list);
    }
    return 0;
}
