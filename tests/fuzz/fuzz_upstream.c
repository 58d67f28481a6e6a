/* layer: io */
/* What upstreams answer: arbitrary bytes must give the same answer however they are cut, never an
 * event out of order, and no field that could become two. The first byte says whether the request
 * was HEAD, the second where the cuts are. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "io/http_response.h"

enum { MAX_HEAD = 2048, STEPS_MAX = 7, TEXT_MAX = 1 << 22 };

struct told { /* all that a taker would have learned */
    struct dm_buf text;
    enum dm_answer_event last;
    size_t used;
    bool head;
    unsigned trailers;
};

static void tell_fields(struct dm_buf *out, const struct dm_fields *f)
{
    DM_REQUIRE(f->count <= DM_ANSWER_FIELDS_MAX);
    for (size_t i = 0; i < f->count; i++) {
        const struct dm_field_line *line = &f->items[i];
        for (size_t at = 0; at < line->value.len; at++) {
            unsigned char c = (unsigned char)line->value.ptr[at];
            DM_REQUIRE(c == '\t' || (c >= 0x20 && c != 0x7f));
        }
        for (size_t at = 0; at < line->name.len; at++)
            DM_REQUIRE((unsigned char)line->name.ptr[at] > 0x20 && line->name.ptr[at] != ':');
        DM_REQUIRE(line->name.len > 0);
        dm_buf_addf(out, "%.*s:%.*s\n", DM_FMT(line->name), DM_FMT(line->value));
    }
}

static void tell_head(struct told *t, const struct dm_http_answer_head *h)
{
    DM_REQUIRE(h->status >= 100 && h->status <= 599 && h->status != 101 && h->minor >= 0 &&
               h->minor <= 1);
    dm_buf_addf(&t->text, "%d/%d %lld %d\n", h->status, h->minor, (long long)h->length,
                h->bodyless);
    tell_fields(&t->text, h->fields);
}

static void feed(struct dm_http_response *r, struct told *t, dm_view bytes)
{
    size_t before = bytes.len;
    for (;;) {
        dm_view body;
        t->last = dm_http_response_next(r, &bytes, &body);
        if (t->last == DM_ANSWER_BODY) {
            DM_REQUIRE(t->head && body.len > 0);
            dm_buf_add(&t->text, body);
        } else if (t->last == DM_ANSWER_HEAD || t->last == DM_ANSWER_INFORM) {
            DM_REQUIRE(!t->head);
            t->head = t->last == DM_ANSWER_HEAD;
            tell_head(t, dm_http_response_head(r));
        } else {
            break;
        }
    }
    DM_REQUIRE(t->last != DM_ANSWER_MORE || bytes.len == 0);
    t->used += before - bytes.len;
}

static void finish(struct dm_http_response *r, struct told *t)
{
    if (t->last == DM_ANSWER_MORE) {
        bool ended = dm_http_response_end(r);
        DM_REQUIRE(!ended || t->head);
        dm_buf_add(&t->text, ended ? DM_LIT("|closed") : DM_LIT("|cut"));
    } else if (t->last == DM_ANSWER_DONE) {
        DM_REQUIRE(t->head);
        t->trailers = (unsigned)dm_http_response_trailers(r)->count;
        dm_buf_addf(&t->text, "|done %zu %d", t->used, dm_http_response_keep_alive(r));
        tell_fields(&t->text, dm_http_response_trailers(r));
    } else {
        dm_buf_add(&t->text, DM_LIT("|bad"));
    }
}

/* `whole` is heard in one piece, or in pieces of 1.. bytes taken from `cuts`. */
static void hear(struct dm_http_response *r, struct told *t, dm_view whole, bool head_method,
                 unsigned cuts)
{
    *t = (struct told){.last = DM_ANSWER_MORE};
    dm_buf_init(&t->text, TEXT_MAX);
    dm_http_response_begin(r, head_method);
    for (size_t at = 0; at < whole.len && t->last == DM_ANSWER_MORE;) {
        size_t step = cuts == 0 ? whole.len : 1 + cuts % STEPS_MAX;
        cuts = cuts == 0 ? 0 : cuts * 1103515245u + 12345u;
        /* a copy of its own, so that a read behind the piece is found */
        dm_view piece = dm_view_sub(whole, at, step);
        char *copy = malloc(piece.len);
        memcpy(copy, piece.ptr, piece.len);
        feed(r, t, dm_view_make(copy, piece.len));
        free(copy);
        at += step;
    }
    finish(r, t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dm_http_response *r; /* one for all: nothing of an answer may show in the next */
    if (r == NULL)
        r = dm_http_response_new(MAX_HEAD);
    if (size < 2)
        return 0;
    dm_view whole = dm_view_make((const char *)data + 2, size - 2);
    bool head_method = data[0] & 1;
    struct told one, cut;
    hear(r, &one, whole, head_method, 0);
    hear(r, &cut, whole, head_method, data[1] | 1u);
    /* A broken answer may be found out a little earlier or later; what was told before is the same.
     */
    dm_view a = dm_buf_view(&one.text), b = dm_buf_view(&cut.text);
    DM_REQUIRE(one.last == cut.last && one.head == cut.head);
    DM_REQUIRE(one.last == DM_ANSWER_BAD || dm_view_eq(a, b));
#ifdef DOORMAN_PLANT_BUG
    DM_REQUIRE(cut.trailers < 2);
#endif
    dm_buf_done(&one.text);
    dm_buf_done(&cut.text);
    return 0;
}
