#include "io/admin_door.h"

#include "base/assert.h"
#include "base/buf.h"
#include "base/log.h"
#include "io/admin_server.h"

/* One passage. In the exchange's arena: gone with it. */
struct passage {
    struct dm_exchange *x;
    bool remote;
    struct dm_http_call *call; /* NULL: not yet, or over */
    bool body_sent;            /* the request's body was read to its end */
};

static struct passage *of(struct dm_exchange *x)
{
    return x->server;
}

static void drop_call(struct passage *p)
{
    struct dm_http_call *call = DM_TAKE(p->call);
    if (call != NULL)
        dm_http_cancel(call);
}

/* Too late for a status once the answer has begun: then the cut has to be visible. */
static void fail(struct passage *p, enum dm_err err, dm_view reason)
{
    drop_call(p);
    if (dm_exchange_answered(p->x))
        dm_exchange_abort(p->x);
    else
        dm_exchange_refuse(p->x, err, reason);
}

/* --- the request --- */

/* The admin routes by origin-form: of "http://host/path" it gets "/path" (RFC 9112 §3.2.2). */
static dm_view origin_form(dm_view target)
{
    size_t authority = dm_view_find(target, DM_LIT("://"));
    if (dm_view_starts(target, DM_LIT("/")) || authority == target.len)
        return target;
    size_t path = dm_view_find_byte(target, '/', authority + 3);
    return path == target.len ? DM_LIT("/") : dm_view_sub(target, path, target.len);
}

/* Of our own fields another process gets those that add_forwarded makes, once each. */
static bool passes_up(const struct dm_exchange *x, const struct dm_field_line *line, bool remote)
{
    const unsigned kept = DM_HF_HOP | DM_HF_INTERNAL | (remote ? DM_HF_OURS : 0);

    if (dm_header_flags_of(line->id, line->name) & kept)
        return false;
    return !dm_fields_connection_lists(&x->head.fields, line->name);
}

static void add_line(struct dm_buf *b, dm_view name, dm_view value)
{
    dm_buf_add(b, name);
    dm_buf_add(b, DM_LIT(": "));
    dm_buf_add(b, value);
    dm_buf_add(b, DM_LIT("\r\n"));
}

static dm_view peer_text(const struct dm_exchange *x, char text[DM_ADDRESS_TEXT])
{
    if (x->peer.unix_socket)
        return DM_LIT(DM_ADMIN_PEER_UNIX);
    return dm_view_make(text, dm_address_write(&x->peer, text));
}

/* What the admin part of this process is told, and nobody else could say. */
static void add_internal(struct dm_exchange *x, struct dm_buf *b)
{
    char text[DM_ADDRESS_TEXT];

    add_line(b, dm_header_name(DM_HDR_X_DOORMAN_PEER), peer_text(x, text));
    add_line(b, dm_header_name(DM_HDR_X_DOORMAN_SCHEME),
             x->scheme_https ? DM_LIT("https") : DM_LIT("http"));
    add_line(b, dm_header_name(DM_HDR_X_DOORMAN_INTERNAL_REQUEST_ID), x->request_id);
}

/* What every proxy says, one more hop in the chain: whether we are believed is the other side's
 * setting (trusted proxies). */
static void add_forwarded(struct dm_exchange *x, struct dm_buf *b)
{
    char text[DM_ADDRESS_TEXT];
    dm_view chain = dm_fields_get(&x->head.fields, DM_HDR_X_FORWARDED_FOR);

    dm_buf_add(b, dm_header_name(DM_HDR_X_FORWARDED_FOR));
    dm_buf_add(b, DM_LIT(": "));
    dm_buf_add(b, chain);
    dm_buf_add(b, chain.len > 0 ? DM_LIT(", ") : DM_LIT(""));
    dm_buf_add(b, peer_text(x, text));
    dm_buf_add(b, DM_LIT("\r\n"));
    add_line(b, dm_header_name(DM_HDR_X_FORWARDED_PROTO),
             x->scheme_https ? DM_LIT("https") : DM_LIT("http"));
    add_line(b, dm_header_name(DM_HDR_X_FORWARDED_HOST), x->head.host);
    add_line(b, dm_header_name(DM_HDR_X_REQUEST_ID), x->request_id);
}

