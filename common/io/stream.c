#include "io/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fault.h"
#include "io/tls.h"

#include "base/poison.h"

static void stream_init(struct dm_stream *s, struct dm_loop *l, int fd, dm_io_fn fn)
{
    *s = (struct dm_stream){.io = {.fd = fd, .fn = fn}, .loop_ = l};
    /* Every write is a whole message or as much of it as there is: Nagle would only delay it. Not
     * TCP: fails, and does not matter. */
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void dm_stream_open(struct dm_stream *s, struct dm_loop *l, int fd, dm_io_fn fn)
{
    stream_init(s, l, fd, fn);
    s->writable_ = true; /* a fresh socket's buffer is empty; bytes already here come as an event */
    dm_loop_watch(l, &s->io);
}

enum dm_code dm_stream_connect(struct dm_stream *s, struct dm_loop *l, const struct sockaddr *addr,
                               socklen_t len, dm_io_fn fn)
{
    *s = (struct dm_stream){.io.fd = -1, .loop_ = l};
    int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return DM_UNAVAILABLE;
    stream_init(s, l, fd, fn);
    if (connect(fd, addr, len) == 0) {
        s->writable_ = true;
    } else if (errno !=
               EINPROGRESS) { /* a Unix socket says EAGAIN when the backlog is full: refused */
        (void)close(fd);
        s->io.fd = -1;
        return DM_UNAVAILABLE;
    }
    dm_loop_watch(l, &s->io);
    return DM_OK;
}

enum dm_code dm_stream_connected(struct dm_stream *s)
{
    if (s->io.fd < 0)
        return DM_UNAVAILABLE;
    if (!s->writable_)
        return DM_AGAIN;
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(s->io.fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0)
        return DM_UNAVAILABLE;
    return DM_OK;
}

void dm_stream_note(struct dm_stream *s, uint32_t events)
{
    if (events & EPOLLRDHUP)
        s->fin_ = true;
    if (events & (EPOLLHUP | EPOLLERR))
        s->broken_ = true;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        s->readable_ = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        s->writable_ = true;
    if (s->tls_ == NULL)
        return;
    if (s->read_wants_out_ && (events & EPOLLOUT))
        s->readable_ = true;
    if (s->write_wants_in_ && s->readable_)
        s->writable_ = true;
}

/* --- TLS --- */

enum dm_code dm_stream_start_tls(struct dm_stream *s, struct dm_tls *ctx, dm_view name)
{
    DM_REQUIRE(s->io.fd >= 0 && s->tls_ == NULL);
    s->tls_ = dm_tls_session_new(ctx, s->io.fd, name);
    return s->tls_ == NULL ? DM_INVALID : DM_OK;
}

enum dm_code dm_stream_handshake(struct dm_stream *s)
{
    enum dm_tls_want want;
    if (s->io.fd < 0)
        return DM_UNAVAILABLE;
    enum dm_code rc = dm_tls_handshake(s->tls_, &want);
    if (rc == DM_OK) /* data may have come together with its end, and no event tells of that */
        s->readable_ = s->writable_ = true;
    return rc;
}

const char *dm_stream_tls_error(const struct dm_stream *s)
{
    return s->tls_ == NULL ? "" : dm_tls_session_error(s->tls_);
}

/* Records are kept inside, so a short read says nothing: only DM_AGAIN means that all was read. */
static enum dm_code read_tls(struct dm_stream *s, void *buf, size_t size, size_t *ret_len)
{
    enum dm_tls_want want;
    enum dm_code rc = dm_tls_read(s->tls_, buf, size, ret_len, &want);
    s->eof_ = rc == DM_EOF;
    if (rc == DM_AGAIN) {
        s->readable_ = false;
        s->read_wants_out_ = want == DM_TLS_WANT_WRITE;
    }
    return rc == DM_DENIED ? DM_UNAVAILABLE : rc;
}

static enum dm_code write_tls(struct dm_stream *s, const struct iovec *iov, int n, size_t *ret_len)
{
    for (int i = 0; i < n; i++) {
        for (size_t at = 0; at < iov[i].iov_len;) {
            enum dm_tls_want want;
            size_t sent = 0;
            enum dm_code rc = dm_tls_write(s->tls_, (const char *)iov[i].iov_base + at,
                                           iov[i].iov_len - at, &sent, &want);
            if (rc == DM_AGAIN) {
                s->writable_ = false;
                s->write_wants_in_ = want == DM_TLS_WANT_READ;
            }
            if (rc != DM_OK)
                return rc == DM_DENIED ? DM_UNAVAILABLE : rc;
            at += sent;
            *ret_len += sent;
        }
    }
    return DM_OK;
}

enum dm_code dm_stream_read(struct dm_stream *s, void *buf, size_t size, size_t *ret_len)
{
    DM_REQUIRE(size > 0);
    if (s->io.fd < 0)
        return DM_UNAVAILABLE;
    if (s->eof_)
        return DM_EOF;
    if (!s->readable_)
        return DM_AGAIN;
    if (dm_fault(DM_FAULT_IO_READ))
        return DM_UNAVAILABLE;
    if (s->tls_ != NULL)
        return read_tls(s, buf, size, ret_len);
    ssize_t n;
    do {
        n = recv(s->io.fd, buf, size, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        s->readable_ = false;
        return errno == EAGAIN ? DM_AGAIN : DM_UNAVAILABLE;
    }
    if (n == 0) {
        s->eof_ = true;
        return DM_EOF;
    }
    /* A short read means the queue is empty and the next byte makes a new edge (epoll(7)); only an
     * end that was announced together with these bytes will not be announced again. */
    if ((size_t)n < size && !s->fin_ && !s->broken_)
        s->readable_ = false;
    *ret_len = (size_t)n;
    return DM_OK;
}

enum dm_code dm_stream_write(struct dm_stream *s, const struct iovec *iov, int n, size_t *ret_len)
{
    *ret_len = 0;
    if (s->io.fd < 0)
        return DM_UNAVAILABLE;
    if (!s->writable_)
        return DM_AGAIN;
    if (dm_fault(DM_FAULT_IO_WRITE))
        return DM_UNAVAILABLE;
    if (s->tls_ != NULL)
        return write_tls(s, iov, n, ret_len);
    size_t sum = 0;
    for (int i = 0; i < n; i++)
        sum += iov[i].iov_len;
    struct iovec one; /* injected: the socket takes a single byte */
    if (sum > 1 && dm_fault(DM_FAULT_IO_SHORT)) {
        while (iov->iov_len == 0)
            iov++;
        one = (struct iovec){.iov_base = iov->iov_base, .iov_len = 1};
        iov = &one;
        n = 1;
    }
    ssize_t sent;
    do {
        if (n == 1) {
            sent = send(s->io.fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL);
        } else {
            struct msghdr m = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
            sent = sendmsg(s->io.fd, &m, MSG_NOSIGNAL);
        }
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        s->writable_ = false;
        return errno == EAGAIN ? DM_AGAIN : DM_UNAVAILABLE;
    }
    *ret_len = (size_t)sent;
    if ((size_t)sent == sum)
        return DM_OK;
    if (iov != &one)
        s->writable_ = false;
    return DM_AGAIN;
}

void dm_stream_shutdown(struct dm_stream *s)
{
    if (s->io.fd >= 0)
        (void)shutdown(s->io.fd, SHUT_WR);
}

void dm_stream_close(struct dm_stream *s)
{
    if (s->io.fd < 0)
        return;
    dm_tls_session_free(s->tls_);
    s->tls_ = NULL;
    dm_loop_forget(s->loop_, &s->io);
    (void)close(s->io.fd);
    s->io.fd = -1;
    s->readable_ = s->writable_ = false;
}

void dm_stream_reset(struct dm_stream *s)
{
    if (s->io.fd < 0)
        return;
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(s->io.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    dm_stream_close(s);
}
