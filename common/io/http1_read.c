#include "io/http1.h"

#include <string.h>

#include "base/assert.h"
#include "crypto/random.h"

#include "base/poison.h"

enum {
    HEAD_BUF_MIN = 1024,
    /* RFC-less ids of clients: enough for every tracing system, short enough for logs
       (operations.md §8.7) */
    REQUEST_ID_MAX = 128
};

static struct http1 *of(struct dm_exchange *x)
{
    return DM_CONTAINER_OF(x, struct http1, x);
}

/* ---- bytes from the socket ---- */

enum http1_fill http1_fill(struct http1_conn *c, size_t max)
{
    DM_ASSERT(c->in.len == 0 && c->in_block == NULL && c->running);
    char *scratch = dm_loop_scratch(c->host->loop);
    size_t len;
    switch (dm_stream_read(&c->stream, scratch, max, &len)) {
    case DM_OK:
        c->in = dm_view_make(scratch, len);
        return HTTP1_FILLED;
    case DM_AGAIN:
        return HTTP1_DRY;
    default:
        return HTTP1_CLOSED;
    }
}

static size_t span_len(const struct http1_conn *c)
{
    return c->rq == NULL ? 0 : c->rq->span.len;
}

/* The block goes back when nothing in it is needed. */
static void release_input(struct http1_conn *c)
{
    if (c->in.len > 0 || span_len(c) > 0)
        return;
    dm_slab_give(&c->host->blocks, c->in_block);
    c->in_block = NULL;
    c->in = DM_VIEW_NONE;
}

void http1_advance(struct http1_conn *c, size_t len)
{
    DM_ASSERT(len <= c->in.len);
    if (len > 0) /* nothing received: there is no pointer to move */
        c->in = dm_view_make(c->in.ptr + len, c->in.len - len);
    release_input(c);
}

void http1_keep_input(struct http1_conn *c)
{
    size_t span = span_len(c), len = span + c->in.len;
    if (len == 0 || c->in_block != NULL)
        return;
    DM_ASSERT(len <= HTTP1_BLOCK);
    char *block = dm_slab_take(&c->host->blocks);
    memcpy(block, span > 0 ? c->rq->span.ptr : c->in.ptr, len); /* the span lies directly before */
    if (span > 0)
        c->rq->span.ptr = block;
    c->in.ptr = block + span;
    c->in_block = block;
}

/* ---- a request begins and ends ---- */

static struct http1_rules *current_rules(struct http1_host *host)
{
    const struct dm_settings *s = host->settings(host->app);
    if (host->rules == NULL || host->rules->settings != s) {
        struct http1_rules *fresh = http1_rules_new(s);
        http1_rules_unref(host->rules);
        host->rules = fresh;
    }
    return host->rules;
}

struct http1 *http1_begin(struct http1_conn *c)
{
    struct http1_host *host = c->host;
    struct http1 *h = dm_slab_take(&host->requests);
    memset(h, 0, sizeof *h);
    h->conn = c;
    h->rules = http1_rules_ref(current_rules(host));
    h->body_max = h->rules->max_body;
    dm_arena_init(&h->arena, host->arenas, h->rules->arena_cap);
    h->x.arena = &h->arena;
    h->x.loop = host->loop;
    h->x.settings = h->rules->settings;
    h->x.peer = c->peer;
    h->x.started = dm_loop_now(host->loop);
    h->x.handler = host->handler;
    h->x.carrier_ = &http1_carrier;
    h->x.head.minor = 1; /* until the head says otherwise: refusals of garbage are HTTP/1.1 */
    http1_parser_init(&h->parser, &h->arena, &h->x.head.fields, h->rules->guard.max_fields);
    c->rq = h;
    return h;
}

void http1_end(struct http1 *h)
{
    struct http1_conn *c = h->conn;
    c->rq = NULL;
    dm_mem_free(h->rest);
    dm_arena_reset(&h->arena);
    http1_rules_unref(h->rules);
    dm_slab_give(&c->host->requests, h);
    release_input(c);
}

/* ---- head ---- */

