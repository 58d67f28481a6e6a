#include "io/headers.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#include "base/poison.h"

struct known {
    dm_view name;
    unsigned flags;
};

static const struct known table[DM_HDR_COUNT_] = {
    [DM_HDR_OTHER] = {{"", 0}, 0},
#define DM_HEADER(id, name, flags) [DM_HDR_##id] = {{name, sizeof(name) - 1}, flags},
#include "io/headers.def"
#undef DM_HEADER
};

/* Open addressing over length, first, middle and last byte: three loads tell the names of
 * headers.def well apart (at most a handful of probes, a test counts them). Filled before main,
 * never written afterwards. */
enum { BUCKETS = 512, NAME_MAX_LEN = 40 };
static unsigned char buckets[BUCKETS];
_Static_assert(DM_HDR_COUNT_ < 255, "a bucket is one byte");
_Static_assert(DM_HDR_COUNT_ < BUCKETS / 3, "probing stays short");

static inline unsigned bucket_of(dm_view name)
{
    /* |0x20 folds letters; what else it folds together is told apart by the comparison */
    unsigned first = (unsigned char)name.ptr[0] | 0x20u;
    unsigned mid = (unsigned char)name.ptr[name.len / 2] | 0x20u;
    unsigned last = (unsigned char)name.ptr[name.len - 1] | 0x20u;
    return ((unsigned)name.len * 131u + first * 29u + mid * 7u + last * 61u) % BUCKETS;
}

__attribute__((constructor)) static void fill_buckets(void)
{
    for (unsigned id = 1; id < DM_HDR_COUNT_; id++) {
        DM_REQUIRE(table[id].name.len > 0 && table[id].name.len <= NAME_MAX_LEN);
        unsigned b = bucket_of(table[id].name);
        while (buckets[b] != 0)
            b = (b + 1) % BUCKETS;
        buckets[b] = (unsigned char)id;
    }
}

enum dm_header_id dm_header_find(dm_view name)
{
    if (name.len == 0 || name.len > NAME_MAX_LEN)
        return DM_HDR_OTHER;
    for (unsigned b = bucket_of(name); buckets[b] != 0; b = (b + 1) % BUCKETS)
        if (dm_view_eq_nocase(table[buckets[b]].name, name))
            return (enum dm_header_id)buckets[b];
    return DM_HDR_OTHER;
}

unsigned dm_header_flags(enum dm_header_id id)
{
    DM_REQUIRE((unsigned)id < DM_HDR_COUNT_);
    return table[id].flags;
}

bool dm_header_may_inject(dm_view name)
{
    for (size_t i = 0; i < name.len; i++) {
        const unsigned char c = (unsigned char)name.ptr[i];
        if (c <= 0x20 || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c) != NULL)
            return false;
    }
    return name.len > 0 && (dm_header_flags_of(dm_header_find(name), name) &
                            (DM_HF_HOP | DM_HF_OURS | DM_HF_INTERNAL)) == 0;
}

dm_view dm_header_name(enum dm_header_id id)
{
    DM_REQUIRE((unsigned)id < DM_HDR_COUNT_);
    return table[id].name;
}

static bool starts_nocase(dm_view v, dm_view prefix)
{
    return v.len >= prefix.len && dm_view_eq_nocase(dm_view_make(v.ptr, prefix.len), prefix);
}

unsigned dm_header_flags_of(enum dm_header_id id, dm_view name)
{
    if (id != DM_HDR_OTHER)
        return dm_header_flags(id);
    if (starts_nocase(name, DM_LIT("accept-")) || starts_nocase(name, DM_LIT("if-")))
        return DM_HF_REQUEST;
    if (starts_nocase(name, DM_LIT("content-")))
        return DM_HF_RESPONSE;
    if (starts_nocase(name, DM_LIT("x-doorman-internal-")))
        return DM_HF_OURS | DM_HF_INTERNAL;
    if (starts_nocase(name, DM_LIT("x-forwarded-")))
        return DM_HF_OURS;
    return 0;
}

dm_view dm_fields_get(const struct dm_fields *f, enum dm_header_id id)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->items[i].id == id)
            return f->items[i].value;
    return DM_VIEW_NONE;
}

dm_view dm_fields_get_name(const struct dm_fields *f, dm_view name)
{
    for (size_t i = 0; i < f->count; i++)
        if (dm_view_eq_nocase(f->items[i].name, name))
            return f->items[i].value;
    return DM_VIEW_NONE;
}

bool dm_fields_add(struct dm_fields *f, struct dm_arena *a, enum dm_header_id id, dm_view name,
                   dm_view value)
{
    if (f->count == f->size) {
        size_t size = f->size == 0 ? 16 : f->size * 2;
        struct dm_field_line *items = dm_arena_alloc(a, size * sizeof *items);
        if (items == NULL)
            return false;
        if (f->count > 0)
            memcpy(items, f->items, f->count * sizeof *items);
        f->items = items;
        f->size = size;
    }
    f->items[f->count++] = (struct dm_field_line){.name = name, .value = value, .id = id};
    return true;
}

bool dm_list_has_token(dm_view list, dm_view token)
{
    dm_view piece;
    while (dm_view_split(&list, ',', &piece))
        if (dm_view_eq_nocase(dm_view_trim(piece), token))
            return true;
    return false;
}

bool dm_fields_connection_lists(const struct dm_fields *f, dm_view name)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->items[i].id == DM_HDR_CONNECTION && dm_list_has_token(f->items[i].value, name))
            return true;
    return false;
}
