#include "io/mailbox.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"

#include "base/poison.h"

/* Letters are pushed onto a stack with one compare-and-swap; the receiver takes the whole stack and
 * turns it round, so order is kept and nothing is popped singly (no ABA). Only the first letter
 * into an empty stack pays for a wake-up. */
struct dm_mailbox {
    struct dm_io io;
    struct dm_loop *loop;
    size_t capacity;
    _Atomic size_t count; /* letters inside, and places reserved */
    _Atomic(struct dm_letter *) top;
    _Atomic uint64_t refused;
};

static void deliver(struct dm_mailbox *m)
{
    struct dm_letter *l = atomic_exchange_explicit(&m->top, NULL, memory_order_acquire),
                     *first = NULL;
    while (l != NULL) {
        struct dm_letter *next = l->next_;
        l->next_ = first;
        first = l;
        l = next;
    }
    while (first != NULL) {
        struct dm_letter *letter = first;
        first = letter->next_;
        atomic_fetch_sub_explicit(&m->count, 1, memory_order_relaxed);
        letter->fn(letter); /* the letter is its receiver's now: not touched again */
    }
}

static void on_letters(struct dm_io *io, uint32_t events)
{
    (void)events;
    uint64_t n;
    ssize_t got = read(io->fd, &n, sizeof n);
    DM_ASSERT(got == sizeof n || errno == EAGAIN);
    deliver(DM_CONTAINER_OF(io, struct dm_mailbox, io));
}

struct dm_mailbox *dm_mailbox_new(struct dm_loop *receiver, size_t capacity)
{
    DM_REQUIRE(capacity > 0);
    struct dm_mailbox *m = DM_NEW(struct dm_mailbox);
    m->loop = receiver;
    m->capacity = capacity;
    m->io = (struct dm_io){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .fn = on_letters};
    DM_REQUIRE(m->io.fd >= 0);
    dm_loop_watch_level(receiver, &m->io, EPOLLIN);
    return m;
}

void dm_mailbox_free(struct dm_mailbox *m)
{
    if (m == NULL)
        return;
    while (atomic_load_explicit(&m->top, memory_order_acquire) != NULL)
        deliver(m);
    dm_loop_forget(m->loop, &m->io);
    (void)close(m->io.fd);
    dm_mem_free(m);
}

enum dm_code dm_mailbox_reserve(struct dm_mailbox *m)
{
    if (atomic_fetch_add_explicit(&m->count, 1, memory_order_relaxed) < m->capacity)
        return DM_OK;
    atomic_fetch_sub_explicit(&m->count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&m->refused, 1, memory_order_relaxed);
    return DM_LIMIT;
}

void dm_mailbox_unreserve(struct dm_mailbox *m)
{
    atomic_fetch_sub_explicit(&m->count, 1, memory_order_relaxed);
}

void dm_mailbox_send_reserved(struct dm_mailbox *m, struct dm_letter *l)
{
    DM_REQUIRE(l->fn != NULL);
    int fd =
        m->io.fd; /* once pushed, the receiver may be told by another sender and free the box */
    struct dm_letter *top = atomic_load_explicit(&m->top, memory_order_relaxed);
    do {
        l->next_ = top;
    } while (!atomic_compare_exchange_weak_explicit(&m->top, &top, l, memory_order_release,
                                                    memory_order_relaxed));
    if (top != NULL)
        return; /* whoever pushed onto the empty stack wakes the receiver */
    uint64_t one = 1;
    ssize_t put = write(fd, &one, sizeof one);
    DM_ASSERT(put == sizeof one || errno == EAGAIN);
}

enum dm_code dm_mailbox_send(struct dm_mailbox *m, struct dm_letter *l)
{
    enum dm_code rc = dm_mailbox_reserve(m);
    if (rc == DM_OK)
        dm_mailbox_send_reserved(m, l);
    return rc;
}

uint64_t dm_mailbox_refused(const struct dm_mailbox *m)
{
    return atomic_load_explicit(&m->refused, memory_order_relaxed);
}

static void on_call(struct dm_letter *l)
{
    struct dm_call *c = DM_CONTAINER_OF(l, struct dm_call, letter_);
    c->run(c);
}

enum dm_code dm_mailbox_call(struct dm_mailbox *m, struct dm_call *c)
{
    c->letter_ = (struct dm_letter){.fn = on_call};
    atomic_store_explicit(&c->done_, 0, memory_order_relaxed);
    enum dm_code rc = dm_mailbox_send(m, &c->letter_);
    if (rc != DM_OK)
        return rc;
    while (atomic_load_explicit(&c->done_, memory_order_acquire) == 0)
        (void)syscall(SYS_futex, &c->done_, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    return DM_OK;
}

void dm_call_done(struct dm_call *c)
{
    /* After the store the caller may be gone with its stack: only the address is used then. */
    atomic_store_explicit(&c->done_, 1, memory_order_release);
    (void)syscall(SYS_futex, &c->done_, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
