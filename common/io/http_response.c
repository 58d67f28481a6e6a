#include "io/http_response.h"

#include <llhttp.h>
#include <string.h>

#include "base/assert.h"

enum {
    KEEP_TEXT = 4096, /* text kept for the next answer: the usual head; more is given back */
    FIRST_LINES = 16
};

enum mode { MODE_HEAD = 0, MODE_LENGTH, MODE_CHUNKED, MODE_UNTIL_CLOSE, MODE_DONE, MODE_BAD };

/* Names and values one behind the other in `text`; the views are set when the block is complete,
 * because the text may move while it grows. */
struct block {
    struct dm_buf text;
    struct dm_fields fields;
    bool in_value; /* llhttp gave the whole name of the last line */
};

struct dm_http_response {
    llhttp_t parser;
    enum mode mode;
    size_t max_head;
    size_t framing; /* bytes in a row that are not body: head, or chunk lines and trailers */
    uint64_t left;  /* MODE_LENGTH */
    unsigned interim;
    bool head_method, started, head_done, message_done;
    struct block head, trailers;
    struct dm_http_answer_head answer;
    dm_view piece; /* body bytes llhttp found in this call */
    const char *why;
};

static struct dm_http_response *of(llhttp_t *p)
{
    return p->data;
}

static enum dm_answer_event bad(struct dm_http_response *r, const char *why)
{
    r->mode = MODE_BAD;
    r->why = why;
    return DM_ANSWER_BAD;
}

/* --- fields --- */

static void block_clear(struct block *b, size_t max_text)
{
    if (dm_buf_view(&b->text).len > KEEP_TEXT) {
        dm_buf_done(&b->text);
        dm_buf_init(&b->text, max_text);
    }
    dm_buf_clear(&b->text);
    b->fields.count = 0;
    b->in_value = false;
}

static bool block_new_line(struct block *b)
{
    struct dm_fields *f = &b->fields;
    if (f->count == DM_ANSWER_FIELDS_MAX)
        return false;
    if (f->count == f->size) {
        f->size = f->size == 0 ? FIRST_LINES : f->size * 2;
        f->items = dm_mem_grow(f->items, f->size, sizeof *f->items);
    }
    f->items[f->count++] = (struct dm_field_line){.name = DM_VIEW_NONE};
    return true;
}

static int block_name(struct block *b, const char *at, size_t len)
{
    if ((b->in_value || b->fields.count == 0) && !block_new_line(b))
        return HPE_USER;
    b->in_value = false;
    b->fields.items[b->fields.count - 1].name.len += len;
    dm_buf_add(&b->text, dm_view_make(at, len));
    return dm_buf_ok(&b->text) ? 0 : HPE_USER;
}

static int block_value(struct block *b, const char *at, size_t len)
{
    b->fields.items[b->fields.count - 1].value.len += len;
    dm_buf_add(&b->text, dm_view_make(at, len));
    return dm_buf_ok(&b->text) ? 0 : HPE_USER;
}

static void block_finish(struct block *b)
{
    const char *at = dm_buf_view(&b->text).ptr;
    for (size_t i = 0; i < b->fields.count; i++) {
        struct dm_field_line *line = &b->fields.items[i];
        line->name.ptr = at;
        at += line->name.len;
        line->value.ptr = at;
        at += line->value.len;
        line->value = dm_view_trim(line->value); /* llhttp leaves the blanks at the end */
        line->id = dm_header_find(line->name);
    }
}

/* --- llhttp's callbacks --- */

static struct block *current(llhttp_t *p)
{
    return of(p)->mode == MODE_HEAD ? &of(p)->head : &of(p)->trailers;
}

static int on_field(llhttp_t *p, const char *at, size_t len)
{
    return block_name(current(p), at, len);
}

static int on_field_complete(llhttp_t *p)
{
    current(p)->in_value = true;
    return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t len)
{
    return block_value(current(p), at, len);
}

static int on_headers_complete(llhttp_t *p)
{
    of(p)->head_done = true;
    return HPE_PAUSED;
}

/* A Content-Length in a trailer has no say (RFC 9110 §6.5.1), yet llhttp takes it for a fault of
 * the framing, when the client has got the whole body already. Behind the last chunk there is no
 * framing left to confuse, so one passes here; whoever forwards trailers drops it with all
 * hop-by-hop ones. */
static int on_chunk_header(llhttp_t *p)
{
    if (p->content_length == 0)
        llhttp_set_lenient_chunked_length(p, 1);
    return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t len)
{
    of(p)->piece = dm_view_make(at, len);
    return HPE_PAUSED;
}

