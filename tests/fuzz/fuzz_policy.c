/* layer: store */
/* Values of policy as Redis could hold them, and lists of objects. What is taken, built again, is
 * byte for byte what came; a list's entries add up to it. */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "store/policy_envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAP = 1 << 20 };

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
#ifdef DOORMAN_PLANT_BUG
    DM_REQUIRE(!(v.form == DM_POLICY_DELTA && v.forget));
#endif
    dm_buf_done(&again);
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
