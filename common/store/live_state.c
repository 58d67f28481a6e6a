#include "store/live_state.h"

#include <string.h>

#include "base/assert.h"
#include "base/index.h"
#include "base/log.h"
#include "store/live_credits.h"
#include "store/live_hits.h"
#include "store/live_keys.h"
#include "store/live_table.h"
#include "store/packed.h"

#include "base/poison.h"

enum {
    /* 128 bytes each, so 32 MB at most: a hundred thousand users within one window. A full table
     * answers UNKNOWN, and the limits' own setting decides. */
    COUNTERS_CAP = 256 * 1024,
    REVOCATIONS_CAP = 256 * 1024
};

struct dm_live_state {
    struct dm_live_table *counters, *revocations;
    struct dm_live_hits *hits;
    struct dm_live_credits *credits;
    struct dm_index objects;
    dm_time told_full; /* wall */
};

/* A counter that cannot be kept: said once a minute, not once a call. */
static void tell_full(struct dm_live_state *s, dm_time now)
{
    if (s->told_full != 0 && now - s->told_full < 60 * DM_SEC)
        return;
    s->told_full = now;
    DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "live counters: table full",
           DM_FI("entries", dm_live_table_count(s->counters)));
}

struct dm_live_state *dm_live_state_new(void)
{
    struct dm_live_state *s = DM_NEW(struct dm_live_state);
    s->counters = dm_live_table_new(COUNTERS_CAP);
    s->revocations = dm_live_table_new(REVOCATIONS_CAP);
    s->hits = dm_live_hits_new();
    s->credits = dm_live_credits_new();
    return s;
}

void dm_live_state_free(struct dm_live_state *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < dm_index_places(&s->objects); i++)
        dm_live_item_unref(dm_index_at(&s->objects, i));
    dm_index_done(&s->objects);
    dm_live_table_free(s->counters);
    dm_live_table_free(s->revocations);
    dm_live_hits_free(s->hits);
    dm_live_credits_free(s->credits);
    dm_mem_free(s);
}

bool dm_live_state_token_revoked(const struct dm_live_state *s, dm_view subject, dm_view jti,
                                 dm_time now)
{
    struct dm_live_key key;
    if (dm_live_table_count(s->revocations) == 0)
        return false;
    dm_live_key_revoked(&key, subject, jti);
    return dm_live_table_get(s->revocations, dm_live_key_view(&key), now) != NULL;
}

bool dm_live_state_is_revoked(const struct dm_live_state *s, dm_view subject, dm_view jti,
                              dm_time now)
{
    struct dm_live_key key;
    if (dm_live_table_count(s->revocations) == 0)
        return false;
    dm_live_key_revoke_all(&key, subject);
    return dm_live_table_get(s->revocations, dm_live_key_view(&key), now) != NULL ||
           dm_live_state_token_revoked(s, subject, jti, now);
}

/* One counter of an ask, looked at but not yet spent. */
struct slot {
    struct dm_live_key key;
    struct dm_live_entry *entry; /* NULL: zero so far */
    int64_t value;
    dm_time ends; /* wall */
};

static void look_up(struct dm_live_state *s, dm_view subject, const struct dm_counter_ask *c,
                    dm_time now, struct slot *ret)
{
    int64_t index = now / DM_SEC / c->window_seconds;
    switch (c->kind) {
    case DM_COUNTER_RATE:
        dm_live_key_rate(&ret->key, subject, index);
        break;
    case DM_COUNTER_THROTTLE:
        dm_live_key_throttle(&ret->key, subject, index);
        break;
    case DM_COUNTER_BANDWIDTH:
        dm_live_key_bandwidth(&ret->key, subject, c->window_seconds, index * c->window_seconds);
        break;
    }
    ret->ends = (index + 1) * c->window_seconds * DM_SEC;
    ret->entry = dm_live_table_get(s->counters, dm_live_key_view(&ret->key), now);
    ret->value = ret->entry == NULL ? 0 : ret->entry->value;
}

static bool refuses(const struct dm_counter_ask *c, int64_t value)
{
    switch (c->kind) {
    case DM_COUNTER_RATE:
        return value >= c->limit;
    case DM_COUNTER_THROTTLE:
        return value + 1 > c->queue || value + 1 - c->limit > c->max_delayed;
    case DM_COUNTER_BANDWIDTH:
        return value >= c->limit || c->amount > c->limit - value;
    }
    DM_UNREACHABLE();
}

