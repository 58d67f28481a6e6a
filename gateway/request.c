/* Slots of requests: taken at on_head, given back at the end; a generation per use makes old
 * handles stale. */
#include "gateway/request.h"

#include "base/assert.h"
#include "gateway/worker.h"
#include <string.h>

enum { CHUNK = 32 }; /* requests per growth of the slab: about 80 KB */

static struct gw_request *slot_at(const struct gw_slab *s, uint32_t slot)
{
    return &s->chunks[slot / CHUNK][slot % CHUNK];
}

static void slab_grow(struct gw_slab *s)
{
    const uint32_t first = (uint32_t)(s->n_chunks * CHUNK);

    s->chunks = dm_mem_grow(s->chunks, s->n_chunks + 1, sizeof *s->chunks);
    s->chunks[s->n_chunks++] = dm_mem_array(CHUNK, sizeof **s->chunks);
    s->free_slots = dm_mem_grow(s->free_slots, s->n_chunks * CHUNK, sizeof *s->free_slots);
    for (uint32_t i = 0; i < CHUNK; i++)
        s->free_slots[s->n_free++] = first + CHUNK - 1 - i;
}

void gw_slab_done(struct gw_slab *s)
{
    for (size_t i = 0; i < s->n_chunks; i++)
        dm_mem_free(s->chunks[i]);
    dm_mem_free(s->chunks);
    dm_mem_free(s->free_slots);
    *s = (struct gw_slab){0};
}

struct gw_request *gw_request_new(struct gw_worker *w, struct dm_exchange *x)
{
    struct gw_slab *s = &w->requests;

    if (s->n_free == 0)
        slab_grow(s);
    const uint32_t slot = s->free_slots[--s->n_free];
    struct gw_request *rq = slot_at(s, slot);
    const uint32_t generation = rq->handle.generation + 1;

    memset(rq, 0, offsetof(struct gw_request, target));
    rq->worker = w;
    rq->x = x;
    rq->handle = (struct gw_handle){slot, generation};
    rq->world = gw_snapshot_pin(w->reader);
    rq->times.begun = dm_loop_now(w->loop);
    rq->times.deadline = DM_NEVER;
    s->in_use++;
    gw_metrics_inflight(&w->metrics, 1);
    return rq;
}

void gw_request_free(struct gw_request *rq)
{
    struct gw_worker *w = rq->worker;

    DM_REQUIRE(rq->up.call == NULL);
    dm_policy_user_unref(rq->who.user);
    dm_buf_done(&rq->out.whole);
    gw_snapshot_unpin(w->reader, rq->world);
    rq->x = NULL;
    rq->handle.generation++; /* stale at once, not only when the slot is taken again */
    w->requests.free_slots[w->requests.n_free++] = rq->handle.slot;
    w->requests.in_use--;
    gw_metrics_inflight(&w->metrics, -1);
}

struct gw_request *gw_request_find(struct gw_worker *w, struct gw_handle handle)
{
    if (handle.slot >= w->requests.n_chunks * CHUNK)
        return NULL;
    struct gw_request *rq = slot_at(&w->requests, handle.slot);
    return rq->handle.generation == handle.generation ? rq : NULL;
}

const struct dm_policy *gw_policy(const struct gw_request *rq)
{
    return rq->world->policy;
}

const struct dm_settings *gw_settings(const struct gw_request *rq)
{
    return rq->world->settings;
}

const struct dm_address *gw_client(const struct gw_request *rq)
{
    return rq->route.api != NULL ? &rq->route.client : &rq->in.client;
}

dm_view gw_field(const struct gw_request *rq, enum dm_header_id id)
{
    return dm_fields_get(&rq->x->head.fields, id);
}

dm_time gw_now(const struct gw_request *rq)
{
    return dm_loop_now(rq->worker->loop);
}
