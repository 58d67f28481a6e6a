#include "io/http_guard.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "codec/uri.h"

#include "base/poison.h"

enum {
    /* RFC 9112 §2.2: empty lines before a request line are skipped; old clients send one after a
       POST. */
    LEADING_MAX = 4,
    METHOD_MAX = 32,
    LANES = 16,
    /* a lane counts line ends in one byte: added up before it can overflow */
    STEPS_MAX = 255,
    LOOKALIKE_MAX = 40 /* longer than any name of headers.def */
};

typedef unsigned char lanes __attribute__((vector_size(LANES)));

static const struct {
    enum dm_err err;
    const char *reason;
} faults[DM_GUARD_COUNT_] = {
    [DM_GUARD_OK] = {ERR_NONE, "ok"},
#define DM_GUARD_FAULT(id, err, reason) [DM_GUARD_##id] = {ERR_##err, reason},
#include "io/http_guard.def"
#undef DM_GUARD_FAULT
};

enum dm_err dm_guard_err(enum dm_guard g)
{
    DM_REQUIRE((unsigned)g < DM_GUARD_COUNT_);
    return faults[g].err;
}

const char *dm_guard_reason(enum dm_guard g)
{
    DM_REQUIRE((unsigned)g < DM_GUARD_COUNT_);
    return faults[g].reason;
}

static lanes load(const char *at)
{
    lanes v;
    memcpy(&v, at, sizeof v);
    return v;
}

static bool any(lanes v)
{
    uint64_t half[2];
    memcpy(half, &v, sizeof half);
    return (half[0] | half[1]) != 0;
}

static size_t sum(lanes v)
{
    size_t n = 0;
    for (int i = 0; i < LANES; i++)
        n += v[i];
    return n;
}

