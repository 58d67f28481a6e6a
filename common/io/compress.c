#include "io/compress.h"

#include "base/assert.h"
#include "codec/gzip.h"
#include "io/carrier.h"

#include "base/poison.h"

enum {
    OUT = 16 * 1024, /* compressed bytes that wait for the carrier; with gzip's own 64 KB all that
                        a stream costs */
    /* Level 1 takes 1 to 2 ms for as much; a loop's turn has no more to give. Larger bodies that
     * are whole (an envelope, a page of metrics of a very large plane) leave as they are. */
    WHOLE_MAX = 128 * 1024
};

struct dm_compress {
    struct dm_gzip *gzip;
    int64_t left; /* of the announced length, uncompressed; or DM_LENGTH_UNKNOWN */
    size_t start, end;
    bool flush_due, server_waits, ending, ended;
    char out[OUT];
};

/* --- which answers --- */

static bool refuses(dm_view parameters)
{
    dm_view one;

    while (dm_view_split(&parameters, ';', &one)) {
        one = dm_view_trim(one);
        if (one.len < 3 || !dm_view_eq_nocase(dm_view_sub(one, 0, 2), DM_LIT("q=")))
            continue;
        for (size_t i = 2; i < one.len; i++)
            if (one.ptr[i] >= '1' && one.ptr[i] <= '9')
                return false;
        return true;
    }
    return false;
}

static bool accepts_gzip(const struct dm_fields *f)
{
    for (size_t i = 0; i < f->count; i++) {
        dm_view rest = f->items[i].value, one;

        if (f->items[i].id != DM_HDR_ACCEPT_ENCODING)
            continue;
        while (dm_view_split(&rest, ',', &one)) {
            const size_t end = dm_view_find_byte(one, ';', 0);
            if (dm_view_eq_nocase(dm_view_trim(dm_view_sub(one, 0, end)), DM_LIT("gzip")))
                return !refuses(dm_view_sub(one, end + 1, one.len));
        }
    }
    return false;
}

/* Text in all its forms; pictures, archives and the like are compressed already. Never a stream of
 * events, whose readers wait for each one. */
static bool compressible(dm_view type)
{
    static const dm_view names[] = {DM_LIT("application/json"), DM_LIT("application/xml"),
                                    DM_LIT("application/javascript"),
                                    DM_LIT("application/problem+json"), DM_LIT("image/svg+xml")};
    const dm_view media = dm_view_trim(dm_view_sub(type, 0, dm_view_find_byte(type, ';', 0)));

    if (dm_view_eq_nocase(media, DM_LIT("text/event-stream")))
        return false;
    if (dm_view_eq_nocase(dm_view_sub(media, 0, 5), DM_LIT("text/")))
        return true;
    for (size_t i = 0; i < DM_COUNT_OF(names); i++)
        if (dm_view_eq_nocase(media, names[i]))
            return true;
    const size_t suffix = media.len > 5 ? media.len - 5 : 0;
    return dm_view_eq_nocase(dm_view_sub(media, suffix, 5), DM_LIT("+json")) ||
           dm_view_eq_nocase(dm_view_sub(media, suffix + 1, 4), DM_LIT("+xml"));
}

static bool has(dm_view list, dm_view token)
{
    dm_view one;

    while (dm_view_split(&list, ',', &one))
        if (dm_view_eq_nocase(dm_view_trim(one), token))
            return true;
    return false;
}

static bool wanted(const struct dm_exchange *x, const struct dm_answer *a)
{
    const struct dm_settings *s = x->settings;
    const bool partial =
        a->status == 204 || a->status == 205 || a->status == 206 || a->status == 304;

    return s != NULL && s->compression_enabled && accepts_gzip(&x->head.fields) &&
           x->head.minor == 1 && !partial && !dm_view_eq(x->head.method, DM_LIT("HEAD")) &&
           (a->length == DM_LENGTH_UNKNOWN || a->length >= s->compression_minimum_size) &&
           a->length != 0 && compressible(dm_fields_get(a->fields, DM_HDR_CONTENT_TYPE)) &&
           dm_fields_get(a->fields, DM_HDR_CONTENT_ENCODING).ptr == NULL &&
           dm_fields_get(a->fields, DM_HDR_CONTENT_RANGE).ptr == NULL &&
           !has(dm_fields_get(a->fields, DM_HDR_CACHE_CONTROL), DM_LIT("no-transform"));
}

/* --- their fields --- */

/* What speaks of the bytes as they were. */
static bool untrue(enum dm_header_id id)
{
    return id == DM_HDR_CONTENT_MD5 || id == DM_HDR_CONTENT_DIGEST || id == DM_HDR_ACCEPT_RANGES;
}

/* /platform answers say `Vary: Origin` exactly (platform-access.md §1.1). */
static bool vary_due(const struct dm_exchange *x, const struct dm_answer *a)
{
    if (dm_view_starts(x->head.target, DM_LIT("/platform")))
        return false;
    for (size_t i = 0; i < a->fields->count; i++)
        if (a->fields->items[i].id == DM_HDR_VARY &&
            (has(a->fields->items[i].value, DM_LIT("Accept-Encoding")) ||
             has(a->fields->items[i].value, DM_LIT("*"))))
            return false;
    return true;
}

static bool add(struct dm_exchange *x, struct dm_fields *out, enum dm_header_id id, dm_view value)
{
    return dm_fields_add(out, x->arena, id, dm_header_name(id), value);
}

