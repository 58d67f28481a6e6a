#include "store/live_credits.h"

#include <string.h>

#include "base/index.h"
#include "base/list.h"
#include "store/live_keys.h"

#include "base/poison.h"

enum {
    ACCOUNTS_CAP = 256 * 1024, /* about 150 bytes each: a hundred thousand users in two groups */
    RESERVED_CAP = 64 * 1024,  /* calls under way at once, 150 bytes each; a full table answers
                                  UNKNOWN, so nobody is served for nothing */
    KEEP = 256                 /* free records kept; more were a burst */
};
static const dm_time LOOK_AGAIN = DM_SEC; /* a full table is searched for ended holds this often */

struct reservation {
    struct dm_link link; /* of its account */
    struct account *account;
    uint64_t hash;
    dm_time ends; /* wall */
    size_t id_len;
    char id[DM_LIVE_RESERVATION_MAX];
};

struct account {
    uint64_t hash;
    int64_t balance;
    struct dm_link reserved;
    dm_time due; /* no reservation ends before this */
    size_t key_len;
    char key[];
};

struct dm_live_credits {
    struct dm_index accounts, reserved;
    struct dm_link free;
    size_t n_free;
    dm_time looked; /* for ended holds everywhere */
};

struct dm_live_credits *dm_live_credits_new(void)
{
    struct dm_live_credits *c = DM_NEW(struct dm_live_credits);
    dm_list_init(&c->free);
    return c;
}

static void drop(struct dm_live_credits *c, struct reservation *r)
{
    (void)dm_index_remove(&c->reserved, r->hash, r);
    dm_list_remove(&r->link);
    if (c->n_free == KEEP) {
        dm_mem_free(r);
        return;
    }
    dm_list_add_head(&c->free, &r->link);
    c->n_free++;
}

static struct reservation *take(struct dm_live_credits *c)
{
    struct dm_link *l = dm_list_pop(&c->free);
    if (l != NULL) {
        c->n_free--;
        return DM_CONTAINER_OF(l, struct reservation, link);
    }
    struct reservation *r = DM_NEW(struct reservation);
    dm_list_init(&r->link);
    return r;
}

static void drop_all(struct dm_live_credits *c, struct account *a)
{
    DM_LIST_EACH_SAFE(&a->reserved, l, tmp)
    drop(c, DM_CONTAINER_OF(l, struct reservation, link));
}

void dm_live_credits_free(struct dm_live_credits *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < dm_index_places(&c->accounts); i++) {
        struct account *a = dm_index_at(&c->accounts, i);
        if (a == NULL)
            continue;
        drop_all(c, a);
        dm_mem_free(a);
    }
    for (struct dm_link *l; (l = dm_list_pop(&c->free)) != NULL;)
        dm_mem_free(DM_CONTAINER_OF(l, struct reservation, link));
    dm_index_done(&c->accounts);
    dm_index_done(&c->reserved);
    dm_mem_free(c);
}

static bool is_account(const void *item, const void *key)
{
    const struct account *a = item;
    return dm_view_eq(dm_view_make(a->key, a->key_len), *(const dm_view *)key);
}

struct wanted {
    const struct account *account;
    dm_view id;
};

static bool is_reservation(const void *item, const void *key)
{
    const struct reservation *r = item;
    const struct wanted *w = key;
    return r->account == w->account && dm_view_eq(dm_view_make(r->id, r->id_len), w->id);
}

static struct account *find(const struct dm_live_credits *c, dm_view key)
{
    return dm_index_find(&c->accounts, dm_view_hash(key, 0), is_account, &key);
}

static void give_back(struct account *a)
{
    if (a->balance < INT64_MAX)
        a->balance++;
}

/* What nobody settled comes back. Walks the account's reservations only once the earliest is due.
 */
static void collect(struct dm_live_credits *c, struct account *a, dm_time now)
{
    if (now < a->due)
        return;
    a->due = DM_NEVER;
    DM_LIST_EACH_SAFE(&a->reserved, l, tmp)
    {
        struct reservation *r = DM_CONTAINER_OF(l, struct reservation, link);
        if (r->ends <= now) {
            give_back(a);
            drop(c, r);
        } else if (r->ends < a->due) {
            a->due = r->ends;
        }
    }
}

