#include "io/http1.h"

#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"

#include "base/poison.h"

enum {
    /* Copied behind the head instead of being sent on their own: cheaper than a second piece in
     * sendmsg, and what follows in the same turn (the last chunk) leaves in the same send. */
    SMALL = 4096,
    CHUNK_HEAD_MAX = 18, /* 16 hex digits, CR, LF */
    CHUNK_END = 2,
    IOV_MAX_USED = 4,
    /* A rest of the request body this small is read and dropped, to keep the connection; more is
     * cheaper to end (RFC 9112 §9.3). */
    SKIP_MAX = 16 * 1024
};

static struct http1 *of(struct dm_exchange *x)
{
    return DM_CONTAINER_OF(x, struct http1, x);
}

/* ---- the bounded buffer ---- */

size_t http1_pending(const struct http1_conn *c)
{
    return c->out_end - c->out_start;
}

void http1_drop_output(struct http1_conn *c)
{
    dm_slab_give(&c->host->blocks, c->out_block);
    c->out_block = NULL;
    c->out_start = c->out_end = 0;
    c->write_by = DM_NEVER;
}

char *http1_reserve(struct http1_conn *c, size_t len)
{
    if (c->out_block == NULL)
        c->out_block = dm_slab_take(&c->host->blocks);
    if (len > HTTP1_BLOCK - c->out_end && c->out_start > 0) {
        memmove(c->out_block, c->out_block + c->out_start, http1_pending(c));
        c->out_end -= c->out_start;
        c->out_start = 0;
    }
    return len > HTTP1_BLOCK - c->out_end ? NULL : c->out_block + c->out_end;
}

void http1_commit(struct http1_conn *c, size_t len)
{
    c->out_end += (uint32_t)len;
    DM_ASSERT(c->out_end <= HTTP1_BLOCK);
}

static void append(struct http1_conn *c, dm_view v)
{
    if (v.len == 0)
        return;
    char *to = http1_reserve(c, v.len);
    DM_ASSERT(to != NULL); /* callers stay inside what they asked room() for, plus the slack */
    memcpy(to, v.ptr, v.len);
    http1_commit(c, v.len);
}

static size_t room(const struct http1_conn *c)
{
    size_t pending = http1_pending(c);
    return pending >= DM_EXCHANGE_BUFFER ? 0 : DM_EXCHANGE_BUFFER - pending;
}

/* The client took `sent` bytes, or none: its time for the next ones starts, or goes on. */
static void note_progress(struct http1_conn *c, size_t sent)
{
    struct http1_rules *r = c->rq != NULL ? c->rq->rules : c->host->rules;
    if (http1_pending(c) == 0)
        http1_drop_output(c);
    else if (sent > 0 || c->write_by == DM_NEVER)
        c->write_by = dm_loop_now(c->host->loop) + r->body_timeout;
}

void http1_flush(struct http1_conn *c)
{
    size_t pending = http1_pending(c), sent;
    if (pending == 0 || c->lost || !c->stream.writable_)
        return;
    struct iovec iov = {.iov_base = c->out_block + c->out_start, .iov_len = pending};
    enum dm_code rc = dm_stream_write(&c->stream, &iov, 1, &sent);
    if (rc != DM_OK && rc != DM_AGAIN) {
        http1_lose(c);
        return;
    }
    c->out_start += (uint32_t)sent;
    note_progress(c, sent);
}

/* Sends what is buffered and then `pieces`, straight from their owner's memory. Gives how many
 * bytes of the pieces left; what stays of them is the caller's to keep. */
static size_t send_direct(struct http1_conn *c, const dm_view *pieces, int n)
{
    struct iovec iov[IOV_MAX_USED];
    size_t pending = http1_pending(c), sent;
    int used = 0;
    if (pending > 0)
        iov[used++] = (struct iovec){.iov_base = c->out_block + c->out_start, .iov_len = pending};
    for (int i = 0; i < n; i++)
        iov[used++] = (struct iovec){.iov_base = (char *)pieces[i].ptr, .iov_len = pieces[i].len};
    enum dm_code rc = dm_stream_write(&c->stream, iov, used, &sent);
    if (rc != DM_OK && rc != DM_AGAIN) {
        http1_lose(c);
        return 0;
    }
    size_t of_pending = sent < pending ? sent : pending;
    c->out_start += (uint32_t)of_pending;
    note_progress(c, sent);
    return sent - of_pending;
}

