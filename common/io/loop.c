#include "io/loop.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "io/timer_wheel.h"

#include "base/poison.h"

enum {
    EVENTS_MAX = 256, /* per epoll_wait: a turn stays short, its array inside two pages */
    HOOKS_MAX = 8,
    WAIT_MAX_MS = 60 * 1000 /* the clock may be a test's: look again once a minute */
};
/* Longer and other connections feel it (style.md §9). */
static const dm_time TURN_MAX = 5 * DM_MS;
/* One warning a second tells as much as a thousand. */
static const dm_time SLOW_LOG_EVERY = DM_SEC;

struct hook {
    dm_hook_fn fn;
    void *ctx;
};

struct dm_loop {
    int epoll;
    const struct dm_clock *clock;
    dm_time now, wall;
    int n_events, at_event; /* delivered up to and including at_event */
    struct epoll_event events[EVENTS_MAX];
    struct dm_link tasks;
    struct hook start[HOOKS_MAX], end[HOOKS_MAX];
    size_t n_start, n_end;
    struct dm_io wake;
    atomic_bool stopped;
    _Atomic uint64_t slow_turns;
    dm_time slow_logged;
    struct dm_metric *slow_metric;
    size_t shard;
    dm_time date_second;
    char date[DM_HTTP_DATE_LEN + 1];
    char *scratch;
    struct dm_wheel wheel;
};

static void on_wake(struct dm_io *io, uint32_t events)
{
    (void)events;
    uint64_t n;
    ssize_t got = read(io->fd, &n, sizeof n);
    DM_ASSERT(got == sizeof n || errno == EAGAIN);
}

static void read_clock(struct dm_loop *l)
{
    l->now = dm_clock_mono(l->clock);
    l->wall = dm_clock_wall(l->clock);
}

struct dm_loop *dm_loop_new(const struct dm_clock *clock)
{
    struct dm_loop *l = DM_NEW(struct dm_loop);
    l->clock = clock;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    DM_REQUIRE(l->epoll >= 0); /* no descriptors at start: nothing could work */
    l->scratch = dm_mem_alloc(DM_LOOP_SCRATCH);
    l->date_second = -1;
    dm_list_init(&l->tasks);
    read_clock(l);
    dm_wheel_init(&l->wheel, l->now);
    l->wake = (struct dm_io){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .fn = on_wake};
    DM_REQUIRE(l->wake.fd >= 0);
    dm_loop_watch_level(l, &l->wake, EPOLLIN);
    return l;
}

void dm_loop_free(struct dm_loop *l)
{
    if (l == NULL)
        return;
    dm_loop_forget(l, &l->wake);
    (void)close(l->wake.fd);
    (void)close(l->epoll);
    dm_mem_free(l->scratch);
    dm_mem_free(l);
}

void dm_loop_metrics(struct dm_loop *l, struct dm_metrics *m, size_t shard)
{
    l->shard = shard;
    l->slow_metric = dm_metric_get(m, DM_COUNTER, "doorman_loop_slow_turns_total", "",
                                   "Turns of an event loop that took over 5 ms.", NULL, 0);
}

static void note_turn_time(struct dm_loop *l, dm_time took)
{
    if (took <= TURN_MAX)
        return;
    atomic_fetch_add_explicit(&l->slow_turns, 1, memory_order_relaxed);
    if (l->slow_metric != NULL)
        dm_metric_add(l->slow_metric, l->shard, 1);
    if (l->slow_logged != 0 && l->now - l->slow_logged < SLOW_LOG_EVERY)
        return;
    l->slow_logged = l->now;
    DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "slow loop turn", DM_FI("us", took / DM_US),
           DM_FI("events", l->n_events));
}

static int wait_ms(struct dm_loop *l, dm_time max_wait)
{
    if (!dm_list_empty(&l->tasks))
        return 0;
    dm_time wait = max_wait, next = dm_wheel_next(&l->wheel);
    if (next != DM_NEVER) {
        dm_time left = next - dm_clock_mono(l->clock);
        if (left < wait)
            wait = left;
    }
    if (wait <= 0)
        return 0;
    if (wait > WAIT_MAX_MS * DM_MS)
        return WAIT_MAX_MS;
    return (int)((wait + DM_MS - 1) / DM_MS); /* rounded up: never woken just too early */
}

static void run_events(struct dm_loop *l)
{
    for (l->at_event = 0; l->at_event < l->n_events; l->at_event++) {
        struct epoll_event *e = &l->events[l->at_event];
        struct dm_io *io = e->data.ptr;
        if (io != NULL) /* forgotten by an earlier event of this turn */
            io->fn(io, e->events);
    }
    l->n_events = 0;
}

static void run_tasks(struct dm_loop *l)
{
    /* What tasks post runs in the next turn, so that sockets get their share. */
    struct dm_link now;
    dm_list_init(&now);
    for (struct dm_link *link; (link = dm_list_pop(&l->tasks)) != NULL;)
        dm_list_add_tail(&now, link);
    for (struct dm_link *link; (link = dm_list_pop(&now)) != NULL;) {
        struct dm_task *t = DM_CONTAINER_OF(link, struct dm_task, link_);
        t->fn(t);
    }
}