static dm_view build_head(struct dm_exchange *x, bool remote)
{
    enum { HEAD_MAX = 1 << 20 }; /* a head the listener took, its largest limit four times over */
    struct dm_buf b;
    dm_buf_init(&b, HEAD_MAX);
    dm_buf_add(&b, x->head.method);
    dm_buf_add_byte(&b, ' ');
    dm_buf_add(&b, origin_form(x->head.target));
    dm_buf_add(&b, DM_LIT(" HTTP/1.1\r\n"));
    add_line(&b, DM_LIT("Host"), x->head.host);
    for (size_t i = 0; i < x->head.fields.count; i++)
        if (passes_up(x, &x->head.fields.items[i], remote))
            add_line(&b, x->head.fields.items[i].name, x->head.fields.items[i].value);
    if (remote)
        add_forwarded(x, &b);
    else
        add_internal(x, &b);
    dm_view head = dm_buf_ok(&b) ? dm_arena_copy(x->arena, dm_buf_view(&b)) : DM_VIEW_NONE;
    dm_buf_done(&b);
    return head;
}

static bool is_multipart(const struct dm_exchange *x)
{
    dm_view type = dm_fields_get(&x->head.fields, DM_HDR_CONTENT_TYPE);
    dm_view kind = dm_view_trim(dm_view_sub(type, 0, dm_view_find_byte(type, ';', 0)));
    return dm_view_eq_nocase(kind, DM_LIT("multipart/form-data"));
}

static uint64_t body_limit(const struct dm_exchange *x)
{
    if (x->settings->disable_body_size_limit)
        return UINT64_MAX;
    return (uint64_t)(is_multipart(x) ? x->settings->max_multipart_size_bytes
                                      : x->settings->max_body_size_bytes);
}

static int64_t body_length(const struct dm_exchange *x)
{
    if (x->head.has_length)
        return (int64_t)x->head.length;
    return x->head.chunked ? DM_LENGTH_UNKNOWN : 0;
}

/* Moves the body on, as far as either side goes. */
static void pump(struct passage *p)
{
    while (p->call != NULL && !p->body_sent) {
        dm_view bytes;
        switch (dm_exchange_pull(p->x, &bytes)) {
        case DM_OK: {
            size_t n = dm_http_push(p->call, bytes);
            dm_exchange_consume(p->x, n);
            if (n < bytes.len)
                return; /* on_room comes */
            break;
        }
        case DM_EOF:
            p->body_sent = true;
            dm_http_push_end(p->call, NULL);
            return;
        case DM_LIMIT:
            fail(p, ERR_BODY_TOO_LARGE, DM_LIT("body_limit"));
            return;
        default: /* on_body comes, or on_gone */
            return;
        }
    }
}

/* --- the answer --- */

static void on_room(struct dm_http_call *c, void *ctx)
{
    (void)c;
    pump(ctx);
}

static bool passes_down(const struct dm_fields *all, const struct dm_field_line *line)
{
    return !(dm_header_flags_of(line->id, line->name) & (DM_HF_HOP | DM_HF_INTERNAL)) &&
           !dm_fields_connection_lists(all, line->name);
}

static void on_head(struct dm_http_call *c, void *ctx, const struct dm_http_answer_head *h)
{
    (void)c;
    struct passage *p = ctx;
    struct dm_fields fields = {0};
    if (!p->remote && dm_fields_get_name(h->fields, DM_LIT(DM_ADMIN_HANDLED)).ptr == NULL) {
        DM_LOG(DM_LOG_ERROR, p->x->request_id, "admin server refused a request",
               DM_FI("status", h->status));
        fail(p, ERR_INTERNAL, DM_LIT("admin"));
        return;
    }
    for (size_t i = 0; i < h->fields->count; i++) {
        const struct dm_field_line *line = &h->fields->items[i];
        if (!passes_down(h->fields, line))
            continue;
        if (!dm_fields_add(&fields, p->x->arena, line->id, line->name, line->value)) {
            fail(p, ERR_TOO_MUCH_MEMORY, DM_LIT("memory"));
            return;
        }
    }
    const struct dm_answer a = {.status = h->status, .fields = &fields, .length = h->length};
    dm_exchange_answer(p->x, &a);
}

