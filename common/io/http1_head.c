#include "io/http1.h"

#include <string.h>

#include "base/assert.h"

#include "base/poison.h"

enum {
    STATUS_LINE_MAX = 64,
    NUMBER_MAX = 20, /* of a uint64 in decimal */
    /* status line, Date, framing, Connection, names of the two id lines, empty line; measured 230
     */
    FIXED_MAX = 384
};

static dm_view reason_of(int status)
{
    switch (status) {
#define REASON(code, text)                                                                         \
    case code:                                                                                     \
        return DM_LIT(text);
        REASON(102, "Processing")
        REASON(103, "Early Hints")
        REASON(200, "OK")
        REASON(201, "Created")
        REASON(202, "Accepted")
        REASON(203, "Non-Authoritative Information")
        REASON(204, "No Content")
        REASON(205, "Reset Content")
        REASON(206, "Partial Content")
        REASON(207, "Multi-Status")
        REASON(300, "Multiple Choices")
        REASON(301, "Moved Permanently")
        REASON(302, "Found")
        REASON(303, "See Other")
        REASON(304, "Not Modified")
        REASON(307, "Temporary Redirect")
        REASON(308, "Permanent Redirect")
        REASON(400, "Bad Request")
        REASON(401, "Unauthorized")
        REASON(402, "Payment Required")
        REASON(403, "Forbidden")
        REASON(404, "Not Found")
        REASON(405, "Method Not Allowed")
        REASON(406, "Not Acceptable")
        REASON(408, "Request Timeout")
        REASON(409, "Conflict")
        REASON(410, "Gone")
        REASON(411, "Length Required")
        REASON(412, "Precondition Failed")
        REASON(413, "Content Too Large")
        REASON(414, "URI Too Long")
        REASON(415, "Unsupported Media Type")
        REASON(416, "Range Not Satisfiable")
        REASON(417, "Expectation Failed")
        REASON(421, "Misdirected Request")
        REASON(422, "Unprocessable Content")
        REASON(423, "Locked")
        REASON(424, "Failed Dependency")
        REASON(426, "Upgrade Required")
        REASON(428, "Precondition Required")
        REASON(429, "Too Many Requests")
        REASON(431, "Request Header Fields Too Large")
        REASON(500, "Internal Server Error")
        REASON(501, "Not Implemented")
        REASON(502, "Bad Gateway")
        REASON(503, "Service Unavailable")
        REASON(504, "Gateway Timeout")
        REASON(505, "HTTP Version Not Supported")
        REASON(507, "Insufficient Storage")
#undef REASON
    default:
        return DM_LIT(""); /* RFC 9112 §4: may be empty, the blank before it stays */
    }
}

static char *put(char *at, dm_view v)
{
    if (v.len > 0)
        memcpy(at, v.ptr, v.len);
    return at + v.len;
}

static char *put_u64(char *at, uint64_t n)
{
    char digits[NUMBER_MAX];
    size_t i = sizeof digits;
    do {
        digits[--i] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    return put(at, dm_view_make(digits + i, sizeof digits - i));
}

static char *put_line(char *at, dm_view name, dm_view value)
{
    at = put(at, name);
    at = put(at, DM_LIT(": "));
    at = put(at, value);
    return put(at, DM_LIT("\r\n"));
}

static char *put_status(char *at, int status)
{
    dm_view reason = reason_of(status);
    DM_ASSERT(reason.len < STATUS_LINE_MAX / 2);
    at = put(at, DM_LIT("HTTP/1.1 "));
    at = put_u64(at, (uint64_t)status);
    *at++ = ' ';
    at = put(at, reason);
    return put(at, DM_LIT("\r\n"));
}

/* Whoever serves may name fields by id or not; what they are decides. Framing, ids of the request
 * and anything that could end a line early (an answer split in two) never get through. */
static bool usable(const struct dm_field_line *f, enum dm_header_id *ret_id)
{
    enum dm_header_id id = f->id == DM_HDR_OTHER ? dm_header_find(f->name) : f->id;
    if (dm_header_flags(id) & DM_HF_HOP || id == DM_HDR_X_REQUEST_ID || id == DM_HDR_REQUEST_ID_LOW)
        return false;
    *ret_id = id;
    return f->name.len > 0 && dm_http_value_ok(f->name) && dm_http_value_ok(f->value);
}

/* The carrier's own defaults that the answer already has. */
struct present {
    bool date;
    uint64_t security; /* bit per line of the rules */
};

static char *put_fields(char *at, const struct dm_fields *fields, const struct http1_rules *r,
                        struct present *ret)
{
    for (size_t i = 0; fields != NULL && i < fields->count; i++) {
        const struct dm_field_line *f = &fields->items[i];
        enum dm_header_id id;
        if (!usable(f, &id))
            continue;
        at = put_line(at, f->name, f->value);
        ret->date = ret->date || id == DM_HDR_DATE;
        if ((dm_header_flags(id) & DM_HF_SECURITY) == 0)
            continue;
        for (size_t n = 0; n < r->n_lines; n++)
            if (r->lines[n].id == id)
                ret->security |= 1ull << n;
    }
    return at;
}

static char *put_security(char *at, const struct http1_rules *r, uint64_t present)
{
    if (present == 0)
        return put(at, r->security);
    for (size_t n = 0; n < r->n_lines; n++)
        if ((present & 1ull << n) == 0)
            at = put(at, r->lines[n].line);
    return at;
}

static char *put_framing(char *at, const struct http1 *h, const struct dm_answer *a)
{
    bool no_length = a->status == 204 || a->status == 304; /* RFC 9110 §8.6 */
    if (h->chunked_out)
        at = put(at, DM_LIT("Transfer-Encoding: chunked\r\n"));
    else if (!no_length && a->length != DM_LENGTH_UNKNOWN) {
        at = put(at, DM_LIT("Content-Length: "));
        at = put_u64(at, (uint64_t)a->length);
        at = put(at, DM_LIT("\r\n"));
    }
    if (h->conn->close)
        return put(at, DM_LIT("Connection: close\r\n"));
    return h->x.head.minor == 0 ? put(at, DM_LIT("Connection: keep-alive\r\n")) : at;
}

size_t http1_head_bound(const struct http1 *h, const struct dm_fields *fields)
{
    size_t size = FIXED_MAX + 2 * h->x.request_id.len + h->rules->security.len;
    for (size_t i = 0; fields != NULL && i < fields->count; i++)
        size += fields->items[i].name.len + fields->items[i].value.len + 4;
    return size;
}

size_t http1_write_head(struct http1 *h, const struct dm_answer *a, char *out)
{
    struct present present = {0};
    char *at = put_status(out, a->status);
    at = put_fields(at, a->fields, h->rules, &present);
    at = put_framing(at, h, a);
    if (!present.date)
        at = put_line(at, DM_LIT("Date"),
                      dm_view_make(dm_loop_http_date(h->x.loop), DM_HTTP_DATE_LEN));
    if (!a->no_request_id) {
        at = put_line(at, DM_LIT("X-Request-ID"), h->x.request_id);
        at = put_line(at, DM_LIT("request_id"), h->x.request_id);
    }
    at = put_security(at, h->rules, present.security);
    at = put(at, DM_LIT("\r\n"));
    return (size_t)(at - out);
}

size_t http1_write_inform(const struct http1 *h, int status, const struct dm_fields *fields,
                          char *out)
{
    struct present ignored = {0};
    char *at = put_status(out, status);
    at = put_fields(at, fields, h->rules, &ignored);
    at = put(at, DM_LIT("\r\n"));
    return (size_t)(at - out);
}