bool dm_loop_turn(struct dm_loop *l, dm_time max_wait)
{
    if (atomic_load_explicit(&l->stopped, memory_order_acquire))
        return false;
    int n = epoll_wait(l->epoll, l->events, EVENTS_MAX, wait_ms(l, max_wait));
    DM_ASSERT(n >= 0 || errno == EINTR);
    l->n_events = n < 0 ? 0 : n;
    int n_events = l->n_events;
    read_clock(l);
    for (size_t i = 0; i < l->n_start; i++)
        l->start[i].fn(l->start[i].ctx);
    run_events(l);
    dm_wheel_run(&l->wheel, l->now);
    run_tasks(l);
    for (size_t i = 0; i < l->n_end; i++)
        l->end[i].fn(l->end[i].ctx);
    l->n_events = n_events; /* for the log line only: all were delivered */
    note_turn_time(l, dm_clock_mono(l->clock) - l->now);
    l->n_events = 0;
    return !atomic_load_explicit(&l->stopped, memory_order_acquire);
}

void dm_loop_run(struct dm_loop *l)
{
    while (dm_loop_turn(l, DM_NEVER))
        ;
}

void dm_loop_wake(struct dm_loop *l)
{
    uint64_t one = 1;
    ssize_t put = write(l->wake.fd, &one, sizeof one);
    DM_ASSERT(put == sizeof one || errno == EAGAIN); /* EAGAIN: counter full, so already awake */
}

void dm_loop_stop(struct dm_loop *l)
{
    atomic_store_explicit(&l->stopped, true, memory_order_release);
    dm_loop_wake(l);
}

void dm_loop_watch(struct dm_loop *l, struct dm_io *io)
{
    dm_loop_watch_level(l, io, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

void dm_loop_watch_level(struct dm_loop *l, struct dm_io *io, uint32_t events)
{
    DM_REQUIRE(io->fd >= 0 && io->fn != NULL);
    struct epoll_event e = {.events = events, .data.ptr = io};
    int rc = epoll_ctl(l->epoll, EPOLL_CTL_ADD, io->fd, &e);
    if (rc != 0 && errno == EEXIST)
        rc = epoll_ctl(l->epoll, EPOLL_CTL_MOD, io->fd, &e);
    DM_REQUIRE(rc == 0); /* a foreign kind of fd, or the kernel out of memory */
}

void dm_loop_forget(struct dm_loop *l, struct dm_io *io)
{
    if (io->fd < 0)
        return;
    (void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, io->fd, NULL); /* ENOENT: forgotten before */
    for (int i = l->at_event + 1; i < l->n_events; i++)
        if (l->events[i].data.ptr == io)
            l->events[i].data.ptr = NULL;
}

void dm_task_init(struct dm_task *t, dm_task_fn fn)
{
    dm_list_init(&t->link_);
    t->fn = fn;
}

void dm_loop_post(struct dm_loop *l, struct dm_task *t)
{
    DM_REQUIRE(t->fn != NULL);
    if (dm_list_empty(&t->link_))
        dm_list_add_tail(&l->tasks, &t->link_);
}

void dm_loop_unpost(struct dm_task *t)
{
    dm_list_remove(&t->link_);
}

void dm_loop_at_start(struct dm_loop *l, dm_hook_fn fn, void *ctx)
{
    DM_REQUIRE(l->n_start < HOOKS_MAX);
    l->start[l->n_start++] = (struct hook){fn, ctx};
}

void dm_loop_at_end(struct dm_loop *l, dm_hook_fn fn, void *ctx)
{
    DM_REQUIRE(l->n_end < HOOKS_MAX);
    l->end[l->n_end++] = (struct hook){fn, ctx};
}

void dm_loop_drop_end(struct dm_loop *l, dm_hook_fn fn, void *ctx)
{
    for (size_t i = 0; i < l->n_end; i++) {
        if (l->end[i].fn != fn || l->end[i].ctx != ctx)
            continue;
        l->n_end--;
        memmove(&l->end[i], &l->end[i + 1], (l->n_end - i) * sizeof l->end[0]);
        return;
    }
}

dm_time dm_loop_now(const struct dm_loop *l)
{
    return l->now;
}

dm_time dm_loop_wall(const struct dm_loop *l)
{
    return l->wall;
}

const char *dm_loop_http_date(struct dm_loop *l)
{
    dm_time second = l->wall / DM_SEC;
    if (second != l->date_second) {
        l->date_second = second;
        dm_time_http_date(l->wall, l->date);
    }
    return l->date;
}

const struct dm_clock *dm_loop_clock(const struct dm_loop *l)
{
    return l->clock;
}

char *dm_loop_scratch(struct dm_loop *l)
{
    return l->scratch;
}

uint64_t dm_loop_slow_turns(const struct dm_loop *l)
{
    return atomic_load_explicit(&l->slow_turns, memory_order_relaxed);
}

struct dm_wheel *dm_loop_wheel(struct dm_loop *l)
{
    return &l->wheel;
}