/* Keeps the unsent part of the pieces: `sent` bytes of them are gone. */
static void append_rest(struct http1_conn *c, const dm_view *pieces, int n, size_t sent)
{
    for (int i = 0; i < n; i++) {
        size_t gone = sent < pieces[i].len ? sent : pieces[i].len;
        append(c, dm_view_sub(pieces[i], gone, pieces[i].len - gone));
        sent -= gone;
    }
    if (http1_pending(c) > 0)
        note_progress(c, 0);
}

/* ---- answer ---- */

static bool bodyless(const struct http1 *h, int status)
{
    return status == 204 || status == 304 || dm_view_eq(h->x.head.method, DM_LIT("HEAD"));
}

/* Still accepting, but who keeps a connection shall open the next one elsewhere. */
static bool leaving(const struct http1_host *host)
{
    return host->leaving != NULL && atomic_load_explicit(host->leaving, memory_order_relaxed);
}

static bool must_close(const struct http1 *h, const struct dm_answer *a)
{
    const struct http1_host *host = h->conn->host;

    if (a->close || !h->keep_alive || !h->served || host->draining || leaving(host))
        return true;
    bool until_close = a->length == DM_LENGTH_UNKNOWN && h->x.head.minor == 0 && !h->bodyless;
    return until_close || http1_body_rest(h) > SKIP_MAX;
}

/* Not the server's abort: it hears of this one, by on_gone. */
static void cut(struct http1_conn *c)
{
    dm_stream_reset(&c->stream);
    http1_lose(c);
}

void http1_answer(struct dm_exchange *x, const struct dm_answer *a)
{
    struct http1 *h = of(x);
    struct http1_conn *c = h->conn;
    if (h->muted)
        return;
    h->bodyless = bodyless(h, a->status);
    c->close = must_close(h, a);
    h->chunked_out = !h->bodyless && a->length == DM_LENGTH_UNKNOWN && x->head.minor == 1;
    h->out_left = h->bodyless ? 0 : a->length;
    char *out = http1_reserve(c, http1_head_bound(h, a->fields));
    if (out == NULL) { /* nobody makes 48 KB of fields by intent; half a head must not leave */
        cut(c);
        return;
    }
    size_t len = http1_write_head(h, a, out);
    http1_commit(c, len);
    x->bytes_out += len;
    http1_post(c);
}

void http1_inform(struct dm_exchange *x, int status, const struct dm_fields *fields)
{
    struct http1 *h = of(x);
    size_t bound = http1_head_bound(h, fields);
    /* RFC 9110 §15.2: not for HTTP/1.0. Hints may be lost, the answer's room may not. */
    if (h->muted || x->head.minor == 0 || bound > room(h->conn) / 2)
        return;
    size_t len = http1_write_inform(h, status, fields, http1_reserve(h->conn, bound));
    http1_commit(h->conn, len);
    x->bytes_out += len;
    http1_post(h->conn);
}

static size_t push_plain(struct http1 *h, dm_view bytes)
{
    struct http1_conn *c = h->conn;
    if (http1_pending(c) + bytes.len <= SMALL) {
        append(c, bytes);
        h->x.bytes_out += bytes.len;
        return bytes.len;
    }
    size_t sent = c->stream.writable_ ? send_direct(c, &bytes, 1) : 0;
    dm_view left = dm_view_sub(bytes, sent, room(c));
    if (!c->lost)
        append_rest(c, &left, 1, 0);
    h->x.bytes_out += sent + left.len;
    return sent + left.len;
}

static size_t chunk_head(size_t len, char out[CHUNK_HEAD_MAX])
{
    static const char hex[] = "0123456789abcdef";
    char digits[CHUNK_HEAD_MAX];
    size_t n = 0, at = 0;
    for (; len > 0; len >>= 4)
        digits[n++] = hex[len & 15];
    while (n > 0)
        out[at++] = digits[--n];
    out[at++] = '\r';
    out[at++] = '\n';
    return at;
}

/* A chunk is announced before it is known how much the socket takes, so no more goes into one than
 * the buffer could keep. */
static size_t push_chunk(struct http1 *h, dm_view bytes)
{
    struct http1_conn *c = h->conn;
    size_t space = room(c), framing = CHUNK_HEAD_MAX + CHUNK_END;
    if (space <= framing)
        return 0;
    char head[CHUNK_HEAD_MAX];
    dm_view data = dm_view_sub(bytes, 0, space - framing);
    const dm_view pieces[] = {{head, chunk_head(data.len, head)}, data, DM_LIT("\r\n")};
    bool direct = c->stream.writable_ && http1_pending(c) + data.len > SMALL;
    size_t sent = direct ? send_direct(c, pieces, DM_COUNT_OF(pieces)) : 0;
    if (!c->lost)
        append_rest(c, pieces, DM_COUNT_OF(pieces), sent);
    h->x.bytes_out += pieces[0].len + data.len + CHUNK_END;
    return data.len;
}