/* Two encodings of one thing are not the same bytes: a strong validator would lie (RFC 9110
 * §8.8.3.3). */
static dm_view weak(struct dm_exchange *x, dm_view etag)
{
    return dm_view_starts(etag, DM_LIT("W/")) ? etag
                                              : dm_arena_fmt(x->arena, "W/%.*s", DM_FMT(etag));
}

static const struct dm_fields *fields_of(struct dm_exchange *x, const struct dm_answer *a)
{
    struct dm_fields *out = dm_arena_zalloc(x->arena, sizeof *out);

    if (out == NULL)
        return NULL;
    for (size_t i = 0; i < a->fields->count; i++) {
        const struct dm_field_line *f = &a->fields->items[i];
        const dm_view value = f->id == DM_HDR_ETAG ? weak(x, f->value) : f->value;
        if (untrue(f->id))
            continue;
        if (value.ptr == NULL || !dm_fields_add(out, x->arena, f->id, f->name, value))
            return NULL;
    }
    if (!add(x, out, DM_HDR_CONTENT_ENCODING, DM_LIT("gzip")) ||
        (vary_due(x, a) && !add(x, out, DM_HDR_VARY, DM_LIT("Accept-Encoding"))))
        return NULL;
    return out;
}

void dm_compress_begin(struct dm_exchange *x, struct dm_answer *a)
{
    if (!wanted(x, a))
        return;
    const struct dm_fields *fields = fields_of(x, a);
    struct dm_compress *c = fields != NULL ? dm_arena_alloc(x->arena, sizeof *c) : NULL;
    struct dm_gzip *gzip =
        c != NULL ? dm_gzip_new(x->arena, (int)x->settings->compression_level) : NULL;

    if (gzip == NULL)
        return; /* no memory left for it: as it is */
    c->gzip = gzip;
    c->left = a->length;
    c->start = c->end = 0;
    c->flush_due = c->server_waits = c->ending = c->ended = false;
    a->fields = fields;
    a->length = DM_LENGTH_UNKNOWN;
    x->compress_ = c;
}

bool dm_compress_whole(struct dm_exchange *x, struct dm_answer *a, dm_view body, struct dm_buf *out)
{
    char piece[4096];
    struct dm_gzip *gzip;
    size_t len;
    bool done;

    a->length = (int64_t)body.len;
    if (body.len > WHOLE_MAX || !wanted(x, a))
        return false;
    const struct dm_fields *fields = fields_of(x, a);
    gzip = fields != NULL ? dm_gzip_new(x->arena, (int)x->settings->compression_level) : NULL;
    if (gzip == NULL)
        return false;
    do {
        done = dm_gzip_run(gzip, DM_GZIP_END, &body, piece, sizeof piece, &len);
        dm_buf_add(out, dm_view_make(piece, len));
    } while (!done);
    if (!dm_buf_ok(out))
        return false;
    a->fields = fields;
    a->length = (int64_t)dm_buf_view(out).len;
    return true;
}

/* --- the bytes --- */

static bool drain(struct dm_exchange *x)
{
    struct dm_compress *c = x->compress_;

    if (c->start < c->end)
        c->start += x->carrier_->push(x, dm_view_make(c->out + c->start, c->end - c->start));
    return c->start >= c->end;
}

/* One more buffer of output; true: the mode is fulfilled. */
static bool run(struct dm_compress *c, enum dm_gzip_mode mode, dm_view *in)
{
    c->start = 0;
    return dm_gzip_run(c->gzip, mode, in, c->out, sizeof c->out, &c->end);
}

size_t dm_compress_push(struct dm_exchange *x, dm_view bytes)
{
    struct dm_compress *c = x->compress_;
    /* Nobody knows when the next piece of an endless answer comes: what is here leaves now. */
    const enum dm_gzip_mode mode = c->left == DM_LENGTH_UNKNOWN ? DM_GZIP_FLUSH : DM_GZIP_MORE;
    const dm_view all =
        c->left == DM_LENGTH_UNKNOWN ? bytes : dm_view_sub(bytes, 0, (size_t)c->left);
    dm_view rest = all;

    while (drain(x) && (rest.len > 0 || c->flush_due))
        c->flush_due = !run(c, mode, &rest) && mode == DM_GZIP_FLUSH;
    if (c->left != DM_LENGTH_UNKNOWN)
        c->left -= (int64_t)(all.len - rest.len);
    c->server_waits = rest.len > 0;
    return rest.len > 0 ? all.len - rest.len : bytes.len;
}

/* What is begun goes on; true: nothing of it is left. */
static bool advance(struct dm_exchange *x)
{
    struct dm_compress *c = x->compress_;
    dm_view none = DM_VIEW_NONE;

    while (drain(x)) {
        if (c->ending && !c->ended)
            c->ended = run(c, DM_GZIP_END, &none);
        else if (c->flush_due)
            c->flush_due = !run(c, DM_GZIP_FLUSH, &none);
        else
            return true;
    }
    return false;
}

void dm_compress_finish(struct dm_exchange *x)
{
    struct dm_compress *c = x->compress_;

    /* Servers relay what came whole: an upstream that ends before its length is no complete one. */
    DM_ASSERT(c->left <= 0);
    c->ending = true;
    if (advance(x))
        x->carrier_->finish(x);
}

bool dm_compress_room(struct dm_exchange *x)
{
    struct dm_compress *c = x->compress_;

    if (!advance(x))
        return false;
    if (c->ending) {
        x->carrier_->finish(x);
        return false;
    }
    return c->server_waits;
}