static size_t on_answer_body(struct dm_http_call *c, void *ctx, dm_view bytes)
{
    (void)c;
    struct passage *p = ctx;
    return dm_exchange_push(p->x, bytes);
}

static void on_end(struct dm_http_call *c, void *ctx, const struct dm_http_end_info *info)
{
    (void)c;
    struct passage *p = ctx;
    p->call = NULL;
    if (info->end == DM_HTTP_COMPLETE) {
        dm_exchange_finish(p->x);
        return;
    }
    DM_LOG(DM_LOG_ERROR, p->x->request_id, "admin server gave no answer", DM_FC("why", info->why));
    bool late = info->end == DM_HTTP_READ_TIMEOUT || info->end == DM_HTTP_WRITE_TIMEOUT;
    fail(p, late ? ERR_UPSTREAM_TIMEOUT : ERR_ADMIN_AWAY, DM_LIT("admin"));
}

static const struct dm_http_handler from_admin = {
    .on_room = on_room, .on_head = on_head, .on_body = on_answer_body, .on_end = on_end};

/* --- the exchange --- */

static void on_body(struct dm_exchange *x)
{
    pump(of(x));
}

static void on_exchange_room(struct dm_exchange *x)
{
    if (of(x)->call != NULL)
        dm_http_resume(of(x)->call);
}

static void on_gone(struct dm_exchange *x, enum dm_gone why)
{
    (void)why;
    drop_call(of(x));
}

static void on_done(struct dm_exchange *x)
{
    drop_call(of(x));
}

static const struct dm_exchange_handler from_client = {
    .on_body = on_body, .on_room = on_exchange_room, .on_gone = on_gone, .on_done = on_done};

static struct dm_http_ask build_ask(const struct dm_admin_door *d, struct dm_exchange *x,
                                    dm_view head)
{
    struct dm_http_server server = {0};
    if (d->origin != NULL) {
        server = (struct dm_http_server){
            .key = d->origin->key, .host = d->origin->host, .port = d->origin->port};
    } else {
        server.key = dm_view_of(d->socket_path);
        server.unix_path = server.key;
    }
    return (struct dm_http_ask){
        .server = server,
        .timeouts = {.connect = d->timeout,
                     .read = d->timeout,
                     .write = d->timeout,
                     .pool = d->timeout},
        .head = head,
        .head_method = dm_view_eq(x->head.method, DM_LIT("HEAD")),
        .body_length = body_length(x),
        .no_reuse = d->origin == NULL,
    };
}

void dm_admin_door_serve(struct dm_admin_door *d, struct dm_exchange *x)
{
    struct passage *p = dm_arena_zalloc(x->arena, sizeof *p);
    dm_view head = build_head(x, d->origin != NULL);
    if (p == NULL || head.ptr == NULL) {
        dm_exchange_refuse(x, ERR_TOO_MUCH_MEMORY, DM_LIT("memory"));
        return;
    }
    p->x = x;
    p->remote = d->origin != NULL;
    x->server = p;
    x->handler = &from_client;
    dm_exchange_limit_body(x, body_limit(x));
    if (x->head.has_length && x->head.length > body_limit(x)) {
        /* before a thread is taken for it */
        dm_exchange_refuse(x, ERR_BODY_TOO_LARGE, DM_LIT("body_limit"));
        return;
    }
    struct dm_http_ask ask = build_ask(d, x, head);
    p->call = dm_http_ask(d->client, &ask, &from_admin, p);
}
