#include "crypto/sealed.h"

#include "base/mem.h"
#include "crypto/fernet.h"

#include <stdatomic.h>

#include "base/poison.h"

enum { KEYS_MAX = 16 }; /* of a list, for rotation: two are usual */
static const dm_view PREFIX = DM_LIT("enc:");

struct dm_sealing {
    _Atomic unsigned refs;
    struct dm_secret keys[KEYS_MAX + 1];
    size_t n;
};

static void add(struct dm_sealing *s, dm_view text)
{
    if (text.len > 0 && s->n < DM_COUNT_OF(s->keys))
        dm_fernet_key(text, &s->keys[s->n++]);
}

/* A key that was chosen with a comma in it, before there were lists, still opens what it sealed. */
struct dm_sealing *dm_sealing_new(const struct dm_secret *setting)
{
    struct dm_sealing *s = DM_NEW(struct dm_sealing);
    const dm_view whole = dm_secret_view(setting);
    dm_view rest = whole, item;
    atomic_init(&s->refs, 1);
    while (s->n < KEYS_MAX && dm_view_split(&rest, ',', &item))
        add(s, dm_view_trim(item));
    if (dm_view_find_byte(whole, ',', 0) < whole.len)
        add(s, whole);
    return s;
}

struct dm_sealing *dm_sealing_ref(struct dm_sealing *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void dm_sealing_unref(struct dm_sealing *s)
{
    if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < s->n; i++)
        dm_secret_done(&s->keys[i]);
    dm_mem_free(s);
}

void dm_seal(const struct dm_sealing *s, dm_view plain, dm_time wall, struct dm_buf *out)
{
    if (s->n == 0) {
        dm_buf_add(out, plain);
        return;
    }
    dm_buf_add(out, PREFIX);
    dm_fernet_encrypt(&s->keys[0], plain, wall, out);
}

enum dm_code dm_unseal(const struct dm_sealing *s, dm_view stored, struct dm_buf *out)
{
    if (!dm_view_starts(stored, PREFIX)) {
        dm_buf_add(out, stored);
        return dm_buf_ok(out) ? DM_OK : DM_LIMIT;
    }
    for (size_t i = 0; i < s->n; i++) {
        enum dm_code rc =
            dm_fernet_decrypt(&s->keys[i], dm_view_sub(stored, PREFIX.len, SIZE_MAX), out);
        if (rc == DM_OK || rc == DM_LIMIT)
            return rc;
    }
    return DM_INVALID;
}