/* Appends to the bytes of a head that comes in pieces; views into the pieces so far move along. */
static bool gather(struct http1 *h, dm_view piece)
{
    size_t need = h->head_len + piece.len;
    if (need > h->head_size) {
        size_t size = need * 2 < HEAD_BUF_MIN ? HEAD_BUF_MIN : need * 2;
        char *buf = dm_arena_alloc(&h->arena, size);
        if (buf == NULL)
            return false;
        if (h->head_len > 0) {
            memcpy(buf, h->head_buf, h->head_len);
            http1_parser_move(&h->parser, h->head_buf, buf);
        }
        h->head_buf = buf;
        h->head_size = size;
    }
    memcpy(h->head_buf + h->head_len, piece.ptr, piece.len);
    h->head_len = need;
    return true;
}

static enum dm_guard parse_fault(enum http1_parsed p)
{
    switch (p) {
    case HTTP1_TOO_MANY:
        return DM_GUARD_TOO_MANY_FIELDS;
    case HTTP1_TOO_LARGE:
        return DM_GUARD_HEAD_TOO_LARGE;
    case HTTP1_NO_MEMORY:
        return DM_GUARD_MEMORY;
    case HTTP1_BAD_EXTENSION:
        return DM_GUARD_CHUNK_EXTENSION;
    default:
        return DM_GUARD_SYNTAX;
    }
}

static bool id_ok(dm_view id)
{
    if (id.len == 0 || id.len > REQUEST_ID_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i], lower = (char)(c | 0x20);
        bool word = (c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'z');
        if (!word && c != '.' && c != '_' && c != ':' && c != '-')
            return false;
    }
    return true;
}

void http1_set_request_id(struct http1 *h)
{
    dm_view id = dm_fields_get(&h->x.head.fields, DM_HDR_X_REQUEST_ID);
    if (id.len == 0)
        id = dm_fields_get(&h->x.head.fields, DM_HDR_REQUEST_ID);
    if (!id_ok(id)) {
        _Static_assert(sizeof h->id > DM_UUID_LEN, "room for an id");
        dm_random_uuid(h->id);
        id = dm_view_make(h->id, DM_UUID_LEN);
    }
    h->x.request_id = id;
}

static enum dm_guard head_complete(struct http1 *h, dm_view raw)
{
    struct dm_request_head *head = &h->x.head;
    head->method = h->parser.method;
    head->target = h->parser.target;
    enum dm_guard g = dm_http_guard(head, raw, &h->rules->guard);
    http1_set_request_id(h);
    h->x.bytes_in = raw.len;
    if (g != DM_GUARD_OK)
        return g;
    h->keep_alive = dm_http_keeps_alive(head);
    h->fin_ok = !h->keep_alive;
    h->body_left = head->length;
    h->body_done = !head->chunked && head->length == 0;
    h->continue_due = head->expect_continue && !h->body_done;
    return DM_GUARD_OK;
}

/* Most heads come in one read: parsed where they lie, then copied once, to live as long as the
 * request. */
static enum dm_guard read_first(struct http1 *h, bool *ret_complete)
{
    struct http1_conn *c = h->conn;
    dm_view in = c->in;
    size_t used;
    enum http1_parsed p = http1_parse_head(&h->parser, in, &used);
    if (h->parser.target.len > h->rules->guard.max_target)
        return DM_GUARD_TARGET_TOO_LONG;
    if (p == HTTP1_MORE) {
        if (in.len > h->rules->guard.max_head)
            return DM_GUARD_HEAD_TOO_LARGE;
        if (!gather(h, in))
            return DM_GUARD_MEMORY;
        http1_parser_move(&h->parser, in.ptr, h->head_buf);
        http1_advance(c, in.len);
        return DM_GUARD_OK;
    }
    if (p != HTTP1_HEAD)
        return parse_fault(p);
    if (used > h->rules->guard.max_head)
        return DM_GUARD_HEAD_TOO_LARGE;
    dm_view raw = dm_arena_copy(&h->arena, dm_view_make(in.ptr, used));
    if (raw.ptr == NULL)
        return DM_GUARD_MEMORY;
    http1_parser_move(&h->parser, in.ptr, raw.ptr);
    http1_advance(c, used);
    *ret_complete = true;
    return head_complete(h, raw);
}

