#include "model/policy_pattern.h"

#include "base/poison.h"

bool policy_segment_next(dm_view *rest, dm_view *ret_segment, bool *ret_any)
{
    dm_view piece;
    while (dm_view_split(rest, '/', &piece)) {
        if (piece.len == 0)
            continue;
        if (dm_view_eq(piece, DM_LIT("*"))) {
            dm_view left = *rest;
            while (left.len > 0 && left.ptr[0] == '/')
                left = dm_view_sub(left, 1, SIZE_MAX);
            if (left.len == 0) {
                *ret_any = true;
                return false;
            }
        }
        *ret_segment = piece;
        return true;
    }
    return false;
}

/* Where the next "{name}" of the segment begins and ends; a brace without
 * partner or name is literal. */
static bool find_param(dm_view text, size_t *ret_open, size_t *ret_close)
{
    for (size_t open = dm_view_find_byte(text, '{', 0); open < text.len;
         open = dm_view_find_byte(text, '{', open + 1)) {
        size_t close = dm_view_find_byte(text, '}', open);
        if (close == text.len)
            return false;
        if (close == open + 1)
            continue;
        *ret_open = open;
        *ret_close = close;
        return true;
    }
    return false;
}

bool policy_part_next(dm_view *rest, struct policy_part *ret)
{
    size_t open, close = 0;
    if (rest->len == 0)
        return false;
    if (!find_param(*rest, &open, &close))
        open = rest->len;
    ret->param = open == 0;
    size_t len = ret->param ? close + 1 : open;
    ret->text = ret->param ? dm_view_sub(*rest, 1, close - 1) : dm_view_sub(*rest, 0, len);
    *rest = dm_view_sub(*rest, len, SIZE_MAX);
    return true;
}

enum policy_class policy_segment_class(dm_view segment, size_t *ret_literal_len)
{
    size_t literal = 0, params = 0;
    struct policy_part part;
    while (policy_part_next(&segment, &part)) {
        params += part.param;
        literal += part.param ? 0 : part.text.len;
    }
    *ret_literal_len = literal;
    if (params == 0)
        return POLICY_LITERAL;
    return params == 1 && literal == 0 ? POLICY_TEMPLATE : POLICY_MIXED;
}

/* A parameter that has been read but not yet bounded: it holds at least one
 * character from `from` on. */
struct open_param {
    bool open;
    dm_view name;
    size_t from;
};

static size_t after_one_char(dm_view text, size_t from)
{
    size_t at = from + 1;
    while (at < text.len && ((unsigned char)text.ptr[at] & 0xC0) == 0x80)
        at++;
    return at;
}

static void close_param(struct open_param *p, dm_view text, size_t end, struct policy_captures *c)
{
    if (p->open && c != NULL && c->n < POLICY_PARAMS_MAX) {
        c->names[c->n] = p->name;
        c->values[c->n++] = dm_view_sub(text, p->from, end - p->from);
    }
    p->open = false;
}

/* Position of the literal that follows the open parameter: its first one, or,
 * as the last part, the end. */
static bool find_literal(dm_view text, const struct open_param *p, dm_view literal, bool last,
                         size_t *ret_at)
{
    size_t from = after_one_char(text, p->from);
    if (from > text.len || literal.len > text.len - from)
        return false;
    if (last) {
        *ret_at = text.len - literal.len;
        return dm_view_ends(text, literal);
    }
    dm_view tail = dm_view_sub(text, from, SIZE_MAX);
    size_t found = dm_view_find(tail, literal);
    *ret_at = from + found;
    return found < tail.len;
}

bool policy_segment_match(dm_view pattern, dm_view text, struct policy_captures *captures)
{
    struct open_param param = {0};
    struct policy_part part;
    size_t at = 0;
    while (policy_part_next(&pattern, &part)) {
        if (part.param) {
            if (at >= text.len)
                return false;
            if (param.open) { /* two side by side: the first takes one character */
                at = after_one_char(text, param.from);
                close_param(&param, text, at, captures);
            }
            if (at >= text.len)
                return false;
            param = (struct open_param){true, part.text, at};
            continue;
        }
        if (!param.open) {
            if (!dm_view_starts(dm_view_sub(text, at, SIZE_MAX), part.text))
                return false;
        } else {
            if (!find_literal(text, &param, part.text, pattern.len == 0, &at))
                return false;
            close_param(&param, text, at, captures);
        }
        at += part.text.len;
    }
    if (!param.open)
        return at == text.len;
    close_param(&param, text, text.len, captures);
    return true;
}

