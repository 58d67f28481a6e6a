#include "model/watch.h"

#include "base/assert.h"
#include "base/mem.h"

enum {
    SETS = 128, /* with WAYS: 512 doers, 16 KB */
    WAYS = 4    /* nobody who hits one set by luck loses another's count at once */
};

struct doing {
    uint64_t who; /* a keyed hash: names and addresses of strangers are not kept */
    dm_time begun;
    uint32_t kind, count; /* 0: free */
};

struct dm_watch {
    struct doing sets[SETS][WAYS];
};

static const struct {
    uint32_t too_many;
    dm_time window;
} rules[DM_WATCH_KINDS_] = {
    [DM_WATCH_BAD_SIGNATURE] = {11, 60 * DM_SEC},
    [DM_WATCH_FAILED_LOGIN] = {5, 300 * DM_SEC},
    [DM_WATCH_FORWARDING] = {1, 60 * DM_SEC},
    [DM_WATCH_REVOKED_TOKEN] = {1, 60 * DM_SEC},
};

struct dm_watch *dm_watch_new(void)
{
    return DM_NEW(struct dm_watch);
}

void dm_watch_free(struct dm_watch *w)
{
    dm_mem_free(w);
}

/* The doer's own place, else a free one, else the oldest. */
static struct doing *place(struct doing set[WAYS], enum dm_watch_kind kind, uint64_t who)
{
    struct doing *oldest = &set[0];

    for (size_t i = 0; i < WAYS; i++)
        if (set[i].count > 0 && set[i].kind == kind && set[i].who == who)
            return &set[i];
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].count == 0)
            return &set[i];
        if (set[i].begun < oldest->begun)
            oldest = &set[i];
    }
    oldest->count = 0;
    return oldest;
}

bool dm_watch_count(struct dm_watch *w, enum dm_watch_kind kind, dm_view who, dm_time now)
{
    DM_REQUIRE(kind < DM_WATCH_KINDS_);
    const uint64_t hash = dm_view_hash(who, kind);
    struct doing *d = place(w->sets[hash % SETS], kind, hash);

    if (d->count == 0 || now - d->begun >= rules[kind].window)
        *d = (struct doing){.who = hash, .begun = now, .kind = kind};
    if (d->count < UINT32_MAX)
        d->count++;
    return d->count == rules[kind].too_many;
}
