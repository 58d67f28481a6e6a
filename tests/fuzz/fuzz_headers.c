/* layer: io */
/* Parser and guard over one request head. Whatever the pieces it comes in, the verdict and what was
 * understood are the same; what was understood, written anew, is understood the same way; and
 * nothing in it could mean something else to the next server. Input: one byte of piece length, then
 * the head. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "io/http1_parser.h"
#include "io/http_guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHUNK = 16384, CAP = 4 * 1024 * 1024, FIELDS_MAX = 64, HEAD_MAX = 16384, TARGET_MAX = 1024 };
static const struct dm_guard_limits limits = {
    .max_head = HEAD_MAX, .max_target = TARGET_MAX, .max_fields = FIELDS_MAX};

struct reading {
    struct dm_arena arena;
    struct http1_parser parser;
    struct dm_request_head head;
    enum http1_parsed parsed;
    enum dm_guard verdict;
    size_t used, received;
};

/* One read of `bytes`, `piece` at a time (0: at once), each piece in a block of exactly its size.
 */
static void read_head(struct reading *r, struct dm_arena_pool *pool, dm_view bytes, size_t piece)
{
    *r = (struct reading){.verdict = DM_GUARD_SYNTAX};
    dm_arena_init(&r->arena, pool, CAP);
    http1_parser_init(&r->parser, &r->arena, &r->head.fields, FIELDS_MAX);
    char *all = dm_arena_alloc(&r->arena, bytes.len + 1);
    for (size_t at = 0; at < bytes.len && r->parsed == HTTP1_MORE;) {
        size_t used = 0;
        dm_view part = dm_view_sub(bytes, at, piece == 0 ? bytes.len : piece);
        memcpy(all + at, part.ptr, part.len);
        r->parsed = http1_parse_head(&r->parser, dm_view_make(all + at, part.len), &used);
        at += used;
        r->used = at;
    }
    if (r->parsed != HTTP1_HEAD)
        return;
    r->received = r->head.fields.count;
    char *moved = dm_arena_alloc(&r->arena, r->used);
    memcpy(moved, all, r->used);
    http1_parser_move(&r->parser, all, moved);
    r->head.method = r->parser.method;
    r->head.target = r->parser.target;
    r->verdict = dm_http_guard(&r->head, dm_view_make(moved, r->used), &limits);
}

static void require_same(const struct reading *a, const struct reading *b)
{
    /* why it is refused may depend on the pieces, that it is may not */
    DM_REQUIRE((a->parsed == HTTP1_HEAD) == (b->parsed == HTTP1_HEAD));
    DM_REQUIRE(a->parsed != HTTP1_HEAD || a->verdict == b->verdict);
    if (a->verdict != DM_GUARD_OK)
        return;
    DM_REQUIRE(dm_view_eq(a->head.method, b->head.method));
    DM_REQUIRE(dm_view_eq(a->head.target, b->head.target));
    DM_REQUIRE(dm_view_eq(a->head.host, b->head.host));
    DM_REQUIRE(a->head.minor == b->head.minor && a->head.chunked == b->head.chunked);
    DM_REQUIRE(a->head.has_length == b->head.has_length && a->head.length == b->head.length);
    DM_REQUIRE(a->head.fields.count == b->head.fields.count);
    for (size_t i = 0; i < a->head.fields.count; i++) {
        const struct dm_field_line *f = &a->head.fields.items[i], *g = &b->head.fields.items[i];
        DM_REQUIRE(f->id == g->id && dm_view_eq(f->name, g->name) &&
                   dm_view_eq(f->value, g->value));
    }
}