static bool spend(struct dm_live_state *s, const struct dm_admit_ask *ask, struct slot *slots,
                  dm_time now, struct dm_admit_answer *ret)
{
    if (!dm_live_table_sweep(s->counters, ask->n_counters, now)) {
        tell_full(s, now);
        return false;
    }
    for (size_t i = 0; i < ask->n_counters; i++) {
        if (ask->counters[i].kind == DM_COUNTER_BANDWIDTH)
            continue; /* counted after the answer */
        /* Not expired when looked up, so no sweep took it. One not there may have been added just
         * now: an ask may name a counter twice. */
        dm_view key = dm_live_key_view(&slots[i].key);
        struct dm_live_entry *e = slots[i].entry;
        if (e == NULL)
            e = dm_live_table_get(s->counters, key, now);
        if (e == NULL)
            e = dm_live_table_add(s->counters, key, (uint8_t)ask->counters[i].kind, slots[i].ends,
                                  now);
        DM_ASSERT(e != NULL);
        ret->count[i] = ++e->value;
    }
    return true;
}

void dm_live_state_admit(struct dm_live_state *s, const struct dm_admit_ask *ask, dm_time now,
                         struct dm_admit_answer *ret)
{
    struct slot slots[DM_COUNTERS_MAX];
    bool token = ask->subject.len > 0 || ask->jti.len > 0;
    *ret = (struct dm_admit_answer){.verdict = DM_ADMIT_YES, .now_wall = now};
    /* Nobody could revoke such a token, and no user has such a name. */
    if (!dm_live_subject_fits(ask->subject, ask->jti) ||
        (token && dm_live_state_is_revoked(s, ask->subject, ask->jti, now))) {
        ret->verdict = DM_ADMIT_REVOKED;
        return;
    }
    for (size_t i = 0; ask->count && i < ask->n_counters; i++) {
        look_up(s, ask->subject, &ask->counters[i], now, &slots[i]);
        ret->count[i] = slots[i].value;
        ret->reset_wall[i] = slots[i].ends / DM_SEC;
        if (refuses(&ask->counters[i], slots[i].value)) {
            ret->verdict = DM_ADMIT_OVER;
            ret->refused_by = i;
            return;
        }
    }
    if (ask->count && ask->n_counters > 0 && !spend(s, ask, slots, now, ret))
        ret->verdict = DM_ADMIT_UNKNOWN;
}

void dm_live_state_add_bandwidth(struct dm_live_state *s, dm_view subject, int64_t window,
                                 int64_t bytes, dm_time now)
{
    struct slot slot;
    const struct dm_counter_ask c = {.kind = DM_COUNTER_BANDWIDTH, .window_seconds = window};
    if (!dm_live_subject_fits(subject, DM_VIEW_NONE))
        return; /* no user has such a name */
    look_up(s, subject, &c, now, &slot);
    if (slot.entry == NULL && dm_live_table_sweep(s->counters, 1, now))
        slot.entry = dm_live_table_add(s->counters, dm_live_key_view(&slot.key),
                                       DM_COUNTER_BANDWIDTH, slot.ends, now);
    if (slot.entry == NULL)
        tell_full(s, now);
    else if (__builtin_add_overflow(slot.entry->value, bytes, &slot.entry->value))
        slot.entry->value = INT64_MAX;
}

int64_t dm_live_state_bandwidth(struct dm_live_state *s, dm_view subject, int64_t window,
                                dm_time now)
{
    struct slot slot;
    const struct dm_counter_ask c = {.kind = DM_COUNTER_BANDWIDTH, .window_seconds = window};
    if (!dm_live_subject_fits(subject, DM_VIEW_NONE))
        return 0; /* no user has such a name */
    look_up(s, subject, &c, now, &slot);
    return slot.value;
}

