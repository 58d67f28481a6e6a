/* One event loop per thread: epoll (edge-triggered, registered once), timers, posted work,
 * end-of-turn hooks, one coarse clock per turn. Everything here belongs to the loop's own thread,
 * except dm_loop_wake and dm_loop_stop. A turn over 5 ms is counted and logged. */
#pragma once

#include "base/clock.h"
#include "base/list.h"
#include "base/metrics.h"
#include <sys/epoll.h>

struct dm_loop;
struct dm_io;
typedef void (*dm_io_fn)(struct dm_io *io,
                         uint32_t events); /* EPOLLIN | EPOLLOUT | EPOLLRDHUP | ... */

struct dm_io { /* embedded by its owner; forgetting it also drops events not yet delivered this turn
                */
    int fd;
    dm_io_fn fn;
};

struct dm_task; /* work run later in this turn, or in the next: at most once per post */
typedef void (*dm_task_fn)(struct dm_task *t);
struct dm_task {
    struct dm_link link_;
    dm_task_fn fn;
};

struct dm_loop *dm_loop_new(const struct dm_clock *clock);
void dm_loop_free(struct dm_loop *l);
void dm_loop_run(struct dm_loop *l); /* until stopped */
bool dm_loop_turn(struct dm_loop *l,
                  dm_time max_wait);  /* one turn, for tests; false once stopped */
void dm_loop_stop(struct dm_loop *l); /* any thread */
void dm_loop_wake(struct dm_loop *l); /* any thread */

void dm_loop_watch(struct dm_loop *l, struct dm_io *io); /* IN, OUT, RDHUP, edge-triggered */
void dm_loop_watch_level(struct dm_loop *l, struct dm_io *io,
                         uint32_t events);                /* listeners, eventfds */
void dm_loop_forget(struct dm_loop *l, struct dm_io *io); /* before closing the fd; twice is fine */

void dm_task_init(struct dm_task *t, dm_task_fn fn);
void dm_loop_post(struct dm_loop *l, struct dm_task *t); /* runs after the events of this turn */
void dm_loop_unpost(struct dm_task *t);
/* Called at the start of every turn (policy pick-up) and at its end (flush); fixed at start, at
 * most 8. */
typedef void (*dm_hook_fn)(void *ctx);
void dm_loop_at_start(struct dm_loop *l, dm_hook_fn fn, void *ctx);
void dm_loop_at_end(struct dm_loop *l, dm_hook_fn fn, void *ctx);
void dm_loop_drop_end(struct dm_loop *l, dm_hook_fn fn, void *ctx); /* never from a hook */

dm_time dm_loop_now(const struct dm_loop *l);     /* monotonic, read once per turn */
dm_time dm_loop_wall(const struct dm_loop *l);    /* wall, read once per turn */
const char *dm_loop_http_date(struct dm_loop *l); /* text of dm_loop_wall, renewed once a second */
const struct dm_clock *dm_loop_clock(const struct dm_loop *l);
/* Scratch for reads: shared by everything on the loop, valid inside one callback. Only what runs on
 * an event, timer or task of its own may read into it: never a function that others call. */
enum { DM_LOOP_SCRATCH = 64 * 1024 };
char *dm_loop_scratch(struct dm_loop *l);
uint64_t dm_loop_slow_turns(const struct dm_loop *l); /* any thread */
void dm_loop_metrics(struct dm_loop *l, struct dm_metrics *m,
                     size_t shard); /* counts slow turns there */