static int on_message_complete(llhttp_t *p)
{
    of(p)->message_done = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t callbacks = {
    .on_header_field = on_field,
    .on_header_field_complete = on_field_complete,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_complete,
    .on_chunk_header = on_chunk_header,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* --- the answer --- */

struct dm_http_response *dm_http_response_new(size_t max_head)
{
    DM_REQUIRE(max_head > 0);
    struct dm_http_response *r = DM_NEW(struct dm_http_response);
    r->max_head = max_head;
    dm_buf_init(&r->head.text, max_head);
    dm_buf_init(&r->trailers.text, max_head);
    llhttp_init(&r->parser, HTTP_RESPONSE, &callbacks);
    r->parser.data = r;
    dm_http_response_begin(r, false);
    return r;
}

void dm_http_response_free(struct dm_http_response *r)
{
    if (r == NULL)
        return;
    dm_buf_done(&r->head.text);
    dm_buf_done(&r->trailers.text);
    dm_mem_free(r->head.fields.items);
    dm_mem_free(r->trailers.fields.items);
    dm_mem_free(r);
}

static void begin_head(struct dm_http_response *r)
{
    llhttp_reset(&r->parser); /* keeps leniency */
    llhttp_set_lenient_chunked_length(&r->parser, 0);
    r->mode = MODE_HEAD;
    r->framing = 0;
    r->head_done = r->message_done = false;
    block_clear(&r->head, r->max_head);
}

void dm_http_response_begin(struct dm_http_response *r, bool head_method)
{
    begin_head(r);
    block_clear(&r->trailers, r->max_head);
    r->interim = 0;
    r->head_method = head_method;
    r->started = false;
    r->why = "";
}

/* Runs llhttp over *bytes and cuts off what it used. False: it refused them. */
static bool parse(struct dm_http_response *r, dm_view *bytes)
{
    r->piece = DM_VIEW_NONE;
    llhttp_errno_t rc = llhttp_execute(&r->parser, bytes->ptr, bytes->len);
    size_t used = bytes->len;
    if (rc == HPE_PAUSED) {
        used = (size_t)(llhttp_get_error_pos(&r->parser) - bytes->ptr);
        llhttp_resume(&r->parser);
    } else if (rc != HPE_OK) {
        return false;
    }
    DM_ASSERT(used <= bytes->len);
    *bytes = dm_view_sub(*bytes, used, bytes->len);
    /* the pause is right behind it */
    DM_ASSERT(r->piece.len == 0 || r->piece.ptr + r->piece.len == bytes->ptr);
    r->framing += used - r->piece.len;
    return true;
}

/* What of the framing fields counts: how many, and the last value. */
struct framing {
    unsigned lengths, encodings;
    dm_view length, encoding;
};

static struct framing find_framing(const struct dm_fields *f)
{
    struct framing found = {0};
    for (size_t i = 0; i < f->count; i++) {
        if (f->items[i].id == DM_HDR_CONTENT_LENGTH) {
            found.lengths++;
            found.length = f->items[i].value;
        } else if (f->items[i].id == DM_HDR_TRANSFER_ENCODING) {
            found.encodings++;
            found.encoding = f->items[i].value;
        }
    }
    return found;
}

/* RFC 9112 §6.1, §6.3, without its leave to repair: two lengths, even equal ones, a length beside
 * an encoding, any encoding but plain chunked, any encoding in HTTP/1.0 are how answers get
 * smuggled. */
static const char *check_framing(const struct dm_http_response *r, const struct framing *f,
                                 int status, uint64_t length)
{
    if (f->lengths > 1)
        return "two Content-Length";
    if (f->encodings > 1)
        return "two Transfer-Encoding";
    if (f->encodings == 1 && f->lengths == 1)
        return "Content-Length with Transfer-Encoding";
    if (f->encodings == 1 && !dm_view_eq_nocase(f->encoding, DM_LIT("chunked")))
        return "Transfer-Encoding is not chunked";
    if (f->encodings == 1 && llhttp_get_http_minor((llhttp_t *)&r->parser) == 0)
        return "Transfer-Encoding in HTTP/1.0";
    if ((status < 200 || status == 204) && (f->encodings == 1 || length > 0))
        return "a body with a status that has none";
    return NULL;
}

static enum dm_answer_event interim_head(struct dm_http_response *r, int status)
{
    if (status == 101)
        return bad(r, "101 without having been asked");
    if (++r->interim > DM_ANSWER_INTERIM_MAX)
        return bad(r, "too many interim answers");
    r->answer =
        (struct dm_http_answer_head){.status = status, .fields = &r->head.fields, .bodyless = true};
    return status == 100 ? DM_ANSWER_MORE : DM_ANSWER_INFORM;
}

static enum dm_answer_event final_head(struct dm_http_response *r, int status,
                                       const struct framing *f, uint64_t length)
{
    bool bodyless = r->head_method || status == 204 || status == 304;
    r->answer = (struct dm_http_answer_head){
        .status = status,
        .minor = llhttp_get_http_minor(&r->parser),
        .fields = &r->head.fields,
        .length = f->lengths == 1 ? (int64_t)length : DM_LENGTH_UNKNOWN,
        .bodyless = bodyless,
    };
    r->left = length;
    if (bodyless || (f->lengths == 1 && length == 0))
        r->mode = MODE_DONE;
    else if (f->lengths == 1)
        r->mode = MODE_LENGTH;
    else
        r->mode = f->encodings == 1 ? MODE_CHUNKED : MODE_UNTIL_CLOSE;
    r->framing = 0;
    return DM_ANSWER_HEAD;
}

static enum dm_answer_event head_complete(struct dm_http_response *r)
{
    int status = llhttp_get_status_code(&r->parser);
    uint64_t length = 0;
    if (llhttp_get_http_major(&r->parser) != 1 || llhttp_get_http_minor(&r->parser) > 1)
        return bad(r, "not HTTP/1.0 or HTTP/1.1");
    if (status < 100 || status > 599)
        return bad(r, "status outside 100 to 599");
    block_finish(&r->head);
    struct framing f = find_framing(&r->head.fields);
    if (f.lengths == 1 && !dm_parse_u64(f.length, INT64_MAX, &length))
        return bad(r, "Content-Length is no number");
    const char *why = check_framing(r, &f, status, length);
    if (why != NULL)
        return bad(r, why);
    return status < 200 ? interim_head(r, status) : final_head(r, status, &f, length);
}

static enum dm_answer_event next_of_head(struct dm_http_response *r, dm_view *bytes)
{
    while (bytes->len > 0) {
        /* llhttp skips empty lines before a status line; after a kept answer they are its tail */
        if (r->framing == 0 && bytes->ptr[0] != 'H')
            return bad(r, "not a status line");
        if (!parse(r, bytes))
            return bad(r, llhttp_get_error_reason(&r->parser));
        if (r->framing > r->max_head)
            return bad(r, "head too large");
        if (!r->head_done)
            return DM_ANSWER_MORE;
        enum dm_answer_event event = head_complete(r);
        if (event != DM_ANSWER_MORE)
            return event;
        begin_head(r);
    }
    return DM_ANSWER_MORE;
}

static enum dm_answer_event give(struct dm_http_response *r, dm_view *bytes, size_t len,
                                 dm_view *ret_body)
{
    *ret_body = dm_view_sub(*bytes, 0, len);
    *bytes = dm_view_sub(*bytes, len, bytes->len);
    r->framing = 0;
    return DM_ANSWER_BODY;
}

static enum dm_answer_event next_of_length(struct dm_http_response *r, dm_view *bytes,
                                           dm_view *ret_body)
{
    if (bytes->len == 0)
        return DM_ANSWER_MORE;
    size_t len = bytes->len < r->left ? bytes->len : (size_t)r->left;
    r->left -= len;
    if (r->left == 0)
        r->mode = MODE_DONE;
    return give(r, bytes, len, ret_body);
}

static enum dm_answer_event next_of_chunks(struct dm_http_response *r, dm_view *bytes,
                                           dm_view *ret_body)
{
    if (bytes->len == 0)
        return DM_ANSWER_MORE;
    if (!parse(r, bytes))
        return bad(r, llhttp_get_error_reason(&r->parser));
    /* Zeros before a size, extensions and trailers have no end of their own. */
    if (r->framing > r->max_head)
        return bad(r, "chunk framing too large");
    if (r->piece.len > 0) {
        r->framing = 0;
        *ret_body = r->piece;
        return DM_ANSWER_BODY;
    }
    if (!r->message_done)
        return DM_ANSWER_MORE;
    block_finish(&r->trailers);
    r->mode = MODE_DONE;
    return DM_ANSWER_DONE;
}

enum dm_answer_event dm_http_response_next(struct dm_http_response *r, dm_view *bytes,
                                           dm_view *ret_body)
{
    *ret_body = DM_VIEW_NONE;
    if (bytes->len > 0)
        r->started = true;
    if (r->mode == MODE_HEAD && r->head_done) /* after INFORM */
        begin_head(r);
    switch (r->mode) {
    case MODE_HEAD:
        return next_of_head(r, bytes);
    case MODE_LENGTH:
        return next_of_length(r, bytes, ret_body);
    case MODE_CHUNKED:
        return next_of_chunks(r, bytes, ret_body);
    case MODE_UNTIL_CLOSE:
        return bytes->len == 0 ? DM_ANSWER_MORE : give(r, bytes, bytes->len, ret_body);
    case MODE_DONE:
        return DM_ANSWER_DONE;
    case MODE_BAD:
        return DM_ANSWER_BAD;
    }
    DM_UNREACHABLE();
}

bool dm_http_response_end(struct dm_http_response *r)
{
    if (r->mode == MODE_UNTIL_CLOSE)
        r->mode = MODE_DONE;
    return r->mode == MODE_DONE;
}

const struct dm_http_answer_head *dm_http_response_head(const struct dm_http_response *r)
{
    return &r->answer;
}

const struct dm_fields *dm_http_response_trailers(const struct dm_http_response *r)
{
    return &r->trailers.fields;
}

bool dm_http_response_started(const struct dm_http_response *r)
{
    return r->started;
}

bool dm_http_response_keep_alive(const struct dm_http_response *r)
{
    const struct dm_fields *f = &r->head.fields;
    if (r->answer.minor == 0)
        return dm_fields_connection_lists(f, DM_LIT("keep-alive"));
    return !dm_fields_connection_lists(f, DM_LIT("close"));
}

const char *dm_http_response_why(const struct dm_http_response *r)
{
    return r->why;
}
