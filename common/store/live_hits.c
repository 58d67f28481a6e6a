#include "store/live_hits.h"

#include <string.h>

#include "base/index.h"

#include "base/poison.h"

enum {
    KEYS_CAP = 65536, /* addresses that try to log in within one window: far above honest use */
    TIMES_CAP = 1024 * 1024, /* 8 MB in all, so that one high limit does not eat the memory */
    DROP_STEP = 2            /* expired keys dropped per call: faster than a call can add */
};

struct attempts {
    struct dm_link used; /* most recent last */
    uint64_t hash;
    dm_time ends; /* when the newest attempt leaves its window */
    size_t n, size, key_len;
    dm_time *times; /* ascending */
    char key[];
};

struct dm_live_hits {
    struct dm_index keys;
    struct dm_link used;
    size_t n_times;
};

struct dm_live_hits *dm_live_hits_new(void)
{
    struct dm_live_hits *h = DM_NEW(struct dm_live_hits);
    dm_list_init(&h->used);
    return h;
}

static void drop(struct dm_live_hits *h, struct attempts *a)
{
    (void)dm_index_remove(&h->keys, a->hash, a);
    dm_list_remove(&a->used);
    h->n_times -= a->size;
    dm_mem_free(a->times);
    dm_mem_free(a);
}

void dm_live_hits_clear(struct dm_live_hits *h)
{
    while (!dm_list_empty(&h->used))
        drop(h, DM_CONTAINER_OF(h->used.next, struct attempts, used));
}

void dm_live_hits_free(struct dm_live_hits *h)
{
    if (h == NULL)
        return;
    dm_live_hits_clear(h);
    dm_index_done(&h->keys);
    dm_mem_free(h);
}

static bool is_key(const void *item, const void *key)
{
    const struct attempts *a = item;
    return dm_view_eq(dm_view_make(a->key, a->key_len), *(const dm_view *)key);
}

static void make_room(struct dm_live_hits *h, const struct attempts *but, dm_time now)
{
    for (int i = 0; i < DROP_STEP && !dm_list_empty(&h->used); i++) {
        struct attempts *oldest = DM_CONTAINER_OF(h->used.next, struct attempts, used);
        bool full = dm_index_count(&h->keys) > KEYS_CAP || h->n_times > TIMES_CAP;
        if (oldest == but || (!full && oldest->ends > now))
            return;
        drop(h, oldest);
    }
}

static struct attempts *attempts_of(struct dm_live_hits *h, dm_view key)
{
    uint64_t hash = dm_view_hash(key, 0);
    struct attempts *a = dm_index_find(&h->keys, hash, is_key, &key);
    if (a == NULL) {
        a = dm_mem_alloc(sizeof *a + key.len);
        a->hash = hash;
        a->key_len = key.len;
        memcpy(a->key, key.ptr, key.len);
        dm_list_init(&a->used);
        dm_index_put(&h->keys, hash, a);
    }
    dm_list_remove(&a->used);
    dm_list_add_tail(&h->used, &a->used);
    return a;
}

static void forget_before(struct attempts *a, dm_time from)
{
    size_t gone = 0;
    while (gone < a->n && a->times[gone] <= from)
        gone++;
    a->n -= gone;
    if (gone > 0)
        memmove(a->times, a->times + gone, a->n * sizeof(dm_time));
}

static void append(struct dm_live_hits *h, struct attempts *a, dm_time now)
{
    if (a->n == a->size) {
        size_t size = a->size == 0 ? 8 : a->size * 2;
        a->times = dm_mem_grow(a->times, size, sizeof(dm_time));
        h->n_times += size - a->size;
        a->size = size;
    }
    a->times[a->n++] = now;
}

static int64_t seconds_until(dm_time then, dm_time now)
{
    int64_t seconds = (then - now + DM_SEC - 1) / DM_SEC;
    return seconds < 1 ? 1 : seconds;
}

enum dm_code dm_live_hits_add(struct dm_live_hits *h, dm_view key, int64_t limit, dm_time window,
                              dm_time now, struct dm_live_hit *ret)
{
    struct attempts *a = attempts_of(h, key);
    make_room(h, a, now);
    forget_before(a, now - window);
    if (a->n > 0 &&
        a->times[a->n - 1] > now) /* the clock was set back: those times say nothing any more */
        a->n = 0;
    bool refused = limit <= 0 || a->n >= (uint64_t)limit;
    if (!refused) {
        append(h, a, now);
        a->ends = now + window;
    }
    /* refused: the attempt whose end makes room; else the oldest */
    size_t first = refused && limit > 0 ? a->n - (size_t)limit : 0;
    ret->count = (int64_t)a->n;
    ret->retry_after =
        a->n == 0 ? seconds_until(now + window, now) : seconds_until(a->times[first] + window, now);
    return refused ? DM_LIMIT : DM_OK;
}
