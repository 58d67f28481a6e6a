#include "model/policy_pattern.h"

#include <string.h>

static dm_view decoded(struct dm_policy_storage *s, dm_view text)
{
    struct dm_buf b;
    dm_view v;

    dm_buf_init(&b, text.len + 1);
    v = policy_text(s, dm_uri_decode(text, false, &b) ? dm_buf_view(&b) : text);
    dm_buf_done(&b);
    return v;
}

static void add_part(struct dm_policy_storage *s, struct pattern_segment *seg, bool param, dm_view text)
{
    if (text.len == 0 && !param)
        return;
    seg->parts[seg->n_parts++] = (struct pattern_part){param, param ? policy_text(s, text) : decoded(s, text)};
    if (param)
        seg->n_params++;
    else
        seg->literal_len += seg->parts[seg->n_parts - 1].text.len;
}

/* Room for text, parameter, text, ... : most segments are one literal and take one part. */
static size_t parts_of(dm_view text)
{
    size_t n = 1;

    for (size_t i = 0; i < text.len; i++)
        n += text.ptr[i] == '{' ? 2 : 0;
    return n < PATTERN_PARTS_MAX ? n : PATTERN_PARTS_MAX;
}

/* A brace without its partner, two parameters side by side, or too many parts: the rest is literal. */
static void parse_segment(struct dm_policy_storage *s, dm_view text, struct pattern_segment *seg)
{
    size_t room = parts_of(text);

    seg->parts = policy_take(s, room * sizeof(*seg->parts));
    while (seg->n_parts + 2 < room) {
        size_t open = dm_view_find_byte(text, '{', 0);
        size_t close = dm_view_find_byte(text, '}', open);
        bool adjacent = open == 0 && seg->n_parts > 0 && seg->parts[seg->n_parts - 1].param;

        if (close >= text.len || close == open + 1 || adjacent)
            break;
        add_part(s, seg, false, dm_view_sub(text, 0, open));
        add_part(s, seg, true, dm_view_sub(text, open + 1, close - open - 1));
        text = dm_view_sub(text, close + 1, text.len);
    }
    add_part(s, seg, false, text);
}

void pattern_parse(struct dm_policy_storage *s, dm_view uri, struct pattern *ret)
{
    dm_view rest = uri, piece;
    size_t slashes = 1;

    for (size_t i = 0; i < uri.len; i++)
        slashes += uri.ptr[i] == '/';
    memset(ret, 0, sizeof(*ret));
    ret->segments = policy_take(s, slashes * sizeof(*ret->segments));
    while (rest.ptr != NULL && dm_view_split(&rest, '/', &piece)) {
        if (piece.len == 0)
            continue;
        if (dm_view_eq(piece, DM_LIT("*")) && (rest.ptr == NULL || rest.len == 0)) {
            ret->wildcard = true;
            return;
        }
        parse_segment(s, piece, &ret->segments[ret->n_segments++]);
    }
}

bool pattern_literal(const struct pattern_segment *seg)
{
    return seg->n_params == 0;
}

dm_view pattern_literal_text(const struct pattern_segment *seg)
{
    return seg->n_parts > 0 ? seg->parts[0].text : DM_VIEW_NONE;
}

static size_t find_from(dm_view text, dm_view needle, size_t from)
{
    dm_view tail = dm_view_sub(text, from, text.len);
    size_t at = dm_view_find(tail, needle);

    return at == tail.len ? text.len : from + at;
}

/* Where the literal after a parameter that begins at `from` is found: leftmost, but the last one of the
 * segment at its end; each parameter takes at least one byte. text.len + 1: nowhere. */
static size_t literal_after(dm_view text, size_t from, dm_view literal, bool last)
{
    size_t at;

    if (last) {
        if (text.len < from + 1 + literal.len || !dm_view_ends(text, literal))
            return text.len + 1;
        return text.len - literal.len;
    }
    at = find_from(text, literal, from + 1);
    return at >= text.len ? text.len + 1 : at;
}

bool pattern_segment_match(const struct pattern_segment *seg, dm_view text, dm_view *captures)
{
    size_t at = 0, n = 0;

    for (size_t i = 0; i < seg->n_parts; i++) {
        const struct pattern_part *part = &seg->parts[i];
        dm_view literal;
        size_t end;

        if (!part->param) {
            if (!dm_view_starts(dm_view_sub(text, at, text.len), part->text))
                return false;
            at += part->text.len;
            continue;
        }
        literal = i + 1 < seg->n_parts ? seg->parts[i + 1].text : DM_VIEW_NONE;
        end = literal.len > 0 ? literal_after(text, at, literal, i + 2 == seg->n_parts) : text.len;
        if (at >= text.len || end > text.len || end <= at)
            return false;
        if (captures != NULL)
            captures[n++] = dm_view_sub(text, at, end - at);
        at = end;
    }
    return at == text.len;
}

/* --- from the client's path to the upstream's --- */

struct dm_policy_template {
    struct pattern client, server;
};

struct dm_policy_template *policy_template_build(struct dm_policy_storage *s, dm_view client_uri, dm_view uri)
{
    struct dm_policy_template *t = policy_take(s, sizeof(*t));

    pattern_parse(s, client_uri, &t->client);
    pattern_parse(s, uri, &t->server);
    return t;
}

enum { CAPTURES_MAX = DM_URI_SEGMENTS_MAX * (PATTERN_PARTS_MAX / 2) };

struct captures {
    dm_view names[CAPTURES_MAX], values[CAPTURES_MAX];
    size_t n, used; /* used: by position */
};

static void capture(const struct pattern *client, const dm_view *segments, size_t n, struct captures *c)
{
    for (size_t i = 0; i < client->n_segments && i < n; i++) {
        const struct pattern_segment *seg = &client->segments[i];

        if (!pattern_segment_match(seg, segments[i], c->values + c->n))
            return; /* cannot be: the trie matched the same patterns */
        for (size_t k = 0; k < seg->n_parts; k++) {
            if (seg->parts[k].param)
                c->names[c->n++] = seg->parts[k].text;
        }
    }
}

/* By name, else the parameter at the same position, else the name itself stays literal. */
static dm_view value_of(struct captures *c, dm_view name)
{
    size_t position = c->used++;

    for (size_t i = 0; i < c->n; i++) {
        if (dm_view_eq(c->names[i], name))
            return c->values[i];
    }
    return position < c->n ? c->values[position] : name;
}

void dm_policy_upstream_path(const struct dm_policy_endpoint *e, const dm_view *segments, size_t n,
                             struct dm_buf *out)
{
    const struct dm_policy_template *t = e->rewrite;
    size_t rest = t == NULL ? 0 : t->client.n_segments;
    bool any = false;

    if (t != NULL) {
        struct captures c = {.n = 0};

        capture(&t->client, segments, n, &c);
        for (size_t i = 0; i < t->server.n_segments; i++, any = true) {
            const struct pattern_segment *seg = &t->server.segments[i];

            dm_buf_add_byte(out, '/');
            for (size_t k = 0; k < seg->n_parts; k++)
                dm_uri_encode_segment(seg->parts[k].param ? value_of(&c, seg->parts[k].text) : seg->parts[k].text,
                                      out);
        }
        if (!t->server.wildcard)
            rest = n;
    }
    for (size_t i = rest; i < n; i++, any = true) {
        dm_buf_add_byte(out, '/');
        dm_uri_encode_segment(segments[i], out);
    }
    if (!any)
        dm_buf_add_byte(out, '/');
}
