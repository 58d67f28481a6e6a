#include "gateway/snapshot/cell.h"

#include "base/assert.h"
#include "base/list.h"
#include <pthread.h>
#include <stdatomic.h>

struct gw_snapshot_cell {
    pthread_mutex_t
        lock; /* taken to publish, and by a reader that saw a new number: never per request */
    struct gw_world *current;
    _Atomic uint64_t number;
};

struct hold { /* one world a worker still needs, and how many of its requests do */
    struct dm_link link;
    struct gw_world *world;
    size_t pins;
};

struct gw_snapshot_reader {
    struct gw_snapshot_cell *cell;
    struct dm_link holds; /* newest first; the first is the one in force here */
    size_t n_holds;
};

static void world_unref(struct gw_world *w)
{
    if (atomic_fetch_sub_explicit(&w->refs_, 1, memory_order_acq_rel) != 1)
        return;
    dm_settings_unref(w->settings);
    dm_keyset_unref(w->keyset);
    dm_policy_unref(w->policy);
    dm_mem_free(w);
}

static struct gw_world *world_new(struct dm_settings *s, struct dm_keyset *k, struct dm_policy *p)
{
    struct gw_world *w = DM_NEW(struct gw_world);

    atomic_store(&w->refs_, 1);
    w->settings = s;
    w->keyset = k;
    w->policy = p;
    return w;
}

struct gw_snapshot_cell *gw_snapshot_cell_new(struct dm_settings *s, struct dm_keyset *k)
{
    struct gw_snapshot_cell *c = DM_NEW(struct gw_snapshot_cell);

    pthread_mutex_init(&c->lock, NULL);
    c->current = world_new(dm_settings_ref(s), dm_keyset_ref(k), NULL);
    return c;
}

void gw_snapshot_cell_free(struct gw_snapshot_cell *c)
{
    if (c == NULL)
        return;
    world_unref(c->current);
    pthread_mutex_destroy(&c->lock);
    dm_mem_free(c);
}

/* Under the lock: next takes over the cell's reference, the old one goes outside of it. */
static struct gw_world *swap(struct gw_snapshot_cell *c, struct gw_world *next)
{
    struct gw_world *old = c->current;

    next->number_ = old->number_ + 1;
    c->current = next;
    atomic_store_explicit(&c->number, next->number_, memory_order_release);
    return old;
}

void gw_snapshot_publish_policy(struct gw_snapshot_cell *c, struct dm_policy *p)
{
    pthread_mutex_lock(&c->lock);
    struct gw_world *old = swap(
        c, world_new(dm_settings_ref(c->current->settings), dm_keyset_ref(c->current->keyset), p));
    pthread_mutex_unlock(&c->lock);
    world_unref(old);
}

void gw_snapshot_publish_settings(struct gw_snapshot_cell *c, struct dm_settings *s,
                                  struct dm_keyset *k)
{
    pthread_mutex_lock(&c->lock);
    struct dm_policy *policy = c->current->policy;
    struct gw_world *old = swap(c, world_new(dm_settings_ref(s), dm_keyset_ref(k),
                                             policy != NULL ? dm_policy_ref(policy) : NULL));
    pthread_mutex_unlock(&c->lock);
    world_unref(old);
}

uint64_t gw_snapshot_generation(struct gw_snapshot_cell *c)
{
    pthread_mutex_lock(&c->lock);
    uint64_t generation = c->current->policy != NULL ? c->current->policy->generation : 0;
    pthread_mutex_unlock(&c->lock);
    return generation;
}

/* --- a worker's side --- */

static struct hold *first(struct gw_snapshot_reader *r)
{
    return DM_CONTAINER_OF(r->holds.next, struct hold, link);
}

static void let_go(struct gw_snapshot_reader *r, struct hold *h)
{
    dm_list_remove(&h->link);
    r->n_holds--;
    world_unref(h->world);
    dm_mem_free(h);
}

static void take_current(struct gw_snapshot_reader *r)
{
    struct hold *h = DM_NEW(struct hold);

    pthread_mutex_lock(&r->cell->lock);
    h->world = r->cell->current;
    atomic_fetch_add_explicit(&h->world->refs_, 1, memory_order_relaxed);
    pthread_mutex_unlock(&r->cell->lock);
    dm_list_add_head(&r->holds, &h->link);
    r->n_holds++;
}

struct gw_snapshot_reader *gw_snapshot_reader_new(struct gw_snapshot_cell *c)
{
    struct gw_snapshot_reader *r = DM_NEW(struct gw_snapshot_reader);

    r->cell = c;
    dm_list_init(&r->holds);
    take_current(r);
    return r;
}

void gw_snapshot_reader_free(struct gw_snapshot_reader *r)
{
    if (r == NULL)
        return;
    DM_REQUIRE(r->n_holds == 1 && first(r)->pins == 0);
    let_go(r, first(r));
    dm_mem_free(r);
}

void gw_snapshot_refresh(struct gw_snapshot_reader *r)
{
    struct hold *old = first(r);

    if (atomic_load_explicit(&r->cell->number, memory_order_acquire) == old->world->number_)
        return;
    take_current(r);
    if (old->pins == 0)
        let_go(r, old);
}

const struct gw_world *gw_snapshot_world(struct gw_snapshot_reader *r)
{
    return first(r)->world;
}

const struct gw_world *gw_snapshot_pin(struct gw_snapshot_reader *r)
{
    struct hold *h = first(r);

    h->pins++;
    return h->world;
}

void gw_snapshot_unpin(struct gw_snapshot_reader *r, const struct gw_world *w)
{
    DM_LIST_EACH_SAFE(&r->holds, l, next)
    {
        struct hold *h = DM_CONTAINER_OF(l, struct hold, link);

        if (h->world != w)
            continue;
        DM_REQUIRE(h->pins > 0);
        h->pins--;
        if (h->pins == 0 && h != first(r))
            let_go(r, h);
        return;
    }
    DM_UNREACHABLE();
}

size_t gw_snapshot_held(const struct gw_snapshot_reader *r)
{
    return r->n_holds;
}
