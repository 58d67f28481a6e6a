#include "io/http1_parser.h"

#include <llhttp.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#include "base/poison.h"

_Static_assert(sizeof(llhttp_t) <= sizeof(((struct http1_parser *)0)->llhttp_), "llhttp has grown");
_Static_assert(LLHTTP_VERSION_MAJOR == 9 && LLHTTP_VERSION_MINOR >= 2, "strictness is that of 9.2");

static llhttp_t *llhttp_of(struct http1_parser *p)
{
    return (llhttp_t *)(void *)p->llhttp_;
}

static int fault(struct http1_parser *p, enum http1_parsed why)
{
    p->fault_ = why;
    return HPE_USER;
}

static void extend(dm_view *v, const char *at, size_t len)
{
    if (v->ptr == NULL)
        v->ptr = at;
    v->len += len;
}

static int on_method(llhttp_t *l, const char *at, size_t len)
{
    struct http1_parser *p = l->data;
    extend(&p->method, at, len);
    return 0;
}

static int on_target(llhttp_t *l, const char *at, size_t len)
{
    struct http1_parser *p = l->data;
    extend(&p->target, at, len);
    return 0;
}

/* Trailers arrive in pieces of buffers that do not stay: they are gathered in one block of fixed
 * size. */
static bool keep_trailer(struct http1_parser *p, const char **at, size_t len)
{
    if (p->trailer_bytes_ == NULL) {
        p->trailer_bytes_ = dm_arena_alloc(p->arena_, HTTP1_TRAILER_BYTES);
        if (p->trailer_bytes_ == NULL) {
            p->fault_ = HTTP1_NO_MEMORY;
            return false;
        }
    }
    if (len > HTTP1_TRAILER_BYTES - p->trailer_used_) {
        p->fault_ = HTTP1_TOO_LARGE;
        return false;
    }
    char *to = p->trailer_bytes_ + p->trailer_used_;
    if (len > 0)
        memcpy(to, *at, len);
    p->trailer_used_ += len;
    *at = to;
    return true;
}

static int on_name(llhttp_t *l, const char *at, size_t len)
{
    struct http1_parser *p = l->data;
    if (p->in_body_ && !keep_trailer(p, &at, len))
        return HPE_USER;
    if (!p->in_field_) {
        if (p->fields_->count >= p->max_fields_)
            return fault(p, HTTP1_TOO_MANY);
        if (!dm_fields_add(p->fields_, p->arena_, DM_HDR_OTHER, dm_view_make(at, 0), DM_VIEW_NONE))
            return fault(p, HTTP1_NO_MEMORY);
        p->in_field_ = true;
    }
    p->fields_->items[p->fields_->count - 1].name.len += len;
    return 0;
}

static int on_value(llhttp_t *l, const char *at, size_t len)
{
    struct http1_parser *p = l->data;
    if (p->in_body_ && !keep_trailer(p, &at, len))
        return HPE_USER;
    extend(&p->fields_->items[p->fields_->count - 1].value, at, len);
    return 0;
}

static int on_value_complete(llhttp_t *l)
{
    struct http1_parser *p = l->data;
    p->in_field_ = false;
    return 0;
}

static int on_head(llhttp_t *l)
{
    l->upgrade =
        0; /* an upgrade is the server's business: framing goes by length and chunks alone */
    return HPE_PAUSED;
}

static int on_span(llhttp_t *l, const char *at, size_t len)
{
    struct http1_parser *p = l->data;
    p->span = dm_view_make(at, len);
    return HPE_PAUSED;
}

static int on_extension(llhttp_t *l, const char *at, size_t len)
{
    (void)at;
    (void)len;
    return fault(l->data, HTTP1_BAD_EXTENSION);
}

static int on_end(llhttp_t *l)
{
    struct http1_parser *p = l->data;
    p->in_body_ = false; /* tells the pause at the end from the one behind a span */
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_method = on_method,
    .on_url = on_target,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_head,
    .on_body = on_span,
    .on_chunk_extension_name = on_extension,
    .on_chunk_extension_value = on_extension,
    .on_message_complete = on_end,
};

void http1_parser_init(struct http1_parser *p, struct dm_arena *a, struct dm_fields *head,
                       size_t max_fields)
{
    *p = (struct http1_parser){.arena_ = a, .fields_ = head, .max_fields_ = max_fields};
    llhttp_init(llhttp_of(p), HTTP_REQUEST, &settings);
    llhttp_of(p)->data = p;
}

static enum http1_parsed run(struct http1_parser *p, dm_view bytes, size_t *ret_used)
{
    llhttp_t *l = llhttp_of(p);
    llhttp_errno_t rc = llhttp_execute(l, bytes.ptr, bytes.len);
    if (rc == HPE_OK) {
        *ret_used = bytes.len;
        return HTTP1_MORE;
    }
    *ret_used = (size_t)(llhttp_get_error_pos(l) - bytes.ptr);
    if (rc != HPE_PAUSED)
        return rc == HPE_USER ? p->fault_ : HTTP1_BAD;
    DM_ASSERT(*ret_used <= bytes.len);
    llhttp_resume(l);
    return HTTP1_HEAD;
}

enum http1_parsed http1_parse_head(struct http1_parser *p, dm_view bytes, size_t *ret_used)
{
    return run(p, bytes, ret_used);
}

static void move(dm_view *v, const char *before, const char *now)
{
    if (v->ptr != NULL)
        v->ptr = now + (v->ptr - before);
}

void http1_parser_move(struct http1_parser *p, const char *before, const char *now)
{
    move(&p->method, before, now);
    move(&p->target, before, now);
    for (size_t i = 0; i < p->fields_->count; i++) {
        move(&p->fields_->items[i].name, before, now);
        move(&p->fields_->items[i].value, before, now);
    }
}

enum http1_parsed http1_parse_body(struct http1_parser *p, dm_view bytes,
                                   struct dm_fields *trailers, size_t *ret_used)
{
    p->fields_ = trailers;
    p->in_body_ = true;
    p->span = DM_VIEW_NONE;
    enum http1_parsed rc = run(p, bytes, ret_used);
    if (rc != HTTP1_HEAD)
        return rc;
    if (!p->in_body_)
        return HTTP1_END;
    DM_ASSERT(p->span.ptr + p->span.len == bytes.ptr + *ret_used);
    return p->span.len > 0 ? HTTP1_SPAN : HTTP1_MORE;
}
