#include "base/log_sink.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "base/mem.h"

#include "base/poison.h"

enum { MEAN_LINE = 512 }; /* bytes kept per line allowed: long lines make the ring hold fewer */

/* Lines one after the other in a circle of bytes; a line never wraps. Positions count up for ever,
 * the place is the position modulo the size. Pages are taken as they are first used. */
static struct {
    pthread_mutex_t lock;
    char *bytes;
    size_t size;
    struct slot {
        size_t place, len;
    } * slots; /* oldest first from `first`, circular */
    size_t max_lines, first, n;
    size_t next_place;
} ring = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *pages_new(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    DM_REQUIRE(memory != MAP_FAILED);
    return memory;
}

void dm_log_ring_open(size_t max_lines)
{
    pthread_mutex_lock(&ring.lock);
    if (ring.max_lines != max_lines) {
        if (ring.max_lines > 0) {
            munmap(ring.bytes, ring.size);
            munmap(ring.slots, ring.max_lines * sizeof *ring.slots);
        }
        ring.max_lines = max_lines;
        ring.first = ring.n = ring.next_place = 0;
        ring.size = max_lines * MEAN_LINE;
        ring.bytes = max_lines > 0 ? pages_new(ring.size) : NULL;
        ring.slots = max_lines > 0 ? pages_new(max_lines * sizeof *ring.slots) : NULL;
    }
    pthread_mutex_unlock(&ring.lock);
}

static struct slot *slot_at(size_t i)
{
    return &ring.slots[(ring.first + i) % ring.max_lines];
}

/* Whether the oldest line lies where [place, place + len) will be written. */
static bool oldest_overlaps(size_t place, size_t len)
{
    const struct slot *s = slot_at(0);
    return s->place < place + len && place < s->place + s->len;
}

static void forget_oldest(void)
{
    ring.first = (ring.first + 1) % ring.max_lines;
    ring.n--;
}

void dm_log_ring_add(dm_view line)
{
    pthread_mutex_lock(&ring.lock);
    if (ring.max_lines > 0 && line.len > 0 && line.len <= ring.size) {
        if (ring.next_place + line.len > ring.size) {
            /* the end of the circle stays unused: what lies there is older than what lies at its
             * start */
            while (ring.n > 0 && slot_at(0)->place >= ring.next_place)
                forget_oldest();
            ring.next_place = 0;
        }
        while (ring.n > 0 &&
               (ring.n == ring.max_lines || oldest_overlaps(ring.next_place, line.len)))
            forget_oldest();
        memcpy(ring.bytes + ring.next_place, line.ptr, line.len);
        *slot_at(ring.n) = (struct slot){ring.next_place, line.len};
        ring.next_place += line.len;
        ring.n++;
    }
    pthread_mutex_unlock(&ring.lock);
}

/* Copies the last lines, so that fn runs without the lock: a slow reader must not hold up the
 * writer. */
void dm_log_ring_recent(size_t max, void (*fn)(void *ctx, dm_view line), void *ctx)
{
    pthread_mutex_lock(&ring.lock);
    size_t n = ring.n < max ? ring.n : max, total = 0, skipped = ring.n - n;
    size_t *lens = dm_mem_array(n, sizeof *lens);
    for (size_t i = 0; i < n; i++) {
        lens[i] = slot_at(skipped + i)->len;
        total += lens[i];
    }
    char *copy = dm_mem_alloc(total), *at = copy;
    for (size_t i = 0; i < n; i++) {
        memcpy(at, ring.bytes + slot_at(skipped + i)->place, lens[i]);
        at += lens[i];
    }
    pthread_mutex_unlock(&ring.lock);

    at = copy;
    for (size_t i = 0; i < n; i++) {
        fn(ctx, dm_view_make(at, lens[i]));
        at += lens[i];
    }
    dm_mem_free(copy);
    dm_mem_free(lens);
}