enum dm_guard http1_read_head(struct http1 *h, bool *ret_complete)
{
    struct http1_conn *c = h->conn;
    size_t max_head = h->rules->guard.max_head;
    *ret_complete = false;
    if (h->head_buf == NULL)
        return read_first(h, ret_complete);
    /* one byte more than allowed is enough to know */
    size_t before = h->head_len;
    dm_view piece = dm_view_sub(c->in, 0, max_head + 1 - before);
    if (!gather(h, piece))
        return DM_GUARD_MEMORY;
    size_t used;
    enum http1_parsed p =
        http1_parse_head(&h->parser, dm_view_make(h->head_buf + before, piece.len), &used);
    if (h->parser.target.len > h->rules->guard.max_target)
        return DM_GUARD_TARGET_TOO_LONG;
    if (p != HTTP1_MORE && p != HTTP1_HEAD)
        return parse_fault(p);
    http1_advance(c, used);
    h->head_len = before + used;
    if (h->head_len > max_head)
        return DM_GUARD_HEAD_TOO_LARGE;
    if (p == HTTP1_MORE)
        return DM_GUARD_OK;
    *ret_complete = true;
    return head_complete(h, dm_view_make(h->head_buf, h->head_len));
}

/* ---- body ---- */

static bool length_over(const struct http1 *h)
{
    return h->x.head.has_length && h->x.head.length > h->body_max;
}

/* Parses up to the next span. */
static bool chunks_ready(struct http1 *h)
{
    struct http1_conn *c = h->conn;
    while (c->in.len > 0) {
        size_t used;
        enum http1_parsed p = http1_parse_body(&h->parser, c->in, &h->trailers, &used);
        if (p == HTTP1_SPAN) {
            h->span = h->parser.span;
            h->body_seen += h->span.len;
            h->body_over = h->body_seen > h->body_max;
        } else if (p == HTTP1_END) {
            h->fault = dm_http_guard_trailers(&h->trailers);
            h->body_done = h->fault == DM_GUARD_OK;
        } else if (p != HTTP1_MORE) {
            h->fault = p == HTTP1_BAD ? DM_GUARD_CHUNKS : parse_fault(p);
            return false;
        }
        h->x.bytes_in += used;
        http1_advance(c, used);
        if (p != HTTP1_MORE)
            return h->fault == DM_GUARD_OK;
    }
    return false;
}

bool http1_body_ready(struct http1 *h)
{
    if (h->fault != DM_GUARD_OK)
        return false;
    if (h->body_done || h->body_over || h->span.len > 0 || length_over(h))
        return true;
    if (!h->x.head.chunked)
        return h->conn->in.len > 0;
    return chunks_ready(h);
}

uint64_t http1_body_rest(const struct http1 *h)
{
    if (h->body_done)
        return 0;
    /* who waits for "100 Continue" may send the body or not: there is no telling what comes next */
    if (h->x.head.chunked || h->continue_due)
        return UINT64_MAX;
    return h->body_left;
}

static void send_continue(struct http1 *h)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    enum { LEN = sizeof text - 1 };
    if (!h->continue_due)
        return;
    h->continue_due = false;
    if (h->x.status != 0)
        return;
    char *out = http1_reserve(h->conn, LEN);
    if (out == NULL)
        return;
    memcpy(out, text, LEN);
    http1_commit(h->conn, LEN);
}

enum dm_code http1_pull(struct dm_exchange *x, dm_view *ret_bytes)
{
    struct http1 *h = of(x);
    if (h->muted)
        return DM_AGAIN;
    if (!http1_body_ready(h)) {
        h->wants_body = true;
        send_continue(h);
        http1_post(h->conn);
        return DM_AGAIN;
    }
    h->continue_due =
        h->continue_due && length_over(h); /* bytes came unasked: nobody waits for a 100 */
    if (h->body_over || length_over(h))
        return DM_LIMIT;
    if (h->span.len > 0) {
        *ret_bytes = h->span;
        return DM_OK;
    }
    if (h->body_done)
        return DM_EOF;
    *ret_bytes = dm_view_sub(h->conn->in, 0, h->body_left);
    return DM_OK;
}

void http1_consume(struct dm_exchange *x, size_t len)
{
    struct http1 *h = of(x);
    if (h->muted)
        return;
    if (h->x.head.chunked) {
        DM_REQUIRE(len <= h->span.len);
        h->span.ptr += len;
        h->span.len -= len;
        release_input(h->conn);
        return;
    }
    DM_REQUIRE(len <= h->body_left && len <= h->conn->in.len);
    h->body_left -= len;
    h->body_seen += len;
    h->body_done = h->body_left == 0;
    h->x.bytes_in += len;
    http1_advance(h->conn, len);
}