enum dm_code dm_live_state_revoke(struct dm_live_state *s, dm_view subject, dm_view jti,
                                  dm_time expires, dm_time now)
{
    struct dm_live_key key;
    if (subject.len == 0 || !dm_live_subject_fits(subject, jti))
        return DM_INVALID;
    if (jti.len == 0)
        dm_live_key_revoke_all(&key, subject);
    else
        dm_live_key_revoked(&key, subject, jti);
    if (expires == 0)
        expires = DM_NEVER;
    struct dm_live_entry *e = dm_live_table_get(s->revocations, dm_live_key_view(&key), now);
    if (e == NULL && dm_live_table_sweep(s->revocations, 1, now))
        e = dm_live_table_add(s->revocations, dm_live_key_view(&key), 0, expires, now);
    if (e == NULL)
        return DM_LIMIT;
    e->value = now / DM_SEC;
    if (expires > e->expires)
        e->expires = expires;
    return DM_OK;
}

void dm_live_state_unrevoke(struct dm_live_state *s, dm_view subject, dm_time now)
{
    struct dm_live_key key;
    if (!dm_live_subject_fits(subject, DM_VIEW_NONE))
        return;
    dm_live_key_revoke_all(&key, subject);
    struct dm_live_entry *e = dm_live_table_get(s->revocations, dm_live_key_view(&key), now);
    if (e != NULL)
        dm_live_table_remove(s->revocations, e);
}

enum dm_code dm_live_state_hit(struct dm_live_state *s, dm_view name, dm_view id, int64_t limit,
                               int64_t window, dm_time now, struct dm_live_hit *ret)
{
    struct dm_live_key key;
    if (name.len > DM_LIVE_KIND_MAX || id.len > DM_LIVE_ID_MAX)
        return DM_INVALID;
    dm_live_key_hit(&key, name, id);
    return dm_live_hits_add(s->hits, dm_live_key_view(&key), limit, window * DM_SEC, now, ret);
}

enum dm_reserve_verdict dm_live_state_reserve(struct dm_live_state *s,
                                              const struct dm_reserve_ask *ask, dm_time now)
{
    struct dm_live_key key;
    if (!dm_live_credits_fit(ask->group, ask->subject))
        return DM_RESERVE_NONE;
    dm_live_key_credits(&key, ask->group, ask->subject);
    return dm_live_credits_reserve(s->credits, dm_live_key_view(&key), ask->id, ask->hold, now);
}

void dm_live_state_settle(struct dm_live_state *s, dm_view group, dm_view subject, dm_view id,
                          bool spent)
{
    struct dm_live_key key;
    if (!dm_live_credits_fit(group, subject))
        return;
    dm_live_key_credits(&key, group, subject);
    dm_live_credits_settle(s->credits, dm_live_key_view(&key), id, spent);
}

enum dm_code dm_live_state_credits_set(struct dm_live_state *s, dm_view group, dm_view subject,
                                       int64_t balance, bool unless_there, dm_time now)
{
    struct dm_live_key key;
    if (!dm_live_credits_fit(group, subject))
        return DM_INVALID;
    dm_live_key_credits(&key, group, subject);
    return dm_live_credits_put(s->credits, dm_live_key_view(&key), balance, unless_there, now);
}

enum dm_code dm_live_state_credits_get(struct dm_live_state *s, dm_view group, dm_view subject,
                                       dm_time now, int64_t *ret)
{
    struct dm_live_key key;
    if (!dm_live_credits_fit(group, subject))
        return DM_NOT_FOUND;
    dm_live_key_credits(&key, group, subject);
    return dm_live_credits_balance(s->credits, dm_live_key_view(&key), now, ret);
}

void dm_live_state_credits_delete(struct dm_live_state *s, dm_view group, dm_view subject)
{
    struct dm_live_key key;
    if (!dm_live_credits_fit(group, subject))
        return;
    dm_live_key_credits(&key, group, subject);
    dm_live_credits_remove(s->credits, dm_live_key_view(&key));
}

void dm_live_state_clear_counters(struct dm_live_state *s)
{
    dm_live_table_remove_family(s->counters, DM_COUNTER_RATE);
    dm_live_table_remove_family(s->counters, DM_COUNTER_THROTTLE);
    dm_live_hits_clear(s->hits);
}

static dm_view kind_of(const struct dm_live_item *i)
{
    return dm_view_make(i->text, i->kind_len);
}

static dm_view id_of(const struct dm_live_item *i)
{
    return dm_view_make(i->text + i->kind_len, i->id_len);
}

static dm_view kept_of(const struct dm_live_item *i)
{
    return dm_view_make(i->text + i->kind_len + i->id_len, i->kept);
}