static void require_unambiguous(const struct dm_request_head *h)
{
    size_t hosts = 0, lengths = 0, encodings = 0;
    DM_REQUIRE(!(h->chunked && h->has_length) && !(h->chunked && h->minor == 0));
    for (size_t i = 0; i < h->fields.count; i++) {
        const struct dm_field_line *f = &h->fields.items[i];
        hosts += f->id == DM_HDR_HOST;
        lengths += f->id == DM_HDR_CONTENT_LENGTH;
        encodings += f->id == DM_HDR_TRANSFER_ENCODING;
        DM_REQUIRE(dm_http_value_ok(f->value) && f->name.len > 0);
        DM_REQUIRE((dm_header_flags_of(f->id, f->name) & DM_HF_INTERNAL) == 0);
        for (size_t k = 0; k < f->name.len; k++)
            DM_REQUIRE(f->name.ptr[k] > ' ' && f->name.ptr[k] < 0x7f && f->name.ptr[k] != ':');
    }
    DM_REQUIRE(hosts <= 1 && (h->minor == 0 || hosts == 1));
    DM_REQUIRE(lengths == h->has_length && encodings == h->chunked);
    for (size_t k = 0; k < h->target.len; k++)
        DM_REQUIRE((unsigned char)h->target.ptr[k] > ' ' && (unsigned char)h->target.ptr[k] < 0x7f);
}

/* What we forward is what we read: written as we write it, it is the same request again. */
static void require_stable(const struct reading *r, struct dm_arena_pool *pool)
{
    struct dm_buf text;
    struct reading again;
    dm_buf_init(&text, CAP);
    dm_buf_add(&text, r->head.method);
    dm_buf_add_byte(&text, ' ');
    dm_buf_add(&text, r->head.target);
    dm_buf_addf(&text, " HTTP/1.%d\r\n", r->head.minor);
    for (size_t i = 0; i < r->head.fields.count; i++) {
        dm_buf_add(&text, r->head.fields.items[i].name);
        dm_buf_add(&text, DM_LIT(":"));
        dm_buf_add(&text, r->head.fields.items[i].value);
        dm_buf_add(&text, DM_LIT("\r\n"));
    }
    dm_buf_add(&text, DM_LIT("\r\n"));
    read_head(&again, pool, dm_buf_view(&text), 0);
    require_same(r, &again);
    DM_REQUIRE(again.used == dm_buf_view(&text).len);
    dm_arena_reset(&again.arena);
    dm_buf_done(&text);
}

/* The same fields, had they come late. */
static void require_harmless(struct dm_fields *fields)
{
    if (dm_http_guard_trailers(fields) != DM_GUARD_OK)
        return;
    for (size_t i = 0; i < fields->count; i++) {
        DM_REQUIRE(dm_header_find(fields->items[i].name) == DM_HDR_OTHER);
        DM_REQUIRE(dm_http_value_ok(fields->items[i].value));
    }
}

#ifdef DOORMAN_PLANT_BUG
/* Reached only by a clear HTTP/1.0 request of which something had to be taken out. */
static void planted(const struct reading *r)
{
    if (r->head.minor == 0 && r->head.fields.count < r->received)
        abort();
}
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct dm_arena_pool *pool = dm_arena_pool_new(CHUNK, 0);
    dm_view bytes = dm_view_make((const char *)data + 1, size - 1);
    struct reading whole, pieces;
    read_head(&whole, pool, bytes, 0);
    read_head(&pieces, pool, bytes, 1u + data[0]);
    require_same(&whole, &pieces);
    if (whole.verdict == DM_GUARD_OK) {
        require_unambiguous(&whole.head);
        require_stable(&whole, pool);
        (void)dm_http_keeps_alive(&whole.head);
#ifdef DOORMAN_PLANT_BUG
        planted(&whole);
#endif
    } else {
        DM_REQUIRE(dm_guard_err(whole.verdict) != ERR_NONE &&
                   dm_guard_reason(whole.verdict)[0] != '\0');
    }
    require_harmless(&whole.head.fields);
    dm_arena_reset(&whole.arena);
    dm_arena_reset(&pieces.arena);
    dm_arena_pool_free(pool);
    return 0;
}
