#include "model/policy_slots.h"

#include "base/mem.h"

#include "base/poison.h"

enum {
    REST = 1024
}; /* deletions before a number comes back: 4 KB here, 16 KB of a worker's
      arrays */

uint32_t policy_slots_take(struct policy_slots *s)
{
    if (s->count <= REST)
        return ++s->made;
    uint32_t slot = s->resting[s->head];
    s->head = (s->head + 1) % s->size;
    s->count--;
    return slot;
}

static void grow(struct policy_slots *s)
{
    size_t size = s->size == 0 ? 64 : s->size * 2;
    uint32_t *resting = dm_mem_array(size, sizeof *resting);
    for (size_t i = 0; i < s->count; i++)
        resting[i] = s->resting[(s->head + i) % s->size];
    dm_mem_free(s->resting);
    s->resting = resting;
    s->size = size;
    s->head = 0;
}

void policy_slots_give(struct policy_slots *s, uint32_t slot)
{
    if (slot == 0)
        return;
    if (s->count == s->size)
        grow(s);
    s->resting[(s->head + s->count++) % s->size] = slot;
}

void policy_slots_done(struct policy_slots *s)
{
    dm_mem_free(s->resting);
    *s = (struct policy_slots){0};
}
