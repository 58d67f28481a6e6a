#include "base/log_sink.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log_queue.h"

#include "base/poison.h"

enum {
    WRITE_BYTES = 64 * 1024, /* collected before a write in the middle of a round */
    /* What may wait for a console that takes nothing; the second half is for ERROR and audit alone.
     */
    WAITING_MAX = 1 << 20,
    WAITING_MAX_ERROR = 2 << 20,
    PENDING_MAX = WAITING_MAX_ERROR + 1
};

/* A console that has not taken all it was given after this long stands still: nobody waits for it
 * again before it has. */
static const dm_time stall_time = 100 * DM_MS;

void dm_log_console_init(struct dm_log_console *c)
{
    *c = (struct dm_log_console){.fd = -1};
    dm_buf_init(&c->pending, PENDING_MAX);
}

void dm_log_console_open(struct dm_log_console *c, int fd)
{
    struct stat st;
    c->fd = fd;
    c->is_file = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    c->stalled = false;
}

bool dm_log_console_waits(const struct dm_log_console *c)
{
    return dm_buf_view(&c->pending).len > c->sent;
}

static void lose_waiting(struct dm_log_console *c)
{
    dm_view rest = dm_view_sub(dm_buf_view(&c->pending), c->sent, SIZE_MAX);
    for (size_t at = 0; (at = dm_view_find_byte(rest, '\n', at)) < rest.len; at++)
        dm_log_count_dropped(1);
    dm_buf_clear(&c->pending);
    c->sent = 0;
}

/* Writes what can be taken without waiting; 0: nothing now. O_NONBLOCK cannot be set: others may
 * share the file description. But a pipe that polls writable has room for PIPE_BUF bytes (pipe(7)),
 * and a terminal takes them in a moment. */
static ssize_t write_some(const struct dm_log_console *c, dm_view bytes, int patience_ms)
{
    struct pollfd p = {.fd = c->fd, .events = POLLOUT};
    if (c->is_file)
        return write(c->fd, bytes.ptr, bytes.len);
    if (poll(&p, 1, patience_ms) <= 0)
        return 0;
    ssize_t n = send(c->fd, bytes.ptr, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == ENOTSOCK)
        n = write(c->fd, bytes.ptr, bytes.len < PIPE_BUF ? bytes.len : PIPE_BUF);
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : n;
}

void dm_log_console_flush(struct dm_log_console *c, dm_time patience)
{
    dm_view all = dm_buf_view(&c->pending);
    dm_time end = dm_clock_mono(&dm_clock_system) + patience;
    ssize_t n = 1;
    while (c->sent < all.len && n > 0) {
        dm_time left = patience == 0 ? 0 : end - dm_clock_mono(&dm_clock_system);
        n = write_some(c, dm_view_sub(all, c->sent, all.len), left > 0 ? (int)(left / DM_MS) : 0);
        if (n > 0)
            c->sent += (size_t)n;
    }
    if (n < 0) {
        lose_waiting(c); /* nobody reads any more (EPIPE), or there is no such descriptor */
        return;
    }
    if (c->sent == all.len)
        c->stalled = false;
    else if (patience >= stall_time)
        c->stalled = true;
    dm_buf_drop(&c->pending, c->sent);
    c->sent = 0;
}

void dm_log_console_add(struct dm_log_console *c, enum dm_log_level level, dm_view line)
{
    size_t allowed = level >= DM_LOG_ERROR ? WAITING_MAX_ERROR : WAITING_MAX;
    if (c->fd < 0)
        return;
    if (dm_buf_view(&c->pending).len + line.len >= allowed && !c->stalled)
        dm_log_console_flush(c, stall_time);
    if (dm_buf_view(&c->pending).len + line.len >= allowed) {
        dm_log_count_dropped(1);
        return;
    }
    dm_buf_add(&c->pending, line);
    dm_buf_add_byte(&c->pending, '\n');
    if (!c->stalled && dm_buf_view(&c->pending).len >= WRITE_BYTES)
        dm_log_console_flush(c, 0);
}

void dm_log_console_done(struct dm_log_console *c)
{
    lose_waiting(c);
    dm_buf_done(&c->pending);
    c->fd = -1;
}