static size_t push_some(struct http1 *h, dm_view bytes)
{
    struct http1_conn *c = h->conn;
    size_t taken = 0;
    while (taken < bytes.len && !c->lost) {
        dm_view left = dm_view_sub(bytes, taken, bytes.len - taken);
        size_t n = h->chunked_out ? push_chunk(h, left) : push_plain(h, left);
        if (n == 0)
            break;
        taken += n;
    }
    return c->lost ? bytes.len : taken;
}

/* Complete answers leave at once; the rest of small pieces at the end of the turn, together. */
static void leave(struct http1 *h)
{
    struct http1_conn *c = h->conn;
    if (http1_pending(c) == 0)
        return;
    if (!h->chunked_out && h->out_left == 0)
        http1_flush(c);
    http1_post(c); /* also where the flush was cut short: its deadline has to be armed */
}

size_t http1_push(struct dm_exchange *x, dm_view bytes)
{
    struct http1 *h = of(x);
    if (h->muted || h->bodyless || h->finished || h->ending || h->aborted || h->conn->lost)
        return bytes.len;
    bool known = !h->chunked_out && h->out_left != DM_LENGTH_UNKNOWN;
    dm_view wanted = known ? dm_view_sub(bytes, 0, (size_t)h->out_left) : bytes;
    size_t taken = push_some(h, wanted);
    if (known)
        h->out_left -= (int64_t)taken;
    leave(h);
    if (taken < wanted.len) {
        h->wants_room = true;
        return taken;
    }
    return bytes.len;
}

void http1_keep(struct dm_exchange *x, dm_view rest)
{
    struct http1 *h = of(x);
    if (h->muted || h->conn->lost)
        return;
    DM_ASSERT(h->rest == NULL && !h->chunked_out);
    h->rest = dm_mem_array(rest.len, 1);
    memcpy(h->rest, rest.ptr, rest.len);
    h->rest_len = rest.len;
    h->wants_room = false; /* ours to fill, not the server's */
}

void http1_push_rest(struct http1 *h)
{
    dm_view left = dm_view_make(h->rest + h->rest_at, h->rest_len - h->rest_at);
    size_t taken = push_some(h, left);
    h->out_left -= (int64_t)taken;
    h->rest_at += taken;
    leave(h);
    if (h->rest_at < h->rest_len)
        return;
    dm_mem_free(h->rest);
    h->rest = NULL;
    if (h->ending) {
        h->ending = false;
        http1_finish(&h->x);
    }
}

void http1_trailer(struct dm_exchange *x, dm_view name, dm_view value)
{
    struct http1 *h = of(x);
    if (h->muted || !h->chunked_out || !dm_http_value_ok(name) || !dm_http_value_ok(value))
        return;
    if ((dm_header_flags_of(dm_header_find(name), name) & (DM_HF_HOP | DM_HF_OURS | DM_HF_NEVER)) !=
        0)
        return;
    dm_view n = dm_arena_copy(x->arena, name), v = dm_arena_copy(x->arena, value);
    if (n.ptr != NULL && v.ptr != NULL)
        (void)dm_fields_add(&h->out_trailers, x->arena, DM_HDR_OTHER, n, v); /* late and optional */
}

static void append_last_chunk(struct http1 *h)
{
    struct http1_conn *c = h->conn;
    size_t before = http1_pending(c), used = 0;
    append(c, DM_LIT("0\r\n"));
    for (size_t i = 0; i < h->out_trailers.count; i++) {
        const struct dm_field_line *f = &h->out_trailers.items[i];
        used += f->name.len + f->value.len + 4;
        if (used > HTTP1_TRAILERS_OUT)
            break;
        append(c, f->name);
        append(c, DM_LIT(": "));
        append(c, f->value);
        append(c, DM_LIT("\r\n"));
    }
    append(c, DM_LIT("\r\n"));
    h->x.bytes_out += http1_pending(c) - before;
}

void http1_finish(struct dm_exchange *x)
{
    struct http1 *h = of(x);
    struct http1_conn *c = h->conn;
    if (h->muted || h->finished || h->aborted || c->lost) /* lost: on_gone is on its way */
        return;
    if (h->rest != NULL) {
        h->ending = true;
        return;
    }
    if (!h->chunked_out && h->out_left > 0) { /* less than announced: the cut must show */
        cut(c);
        return;
    }
    if (h->chunked_out)
        append_last_chunk(h);
    h->finished = true;
    http1_flush(c);
    http1_post(c);
}