static inline bool control(unsigned char c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

/* Every CR is followed by LF, every LF follows CR, and there is no other control byte but tab.
 * Gives how many lines there are, 0 when something is wrong. Sixteen bytes at a time: this runs for
 * every request. */
static size_t count_lines(dm_view raw)
{
    size_t at = 0, lines = 0;
    lanes bad = {0};
    while (at + LANES < raw.len) {
        lanes ends = {0};
        for (int step = 0; step < STEPS_MAX && at + LANES < raw.len; step++, at += LANES) {
            lanes here = load(raw.ptr + at), next = load(raw.ptr + at + 1);
            lanes cr = (lanes)(here == '\r'), lf = (lanes)(here == '\n');
            lanes low = (lanes)(here < 0x20) & ~(cr | lf | (lanes)(here == '\t'));
            bad |= low | (lanes)(here == 0x7f) | (cr ^ (lanes)(next == '\n'));
            ends -= cr;
        }
        lines += sum(ends);
    }
    if (any(bad) || (raw.len > 0 && raw.ptr[0] == '\n'))
        return 0;
    for (; at < raw.len; at++) {
        char c = raw.ptr[at], next = at + 1 < raw.len ? raw.ptr[at + 1] : '\0';
        if ((c == '\r') != (next == '\n'))
            return 0;
        if (c != '\r' && c != '\n' && control((unsigned char)c))
            return 0;
        lines += c == '\r';
    }
    return lines;
}

bool dm_http_value_ok(dm_view v)
{
    size_t at = 0;
    lanes bad = {0};
    for (; at + LANES <= v.len; at += LANES) {
        lanes here = load(v.ptr + at);
        bad |= ((lanes)(here < 0x20) & ~(lanes)(here == '\t')) | (lanes)(here == 0x7f);
    }
    for (; at < v.len; at++)
        if (control((unsigned char)v.ptr[at]))
            return false;
    return !any(bad);
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* Visible ASCII without '#'; escapes are whole and none is %00. */
static bool target_bytes_ok(dm_view t)
{
    for (size_t i = 0; i < t.len; i++) {
        unsigned char c = (unsigned char)t.ptr[i];
        if (c <= 0x20 || c >= 0x7f || c == '#')
            return false;
        if (c != '%')
            continue;
        if (t.len - i < 3 || !is_hex(t.ptr[i + 1]) || !is_hex(t.ptr[i + 2]))
            return false;
        if (t.ptr[i + 1] == '0' && t.ptr[i + 2] == '0')
            return false;
        i += 2;
    }
    return t.len > 0;
}

/* Exactly METHOD SP TARGET SP HTTP/1.x CRLF: llhttp also takes more blanks, RTSP, ICE, 0.9 and 2.0.
 */
static bool request_line_ok(struct dm_request_head *head, dm_view raw)
{
    static const char version[] = " HTTP/1.";
    enum { VERSION_LEN = sizeof version - 1 };
    const char *end = raw.ptr + raw.len, *at = head->target.ptr + head->target.len;
    if (head->target.ptr != head->method.ptr + head->method.len + 1 || end - at < VERSION_LEN + 3)
        return false;
    if (memcmp(at, version, VERSION_LEN) != 0 || at[VERSION_LEN + 1] != '\r')
        return false;
    if (at[VERSION_LEN] != '0' && at[VERSION_LEN] != '1')
        return false;
    head->minor = at[VERSION_LEN] - '0';
    return head->method.len <= METHOD_MAX;
}

/* "X_Doorman_User" is no name of ours, but a CGI-like server behind us reads it as one: such names
 * are dropped, as common gateways do. */
static bool looks_like_ours(dm_view name)
{
    if (name.len > LOOKALIKE_MAX || dm_view_find_byte(name, '_', 0) == name.len)
        return false;
    char text[LOOKALIKE_MAX];
    for (size_t i = 0; i < name.len; i++)
        text[i] = name.ptr[i] == '_' ? '-' : name.ptr[i];
    dm_view dashed = dm_view_make(text, name.len);
    unsigned reserved = DM_HF_HOP | DM_HF_NEVER | DM_HF_SINGLE | DM_HF_OURS | DM_HF_INTERNAL;
    return (dm_header_flags_of(dm_header_find(dashed), dashed) & reserved) != 0;
}

static bool dropped(const struct dm_field_line *f)
{
    if (f->id != DM_HDR_OTHER)
        return (dm_header_flags(f->id) & DM_HF_INTERNAL) != 0;
    if ((dm_header_flags_of(DM_HDR_OTHER, f->name) & DM_HF_INTERNAL) != 0)
        return true;
    return looks_like_ours(f->name);
}

/* Sets ids, cuts trailing blanks, takes out what no client may send; a field that may come once is
 * a fault when it comes twice. */
static enum dm_guard sort_fields(struct dm_fields *fields)
{
    enum { WORD = 64 };
    uint64_t seen[(DM_HDR_COUNT_ + WORD - 1) / WORD] = {0};
    enum dm_guard verdict = DM_GUARD_OK;
    size_t kept = 0;
    for (size_t i = 0; i < fields->count; i++) {
        struct dm_field_line f = fields->items[i];
        f.id = dm_header_find(f.name);
        while (f.value.len > 0 &&
               (f.value.ptr[f.value.len - 1] == ' ' || f.value.ptr[f.value.len - 1] == '\t'))
            f.value.len--;
        if (dropped(&f))
            continue;
        uint64_t bit = 1ull << (f.id % WORD);
        if (dm_header_flags(f.id) & DM_HF_SINGLE && seen[f.id / WORD] & bit &&
            verdict == DM_GUARD_OK)
            verdict = f.id == DM_HDR_HOST                ? DM_GUARD_HOST
                      : f.id == DM_HDR_CONTENT_LENGTH    ? DM_GUARD_LENGTH
                      : f.id == DM_HDR_TRANSFER_ENCODING ? DM_GUARD_TRANSFER_ENCODING
                                                         : DM_GUARD_REPEATED;
        seen[f.id / WORD] |= bit;
        fields->items[kept++] = f;
    }
    fields->count = kept;
    return verdict;
}

/* RFC 9112 §6.1, §6.3: one number, or chunked alone, or nothing; never both, chunked only in
 * HTTP/1.1. */
static enum dm_guard check_framing(struct dm_request_head *head)
{
    dm_view te = dm_fields_get(&head->fields, DM_HDR_TRANSFER_ENCODING);
    dm_view length = dm_fields_get(&head->fields, DM_HDR_CONTENT_LENGTH);
    if (te.ptr != NULL) {
        if (length.ptr != NULL || head->minor == 0 || !dm_view_eq_nocase(te, DM_LIT("chunked")))
            return DM_GUARD_TRANSFER_ENCODING;
        head->chunked = true;
    }
    if (length.ptr != NULL) {
        if (!dm_parse_u64(length, INT64_MAX, &head->length))
            return DM_GUARD_LENGTH;
        head->has_length = true;
    }
    return DM_GUARD_OK;
}

static size_t scheme_len(dm_view target)
{
    static const dm_view schemes[] = {{"http://", 7}, {"https://", 8}};
    for (size_t i = 0; i < DM_COUNT_OF(schemes); i++)
        if (dm_view_eq_nocase(dm_view_sub(target, 0, schemes[i].len), schemes[i]))
            return schemes[i].len;
    return 0;
}

static enum dm_guard check_target(struct dm_request_head *head)
{
    dm_view t = head->target;
    if (!target_bytes_ok(t))
        return DM_GUARD_TARGET;
    dm_view host = dm_fields_get(&head->fields, DM_HDR_HOST);
    if (host.ptr == NULL ? head->minor == 1 : !dm_host_valid(host))
        return DM_GUARD_HOST;
    head->host = host.ptr == NULL ? dm_view_make("", 0) : host;
    if (t.ptr[0] == '/')
        return DM_GUARD_OK;
    size_t scheme = scheme_len(t);
    if (scheme == 0) /* RFC 9112 §3.2.4: the asterisk is for OPTIONS alone */
        return dm_view_eq(t, DM_LIT("*")) && dm_view_eq(head->method, DM_LIT("OPTIONS"))
                   ? DM_GUARD_OK
                   : DM_GUARD_TARGET;
    size_t end = scheme;
    while (end < t.len && t.ptr[end] != '/' && t.ptr[end] != '?')
        end++;
    dm_view authority = dm_view_sub(t, scheme, end - scheme);
    /* RFC 9112 §3.2.2 would have the target win; who sends two different hosts wants two readings
     */
    if (!dm_host_valid(authority) || (host.ptr != NULL && !dm_view_eq_nocase(authority, host)))
        return DM_GUARD_HOST;
    head->host = authority;
    return DM_GUARD_OK;
}

static enum dm_guard check_meaning(struct dm_request_head *head)
{
    if (dm_view_eq(head->method, DM_LIT("CONNECT")) || dm_view_eq(head->method, DM_LIT("TRACE")))
        return DM_GUARD_METHOD;
    dm_view expect = dm_fields_get(&head->fields, DM_HDR_EXPECT);
    if (expect.ptr != NULL && head->minor == 1) { /* RFC 9110 §10.1.1: HTTP/1.0's is ignored */
        if (!dm_view_eq_nocase(expect, DM_LIT("100-continue")))
            return DM_GUARD_EXPECT;
        head->expect_continue = true;
    }
    dm_view upgrade = dm_fields_get(&head->fields, DM_HDR_UPGRADE);
    /* others (h2c) are offers that may be ignored: RFC 9110 §7.8 */
    head->upgrade = upgrade.ptr != NULL && head->minor == 1 &&
                    dm_list_has_token(upgrade, DM_LIT("websocket")) &&
                    dm_fields_connection_lists(&head->fields, DM_LIT("upgrade"));
    return DM_GUARD_OK;
}

enum dm_guard dm_http_guard(struct dm_request_head *head, dm_view raw,
                            const struct dm_guard_limits *limits)
{
    size_t received = head->fields.count;
    enum dm_guard fields = sort_fields(&head->fields);
    size_t leading = (size_t)(head->method.ptr - raw.ptr);
    if (head->target.len > limits->max_target)
        return DM_GUARD_TARGET_TOO_LONG;
    if (raw.len > limits->max_head)
        return DM_GUARD_HEAD_TOO_LARGE;
    if (received > limits->max_fields)
        return DM_GUARD_TOO_MANY_FIELDS;
    /* a line for the request, one per field, the empty one: any other number hides something */
    if (leading > LEADING_MAX || count_lines(raw) != leading / 2 + received + 2)
        return DM_GUARD_LINES;
    if (!request_line_ok(head, raw))
        return DM_GUARD_REQUEST_LINE;
    if (fields != DM_GUARD_OK)
        return fields;
    enum dm_guard verdict = check_framing(head);
    /* methods before targets: CONNECT's target is an authority */
    if (verdict == DM_GUARD_OK)
        verdict = check_meaning(head);
    if (verdict == DM_GUARD_OK)
        verdict = check_target(head);
    return verdict;
}

enum dm_guard dm_http_guard_trailers(struct dm_fields *trailers)
{
    size_t kept = 0;
    for (size_t i = 0; i < trailers->count; i++) {
        struct dm_field_line f = trailers->items[i];
        if (!dm_http_value_ok(f.value))
            return DM_GUARD_TRAILERS;
        f.value = dm_view_trim(f.value);
        /* RFC 9110 §6.5.1: only fields that are defined for it may come late; of those we know none
         * is */
        if (dm_header_find(f.name) != DM_HDR_OTHER ||
            dm_header_flags_of(DM_HDR_OTHER, f.name) != 0 || looks_like_ours(f.name))
            continue;
        trailers->items[kept++] = f;
    }
    trailers->count = kept;
    return DM_GUARD_OK;
}

bool dm_http_keeps_alive(const struct dm_request_head *head)
{
    if (dm_fields_connection_lists(&head->fields, DM_LIT("close")))
        return false;
    return head->minor == 1 || dm_fields_connection_lists(&head->fields, DM_LIT("keep-alive"));
}