static struct dm_live_item *item_with(const struct dm_live_change *c, dm_view kept)
{
    size_t names = c->kind.len + c->id.len;
    struct dm_live_item *i = dm_mem_alloc(offsetof(struct dm_live_item, text) + names + kept.len);
    atomic_init(&i->refs, 1);
    i->kind_len = (uint16_t)c->kind.len;
    i->id_len = (uint16_t)c->id.len;
    i->len = (uint32_t)c->bytes.len;
    i->kept = (uint32_t)kept.len;
    i->deleted = c->bytes.ptr == NULL;
    memcpy(i->text, c->kind.ptr, c->kind.len);
    memcpy(i->text + c->kind.len, c->id.ptr, c->id.len);
    if (kept.len > 0)
        memcpy(i->text + names, kept.ptr, kept.len);
    return i;
}

struct dm_live_item *dm_live_item_new(const struct dm_live_change *c)
{
    size_t len = c->kind.len + c->id.len + c->bytes.len;
    DM_REQUIRE(c->kind.len <= DM_LIVE_KIND_MAX && c->id.len <= DM_LIVE_ID_MAX && len <= UINT32_MAX);
    struct dm_live_item *i = NULL;
    struct dm_buf packed;
    dm_buf_init(&packed, c->bytes.len); /* no use when it gets longer */
    if (c->bytes.len > 0 && !dm_live_kind_on_demand(c->kind)) {
        dm_pack(c->bytes, &packed);
        if (dm_buf_ok(&packed)) {
            i = item_with(c, dm_buf_view(&packed));
            i->packed = true;
        }
    }
    dm_buf_done(&packed);
    return i != NULL ? i : item_with(c, c->bytes);
}

struct dm_live_item *dm_live_item_ref(struct dm_live_item *i)
{
    atomic_fetch_add_explicit(&i->refs, 1, memory_order_relaxed);
    return i;
}

void dm_live_item_unref(struct dm_live_item *i)
{
    if (i != NULL && atomic_fetch_sub_explicit(&i->refs, 1, memory_order_acq_rel) == 1)
        dm_mem_free(i);
}

struct dm_live_change dm_live_item_change(const struct dm_live_item *i, struct dm_buf *room)
{
    struct dm_live_change c = {kind_of(i), id_of(i), DM_VIEW_NONE};
    if (i->packed) {
        size_t at = dm_buf_view(room).len;
        dm_unpack(kept_of(i), room);
        c.bytes = dm_view_sub(dm_buf_view(room), at, i->len);
        DM_ASSERT(dm_buf_ok(room) && c.bytes.len == i->len);
    } else if (!i->deleted) {
        c.bytes = kept_of(i);
    }
    return c;
}

static uint64_t name_hash(dm_view kind, dm_view id)
{
    return dm_view_hash(id, dm_view_hash(kind, 0));
}

static bool is_named(const void *item, const void *key)
{
    const struct dm_live_change *wanted = key;
    return dm_view_eq(id_of(item), wanted->id) && dm_view_eq(kind_of(item), wanted->kind);
}

struct dm_live_item *dm_live_state_get(const struct dm_live_state *s, dm_view kind, dm_view id)
{
    const struct dm_live_change key = {.kind = kind, .id = id};
    return dm_index_find(&s->objects, name_hash(kind, id), is_named, &key);
}

void dm_live_state_put(struct dm_live_state *s, struct dm_live_item *item)
{
    const struct dm_live_change own = {.kind = kind_of(item), .id = id_of(item)};
    uint64_t hash = name_hash(own.kind, own.id);
    struct dm_live_item *old = dm_index_find(&s->objects, hash, is_named, &own);
    if (old != NULL) {
        DM_ASSERT(dm_index_remove(&s->objects, hash, old));
        dm_live_item_unref(old);
    }
    if (!item->deleted)
        dm_index_put(&s->objects, hash, dm_live_item_ref(item));
}

struct dm_live_item **dm_live_state_snapshot(const struct dm_live_state *s, size_t *ret_n)
{
    struct dm_live_item **items = dm_mem_array(dm_index_count(&s->objects), sizeof *items);
    size_t n = 0;
    for (size_t i = 0; i < dm_index_places(&s->objects); i++) {
        struct dm_live_item *item = dm_index_at(&s->objects, i);
        if (item != NULL && !dm_live_kind_on_demand(kind_of(item)))
            items[n++] = dm_live_item_ref(item);
    }
    *ret_n = n;
    return items;
}
