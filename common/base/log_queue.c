#include "base/log_queue.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/assert.h"

#include "base/poison.h"

enum {
    QUEUE_LINES = 8192, /* operations.md §8.4 */
    /* DEBUG and INFO lines give way first; ERROR and audit may use a second 8192 that is theirs
     * alone. The writer waits for nobody but the disk, so only a disk that stands still can cost
     * one of those. */
    QUEUE_LINES_INFO = QUEUE_LINES / 4 * 3,
    QUEUE_LINES_ERROR = QUEUE_LINES * 2,
    WAKE_LINES = QUEUE_LINES / 4,
    MEAN_LINE = 512, /* for the bound in bytes: an access line has 250 to 400 */
    BUFFER_BYTES = QUEUE_LINES_ERROR * MEAN_LINE,
    /* After a burst this much stays resident in each buffer, the rest goes back to the system. */
    KEEP_BYTES = 512 * 1024
};

/* The writer rests a moment after each round whatever comes (a flood of errors would else wake it
 * for every line), then gathers until something is urgent, then sleeps until there is a first line.
 */
static const dm_time rest_time = 5 * DM_MS, gather_time = 45 * DM_MS;

enum writer_state { WRITER_BUSY = 0, WRITER_RESTS, WRITER_GATHERS, WRITER_SLEEPS };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake, flushed;
    bool has_conditions, is_open, stop;
    enum writer_state state; /* a thread that wakes the writer sets it back to busy, so one does */
    char *fill, *drain;
    size_t len, lines, drained_len;
    bool urgent; /* a line of ERROR or above is among them */
    uint64_t flush_asked, flush_done;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Atomic uint64_t dropped;

static char *buffer_new(void)
{
    void *memory = mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    DM_REQUIRE(memory != MAP_FAILED);
    return memory;
}

static void condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attr);
    pthread_condattr_destroy(&attr);
}

void dm_log_queue_open(void)
{
    pthread_mutex_lock(&queue.lock);
    DM_REQUIRE(!queue.is_open);
    if (!queue.has_conditions) {
        condition_init(&queue.wake);
        condition_init(&queue.flushed);
        queue.has_conditions = true; /* for ever: a thread may still be on its way to signal one */
    }
    queue.fill = buffer_new();
    queue.drain = buffer_new();
    queue.len = queue.lines = queue.drained_len = 0;
    queue.stop = false;
    queue.is_open = true;
    pthread_mutex_unlock(&queue.lock);
}

void dm_log_queue_close(void)
{
    pthread_mutex_lock(&queue.lock);
    queue.is_open = false;
    pthread_cond_broadcast(&queue.flushed);
    munmap(queue.fill, BUFFER_BYTES);
    munmap(queue.drain, BUFFER_BYTES);
    queue.fill = queue.drain = NULL;
    pthread_mutex_unlock(&queue.lock);
}

void dm_log_count_dropped(uint64_t lines)
{
    atomic_fetch_add_explicit(&dropped, lines, memory_order_relaxed);
}

uint64_t dm_log_dropped(void)
{
    return atomic_load_explicit(&dropped, memory_order_relaxed);
}

static size_t lines_allowed(enum dm_log_level level)
{
    if (level >= DM_LOG_ERROR)
        return QUEUE_LINES_ERROR;
    return level >= DM_LOG_WARNING ? QUEUE_LINES : QUEUE_LINES_INFO;
}

/* What ends a wait in any state: the queue fills, or somebody waits for the writer. */
static bool is_pressing(void)
{
    return queue.stop || queue.flush_asked > queue.flush_done || queue.lines >= WAKE_LINES;
}

static bool ends_wait(enum writer_state state)
{
    return is_pressing() || (state == WRITER_GATHERS && queue.urgent) ||
           (state == WRITER_SLEEPS && queue.lines > 0);
}

bool dm_log_queue_push(const struct dm_log_event *e)
{
    size_t size = dm_log_record_size(e), allowed = lines_allowed(e->level);
    bool wake = false;

    pthread_mutex_lock(&queue.lock);
    bool is_open = queue.is_open && !queue.stop;
    if (is_open && queue.lines < allowed && queue.len + size <= allowed * MEAN_LINE) {
        dm_log_record_pack(e, queue.fill + queue.len);
        queue.len += size;
        queue.lines++;
        queue.urgent = queue.urgent || e->level >= DM_LOG_ERROR;
        wake = queue.state != WRITER_BUSY && ends_wait(queue.state);
        if (wake)
            queue.state = WRITER_BUSY;
    } else if (is_open) {
        dm_log_count_dropped(1);
    }
    pthread_mutex_unlock(&queue.lock);
    if (wake)
        pthread_cond_signal(&queue.wake);
    return is_open;
}

static struct timespec deadline_in(dm_time patience)
{
    dm_time at = dm_clock_mono(&dm_clock_system) + patience;
    return (struct timespec){.tv_sec = at / DM_SEC, .tv_nsec = at % DM_SEC};
}

static void wait_in(enum writer_state state, dm_time patience)
{
    struct timespec deadline = deadline_in(patience == DM_NEVER ? 0 : patience);
    int rc = 0;
    queue.state = state;
    while (!ends_wait(state) && rc == 0)
        rc = patience == DM_NEVER ? pthread_cond_wait(&queue.wake, &queue.lock)
                                  : pthread_cond_timedwait(&queue.wake, &queue.lock, &deadline);
    queue.state = WRITER_BUSY;
}

void dm_log_queue_swap(dm_time patience, struct dm_log_batch *ret)
{
    if (queue.drained_len > KEEP_BYTES)
        (void)madvise(queue.drain + KEEP_BYTES, BUFFER_BYTES - KEEP_BYTES, MADV_DONTNEED);
    pthread_mutex_lock(&queue.lock);
    wait_in(WRITER_RESTS, rest_time);
    wait_in(WRITER_GATHERS, gather_time);
    wait_in(WRITER_SLEEPS, patience);
    char *full = queue.fill;
    *ret = (struct dm_log_batch){full, queue.len, queue.stop && queue.len == 0, queue.flush_asked};
    queue.fill = queue.drain;
    queue.drain = full;
    queue.drained_len = queue.len;
    queue.len = queue.lines = 0;
    queue.urgent = false;
    pthread_mutex_unlock(&queue.lock);
}

void dm_log_queue_wake(void)
{
    pthread_mutex_lock(&queue.lock);
    queue.flush_asked++; /* nobody waits for this one: it only ends the writer's wait */
    pthread_cond_signal(&queue.wake);
    pthread_mutex_unlock(&queue.lock);
}

void dm_log_queue_stop(void)
{
    pthread_mutex_lock(&queue.lock);
    queue.stop = true;
    pthread_cond_signal(&queue.wake);
    pthread_mutex_unlock(&queue.lock);
}

void dm_log_queue_flush(dm_time patience)
{
    struct timespec deadline = deadline_in(patience);
    int rc = 0;
    pthread_mutex_lock(&queue.lock);
    if (queue.is_open) {
        uint64_t mine = ++queue.flush_asked;
        pthread_cond_signal(&queue.wake);
        while (queue.is_open && queue.flush_done < mine && rc == 0)
            rc = pthread_cond_timedwait(&queue.flushed, &queue.lock, &deadline);
    }
    pthread_mutex_unlock(&queue.lock);
}

void dm_log_queue_flushed(uint64_t flush_asked)
{
    pthread_mutex_lock(&queue.lock);
    queue.flush_done = flush_asked;
    pthread_cond_broadcast(&queue.flushed);
    pthread_mutex_unlock(&queue.lock);
}