enum dm_code policy_uri_check(dm_view uri, struct dm_error *err)
{
    dm_view rest = uri, segment;
    size_t segments = 0, params = 0;
    bool any = false;
    if (uri.len == 0 || uri.len > POLICY_URI_MAX)
        return DM_FAIL(err, DM_INVALID, ERR_NONE, "endpoint path empty or over %d bytes",
                       POLICY_URI_MAX);
    while (policy_segment_next(&rest, &segment, &any)) {
        struct policy_part part;
        segments++;
        while (policy_part_next(&segment, &part))
            params += part.param;
    }
    if (segments > DM_URI_SEGMENTS_MAX || params > POLICY_PARAMS_MAX)
        return DM_FAIL(err, DM_INVALID, ERR_NONE,
                       "endpoint path \"%.*s\": over %d segments or %d parameters",
                       DM_FMT(dm_view_sub(uri, 0, 100)), DM_URI_SEGMENTS_MAX, POLICY_PARAMS_MAX);
    return DM_OK;
}

static size_t count_segments(dm_view uri)
{
    dm_view segment;
    size_t n = 0;
    bool any = false;
    while (policy_segment_next(&uri, &segment, &any))
        n++;
    return n;
}

static void capture_all(dm_view client_uri, const dm_view *segments, size_t n,
                        struct policy_captures *c)
{
    dm_view pattern;
    bool any = false;
    c->n = 0;
    for (size_t i = 0; i < n && policy_segment_next(&client_uri, &pattern, &any); i++)
        (void)policy_segment_match(pattern, segments[i],
                                   c); /* the trie matched the same patterns */
}

/* By name, else by position. An endpoint_uri with more parameters than the
 * client's path keeps the text of the surplus ones, as the reference sends it.
 */
static bool value_of(const struct policy_captures *c, dm_view name, size_t position, dm_view *ret)
{
    for (size_t i = 0; i < c->n; i++) {
        if (dm_view_eq(c->names[i], name)) {
            *ret = c->values[i];
            return true;
        }
    }
    if (position < c->n)
        *ret = c->values[position];
    return position < c->n;
}

static void add_segment(dm_view pattern, const struct policy_captures *c, size_t *position,
                        struct dm_buf *out)
{
    struct policy_part part;
    dm_buf_add_byte(out, '/');
    while (policy_part_next(&pattern, &part)) {
        dm_view value = part.text;
        if (part.param && !value_of(c, part.text, (*position)++, &value)) {
            dm_uri_encode_segment(DM_LIT("{"), out);
            dm_uri_encode_segment(value, out);
            dm_uri_encode_segment(DM_LIT("}"), out);
        } else {
            dm_uri_encode_segment(value, out);
        }
    }
}

static void add_rest(const dm_view *segments, size_t from, size_t n, struct dm_buf *out)
{
    for (size_t i = from; i < n; i++) {
        dm_buf_add_byte(out, '/');
        dm_uri_encode_segment(segments[i], out);
    }
}

void dm_policy_upstream_path(const struct dm_policy_endpoint *e, const dm_view *segments, size_t n,
                             struct dm_buf *out)
{
    size_t before = dm_buf_view(out).len;
    if (!e->rewritten) {
        add_rest(segments, 0, n, out);
    } else {
        struct policy_captures c;
        dm_view rest = e->uri, pattern;
        size_t position = 0;
        bool any = false;
        capture_all(e->client_uri, segments, n, &c);
        while (policy_segment_next(&rest, &pattern, &any))
            add_segment(pattern, &c, &position, out);
        if (any && e->wildcard)
            add_rest(segments, count_segments(e->client_uri), n, out);
    }
    if (dm_buf_view(out).len == before)
        dm_buf_add_byte(out, '/');
}
