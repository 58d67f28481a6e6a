/* Bytes over a connected socket: TCP and Unix, plain or under TLS. Nobody else reads or sends. Edge
 * triggered: read and write until DM_AGAIN, then wait for the event. Loop thread only. */
#pragma once

#include "base/error.h"
#include "io/loop.h"
#include "model/address.h"
#include <sys/socket.h>
#include <sys/uio.h>

struct dm_stream {
    struct dm_io io; /* fn is the owner's */
    struct dm_loop *loop_;
    bool readable_, writable_, eof_;
    bool fin_;    /* EPOLLRDHUP seen: the peer sends no more, unread bytes may still be here */
    bool broken_; /* EPOLLHUP or EPOLLERR seen: both ways are gone */
    bool read_wants_out_, write_wants_in_; /* TLS may need the other way to go on */
    struct dm_tls_session *tls_;           /* NULL: plain */
};
struct dm_tls;

/* Takes the fd (non-blocking, close-on-exec, TCP_NODELAY set here) and watches it. */
void dm_stream_open(struct dm_stream *s, struct dm_loop *l, int fd, dm_io_fn fn);
/* DM_OK with *ret_len > 0; DM_AGAIN; DM_EOF; DM_UNAVAILABLE (reset). May say DM_AGAIN without a
 * syscall when the last read was short and no event came since. */
enum dm_code dm_stream_read(struct dm_stream *s, void *buf, size_t size,
                            size_t *ret_len) DM_MUST_USE;
/* Sends as much as the socket takes: *ret_len may be less than the sum (then DM_AGAIN). */
enum dm_code dm_stream_write(struct dm_stream *s, const struct iovec *iov, int n,
                             size_t *ret_len) DM_MUST_USE;
void dm_stream_shutdown(struct dm_stream *s); /* sends FIN */
void dm_stream_close(struct dm_stream *s);    /* twice is fine */
void dm_stream_reset(struct dm_stream *s); /* close with RST where possible: the cut is visible */
/* --- TLS: on a connected stream, before its first byte; name: io/tls.h. Then dm_stream_handshake
 * at every event until it says DM_OK: only then read and write. DM_INVALID: name is no name. A
 * write that said DM_AGAIN is to be repeated with the same bytes first, and no fewer. --- */
enum dm_code dm_stream_start_tls(struct dm_stream *s, struct dm_tls *ctx, dm_view name) DM_MUST_USE;
/* DM_OK, DM_AGAIN, DM_DENIED (the certificate), DM_UNAVAILABLE (cut). */
enum dm_code dm_stream_handshake(struct dm_stream *s) DM_MUST_USE;
const char *dm_stream_tls_error(const struct dm_stream *s); /* for logs; borrowed */
static inline bool dm_stream_is_open(const struct dm_stream *s)
{
    return s->io.fd >= 0;
}
void dm_stream_note(struct dm_stream *s, uint32_t events); /* call first in the owner's io fn */
/* Starts connecting; writable (or an error) comes by event, dm_stream_connected then tells. */
enum dm_code dm_stream_connect(struct dm_stream *s, struct dm_loop *l, const struct sockaddr *addr,
                               socklen_t len, dm_io_fn fn) DM_MUST_USE;
enum dm_code
dm_stream_connected(struct dm_stream *s) DM_MUST_USE; /* DM_OK, DM_AGAIN, DM_UNAVAILABLE */