static struct account *find_collected(struct dm_live_credits *c, dm_view key, dm_time now)
{
    struct account *a = find(c, key);
    if (a != NULL)
        collect(c, a, now);
    return a;
}

enum dm_code dm_live_credits_put(struct dm_live_credits *c, dm_view key, int64_t balance,
                                 bool unless_there, dm_time now)
{
    struct account *a = find_collected(c, key, now);
    if (a != NULL && unless_there)
        return DM_OK;
    if (a == NULL) {
        if (dm_index_count(&c->accounts) == ACCOUNTS_CAP)
            return DM_LIMIT;
        a = dm_mem_alloc(sizeof *a + key.len);
        a->hash = dm_view_hash(key, 0);
        a->due = DM_NEVER;
        a->key_len = key.len;
        memcpy(a->key, key.ptr, key.len);
        dm_list_init(&a->reserved);
        dm_index_put(&c->accounts, a->hash, a);
    }
    a->balance = balance;
    return DM_OK;
}

enum dm_code dm_live_credits_balance(struct dm_live_credits *c, dm_view key, dm_time now,
                                     int64_t *ret)
{
    const struct account *a = find_collected(c, key, now);
    if (a == NULL)
        return DM_NOT_FOUND;
    *ret = a->balance;
    return DM_OK;
}

void dm_live_credits_remove(struct dm_live_credits *c, dm_view key)
{
    struct account *a = find(c, key);
    if (a == NULL)
        return;
    drop_all(c, a);
    (void)dm_index_remove(&c->accounts, a->hash, a);
    dm_mem_free(a);
}

/* Holds of accounts that nobody asks for any more, looked at only when the table is full. */
static bool make_room(struct dm_live_credits *c, dm_time now)
{
    if (dm_index_count(&c->reserved) < RESERVED_CAP)
        return true;
    if (now - c->looked < LOOK_AGAIN && now >= c->looked)
        return false;
    c->looked = now;
    for (size_t i = 0; i < dm_index_places(&c->accounts); i++)
        if (dm_index_at(&c->accounts, i) != NULL)
            collect(c, dm_index_at(&c->accounts, i), now);
    return dm_index_count(&c->reserved) < RESERVED_CAP;
}

enum dm_reserve_verdict dm_live_credits_reserve(struct dm_live_credits *c, dm_view key, dm_view id,
                                                dm_time hold, dm_time now)
{
    struct account *a = find_collected(c, key, now);
    if (a == NULL)
        return DM_RESERVE_NONE;
    const struct wanted wanted = {a, id};
    uint64_t hash = dm_view_hash(id, a->hash);
    if (dm_index_find(&c->reserved, hash, is_reservation, &wanted) != NULL)
        return DM_RESERVE_YES;
    if (a->balance <= 0)
        return DM_RESERVE_NONE;
    if (!make_room(c, now))
        return DM_RESERVE_UNKNOWN;
    struct reservation *r = take(c);
    r->account = a;
    r->hash = hash;
    r->ends = hold > DM_NEVER - now ? DM_NEVER : now + hold;
    r->id_len = id.len;
    memcpy(r->id, id.ptr, id.len);
    dm_list_add_tail(&a->reserved, &r->link);
    dm_index_put(&c->reserved, hash, r);
    if (r->ends < a->due)
        a->due = r->ends;
    a->balance--;
    return DM_RESERVE_YES;
}

void dm_live_credits_settle(struct dm_live_credits *c, dm_view key, dm_view id, bool spent)
{
    struct account *a = find(c, key);
    if (a == NULL)
        return;
    const struct wanted wanted = {a, id};
    struct reservation *r =
        dm_index_find(&c->reserved, dm_view_hash(id, a->hash), is_reservation, &wanted);
    if (r == NULL)
        return;
    if (!spent)
        give_back(a);
    drop(c, r);
}
