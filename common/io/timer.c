#include "io/timer_wheel.h"

#include "base/assert.h"

#include "base/poison.h"

void dm_wheel_init(struct dm_wheel *w, dm_time now)
{
    w->tick = (uint64_t)(now / DM_MS);
    for (int level = 0; level < DM_WHEEL_LEVELS; level++) {
        w->used[level] = 0;
        for (int slot = 0; slot < DM_WHEEL_SLOTS; slot++)
            dm_list_init(&w->slots[level][slot]);
    }
}

static void wheel_put(struct dm_wheel *w, struct dm_timer *t)
{
    uint64_t due = ((uint64_t)t->at_ + DM_MS - 1) / DM_MS; /* rounded up: never early */
    if (due <= w->tick)
        due =
            w->tick + 1; /* started by a timer that fires now: next tick, or a turn might not end */
    int level = (63 - __builtin_clzll(due ^ w->tick)) / DM_WHEEL_BITS;
    DM_ASSERT(level < DM_WHEEL_LEVELS);
    unsigned slot = (due >> (level * DM_WHEEL_BITS)) & (DM_WHEEL_SLOTS - 1);
    dm_list_add_tail(&w->slots[level][slot], &t->link_);
    w->used[level] |= 1ull << slot;
}

/* The next tick at which a timer fires or a slot of a higher level has to be spread; 0: none.
 * Stopping a timer leaves its slot marked: the mark is dropped here. */
static uint64_t next_tick(struct dm_wheel *w, int *ret_level, unsigned *ret_slot)
{
    for (int level = 0; level < DM_WHEEL_LEVELS; level++) {
        while (w->used[level] != 0) {
            unsigned slot = (unsigned)__builtin_ctzll(w->used[level]);
            if (dm_list_empty(&w->slots[level][slot])) {
                w->used[level] &= ~(1ull << slot);
                continue;
            }
            int shift = level * DM_WHEEL_BITS;
            uint64_t above = w->tick >> (shift + DM_WHEEL_BITS) << (shift + DM_WHEEL_BITS);
            *ret_level = level;
            *ret_slot = slot;
            return above | (uint64_t)slot << shift;
        }
    }
    return 0;
}

static void run_slot(struct dm_wheel *w, int level, unsigned slot, uint64_t now_tick)
{
    struct dm_link due;
    dm_list_init(&due);
    w->used[level] &= ~(1ull << slot);
    for (struct dm_link *l; (l = dm_list_pop(&w->slots[level][slot])) != NULL;)
        dm_list_add_tail(&due, l);
    for (struct dm_link *l; (l = dm_list_pop(&due)) != NULL;) {
        struct dm_timer *t = DM_CONTAINER_OF(l, struct dm_timer, link_);
        if (((uint64_t)t->at_ + DM_MS - 1) / DM_MS > now_tick) {
            wheel_put(w, t);
            continue;
        }
        t->at_ = 0;
        t->fn(t); /* may start, stop and free any timer, this one included */
    }
}

void dm_wheel_run(struct dm_wheel *w, dm_time now)
{
    uint64_t now_tick = (uint64_t)(now / DM_MS), tick;
    int level;
    unsigned slot;
    while ((tick = next_tick(w, &level, &slot)) != 0 && tick <= now_tick) {
        w->tick = tick;
        run_slot(w, level, slot, now_tick);
    }
    if (now_tick > w->tick)
        w->tick = now_tick;
}

dm_time dm_wheel_next(struct dm_wheel *w)
{
    int level;
    unsigned slot;
    uint64_t tick = next_tick(w, &level, &slot);
    return tick == 0 ? DM_NEVER : (dm_time)tick * DM_MS;
}

void dm_timer_init(struct dm_timer *t, dm_timer_fn fn)
{
    dm_list_init(&t->link_);
    t->at_ = 0;
    t->fn = fn;
}

void dm_timer_start(struct dm_loop *l, struct dm_timer *t, dm_time after)
{
    DM_REQUIRE(t->fn != NULL);
    dm_time now = dm_loop_now(l);
    dm_list_remove(&t->link_);
    if (after < 0)
        after = 0;
    t->at_ = after > DM_NEVER - now - DM_SEC ? DM_NEVER - DM_SEC : now + after;
    if (t->at_ == 0)
        t->at_ = 1; /* 0 means not running */
    wheel_put(dm_loop_wheel(l), t);
}

void dm_timer_stop(struct dm_timer *t)
{
    dm_list_remove(&t->link_);
    t->at_ = 0;
}
