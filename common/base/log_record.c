#include "base/log_record.h"

#include <string.h>
#include <time.h>

#include "base/assert.h"

#include "base/poison.h"

enum {
    REQUEST_ID_MAX = 128, /* operations.md §8.7 */
    KEY_MAX = 255,
    CUT_MARK = 0x80 /* set in a kind: the value was longer */
};

struct head {
    uint32_t size;
    uint8_t level, raw, message_cut, n_fields;
    int64_t wall;
    uint32_t request_id_len, message_len;
};

struct field_head {
    uint8_t kind, key_len;
    uint16_t len;
    uint32_t unused;
    int64_t num;
};

/* Not through the middle of a code point: the half would be shown as an escape. */
static dm_view cut(dm_view v, size_t max)
{
    if (v.len <= max)
        return v;
    size_t len = max;
    while (len > 0 && len + 3 > max && ((unsigned char)v.ptr[len] & 0xC0) == 0x80)
        len--;
    return dm_view_make(v.ptr, len);
}

static size_t message_max(const struct dm_log_event *e)
{
    return e->raw ? (size_t)DM_LOG_RAW_MAX : (size_t)DM_LOG_MESSAGE_MAX;
}

static bool is_text(const struct dm_log_field *f)
{
    return f->kind == DM_LOG_STR || f->kind == DM_LOG_JSON;
}

static bool is_left_out(const struct dm_log_field *f)
{
    return is_text(f) && f->str.ptr == NULL;
}

static dm_view value_of(const struct dm_log_field *f)
{
    if (!is_text(f))
        return DM_VIEW_NONE;
    bool whole = f->kind == DM_LOG_JSON && f->str.len <= DM_LOG_JSON_MAX;
    return whole ? f->str : cut(f->str, (size_t)DM_LOG_VALUE_MAX);
}

size_t dm_log_record_size(const struct dm_log_event *e)
{
    DM_REQUIRE(e->n_fields <= DM_LOG_FIELDS_MAX);
    size_t size = sizeof(struct head) + cut(e->request_id, REQUEST_ID_MAX).len +
                  cut(e->message, message_max(e)).len;
    for (size_t i = 0; i < e->n_fields; i++) {
        if (!is_left_out(&e->fields[i]))
            size += sizeof(struct field_head) + cut(dm_view_of(e->fields[i].key), KEY_MAX).len +
                    value_of(&e->fields[i]).len;
    }
    return size;
}

static char *put(char *at, const void *bytes, size_t len)
{
    if (len > 0)
        memcpy(at, bytes, len);
    return at + len;
}

static char *pack_field(char *at, const struct dm_log_field *f)
{
    dm_view key = cut(dm_view_of(f->key), KEY_MAX), value = value_of(f);
    bool was_cut = is_text(f) && value.len < f->str.len;
    struct field_head h = {
        .kind = (uint8_t)(was_cut ? DM_LOG_STR | CUT_MARK : f->kind),
        .key_len = (uint8_t)key.len,
        .len = (uint16_t)value.len,
        .num = f->num,
    };
    at = put(at, &h, sizeof h);
    at = put(at, key.ptr, key.len);
    return put(at, value.ptr, value.len);
}

void dm_log_record_pack(const struct dm_log_event *e, char *out)
{
    dm_view rid = cut(e->request_id, REQUEST_ID_MAX), message = cut(e->message, message_max(e));
    struct head h = {
        .level = (uint8_t)e->level,
        .raw = e->raw,
        .message_cut = message.len < e->message.len,
        .wall = e->wall,
        .request_id_len = (uint32_t)rid.len,
        .message_len = (uint32_t)message.len,
    };
    char *at = put(out + sizeof h, rid.ptr, rid.len);
    at = put(at, message.ptr, message.len);
    for (size_t i = 0; i < e->n_fields; i++) {
        if (is_left_out(&e->fields[i]))
            continue;
        at = pack_field(at, &e->fields[i]);
        h.n_fields++;
    }
    h.size = (uint32_t)(at - out);
    memcpy(out, &h, sizeof h);
}

size_t dm_log_record_read(const char *in, enum dm_log_level *ret_level, bool *ret_raw)
{
    struct head h;
    memcpy(&h, in, sizeof h);
    *ret_level = (enum dm_log_level)h.level;
    *ret_raw = h.raw;
    return h.size;
}

enum escape { ESCAPE_JSON = 0, ESCAPE_PLAIN, ESCAPE_RAW };

static bool shown_as_is(unsigned char c, enum escape how)
{
    if (c < 0x20 || c >= 0x7F)
        return false;
    if (c == '\\')
        return how == ESCAPE_RAW; /* a ready line has escaped its own */
    return c != '"' || how != ESCAPE_JSON;
}

/* One byte, or one C1 control, that must not reach a terminal or break the line. A byte that is no
 * UTF-8 is shown as \xHH, in JSON with its backslash doubled. */
static void add_escape(struct dm_buf *out, unsigned char c, bool is_text, enum escape how)
{
    static const char hex[] = "0123456789abcdef";
    static const char named[] = "\nn\rr\tt\\\\\"\"";
    const char *name = c == '\0' || !is_text ? NULL : strchr(named, c);
    if (name != NULL) {
        dm_buf_add_byte(out, '\\');
        dm_buf_add_byte(out, name[1]);
        return;
    }
    dm_buf_add(out, how != ESCAPE_JSON ? DM_LIT("\\x")
                    : is_text          ? DM_LIT("\\u00")
                                       : DM_LIT("\\\\x"));
    dm_buf_add_byte(out, hex[c >> 4]);
    dm_buf_add_byte(out, hex[c & 15]);
}

static void add_escaped(struct dm_buf *out, dm_view v, enum escape how)
{
    size_t shown_from = 0;
    for (size_t at = 0; at < v.len;) {
        const unsigned char *p = (const unsigned char *)v.ptr + at;
        if (shown_as_is(*p, how)) {
            at++;
            continue;
        }
        size_t step = dm_utf8_step(v, at);
        bool c1 = step == 2 && p[0] == 0xC2 && p[1] < 0xA0;
        if (step <= 1 || c1) {
            dm_buf_add(out, dm_view_sub(v, shown_from, at - shown_from));
            add_escape(out, c1 ? p[1] : p[0], step > 0, how);
            shown_from = at + (step == 0 ? 1 : step);
        }
        at += step == 0 ? 1 : step;
    }
    dm_buf_add(out, dm_view_sub(v, shown_from, v.len));
}

static void add_milliseconds(struct dm_buf *out, int64_t ns)
{
    int64_t us = ns / DM_US;
    dm_buf_addf(out, "%lld.%03lld", (long long)(us / 1000), (long long)(us < 0 ? -us : us) % 1000);
}

static void make_stamp(struct dm_log_format *f, dm_time wall, bool json)
{
    int64_t second = wall / DM_SEC - (wall % DM_SEC < 0);
    if (f->stamp[0] != '\0' && f->stamp_second == second && f->stamp_json == json)
        return;
    f->stamp_second = second;
    f->stamp_json = json;
    struct tm local;
    time_t t = (time_t)second;
    if (!json && !f->utc && localtime_r(&t, &local) != NULL) {
        (void)strftime(f->stamp, sizeof f->stamp, "%Y-%m-%d %H:%M:%S", &local);
        return;
    }
    dm_time_iso(wall, f->stamp);
    if (!json) {
        f->stamp[10] = ' ';
        f->stamp[19] = '\0';
    }
}

static bool needs_quotes(dm_view v)
{
    for (size_t i = 0; i < v.len; i++) {
        if (strchr(" =\"\t\r\n", v.ptr[i]) != NULL)
            return true;
    }
    return v.len == 0;
}

static void add_value(struct dm_buf *out, const struct field_head *h, dm_view value, bool json)
{
    bool quotes;
    switch ((enum dm_log_kind)(h->kind & ~CUT_MARK)) {
    case DM_LOG_STR:
        quotes = json || needs_quotes(value);
        if (quotes)
            dm_buf_add_byte(out, '"');
        add_escaped(out, value, quotes ? ESCAPE_JSON : ESCAPE_PLAIN);
        if (h->kind & CUT_MARK)
            dm_buf_add(out, DM_LIT("..."));
        if (quotes)
            dm_buf_add_byte(out, '"');
        return;
    case DM_LOG_JSON:
        for (size_t i = 0; i < value.len; i++) /* one line, whatever layout it had */
            dm_buf_add_byte(out, (unsigned char)value.ptr[i] < 0x20 ? ' ' : value.ptr[i]);
        return;
    case DM_LOG_I64:
        dm_buf_add_i64(out, h->num);
        return;
    case DM_LOG_BOOL:
        dm_buf_add(out, h->num ? DM_LIT("true") : DM_LIT("false"));
        return;
    case DM_LOG_MS:
        add_milliseconds(out, h->num);
        return;
    }
    DM_UNREACHABLE();
}

static void add_fields(struct dm_buf *out, const char *at, size_t n, bool json)
{
    for (size_t i = 0; i < n; i++) {
        struct field_head h;
        memcpy(&h, at, sizeof h);
        at += sizeof h;
        dm_view key = dm_view_make(at, h.key_len), value = dm_view_make(at + h.key_len, h.len);
        at += h.key_len + h.len;
        dm_buf_add(out, json ? DM_LIT(",\"") : DM_LIT(" "));
        add_escaped(out, key, json ? ESCAPE_JSON : ESCAPE_PLAIN);
        dm_buf_add(out, json ? DM_LIT("\":") : DM_LIT("="));
        add_value(out, &h, value, json);
    }
}

static void add_json_text(struct dm_buf *out, const char *prefix, dm_view v)
{
    dm_buf_add(out, dm_view_of(prefix));
    add_escaped(out, v, ESCAPE_JSON);
    dm_buf_add_byte(out, '"');
}

static void format_json(const struct head *h, dm_view rid, dm_view message, const char *fields,
                        struct dm_log_format *f, struct dm_buf *out)
{
    bool audit = h->level == DM_LOG_AUDIT;
    make_stamp(f, h->wall, true);
    add_json_text(out, "{\"timestamp\":\"", dm_view_of(f->stamp));
    add_json_text(out, ",\"level\":\"",
                  dm_view_of(dm_log_level_name(audit ? DM_LOG_INFO : (enum dm_log_level)h->level)));
    add_json_text(out, ",\"request_id\":\"", rid);
    dm_buf_add(out, DM_LIT(",\"message\":\""));
    add_escaped(out, message, ESCAPE_JSON);
    dm_buf_add(out, h->message_cut ? DM_LIT("...\"") : DM_LIT("\""));
    add_fields(out, fields, h->n_fields, true);
    if (audit)
        dm_buf_add(out, DM_LIT(",\"log\":\"audit\""));
    dm_buf_add(out, DM_LIT(",\"ts_ms\":"));
    dm_buf_add_i64(out, h->wall / DM_MS);
    add_json_text(out, ",\"process\":\"", dm_view_of(f->process));
    add_json_text(out, ",\"pod\":\"", dm_view_of(f->pod));
    add_json_text(out, ",\"version\":\"", DM_LIT(DOORMAN_VERSION));
    dm_buf_add_byte(out, '}');
}

static void format_plain(const struct head *h, dm_view rid, dm_view message, const char *fields,
                         struct dm_log_format *f, struct dm_buf *out)
{
    make_stamp(f, h->wall, false);
    dm_buf_addf(out, "%s %s [request_id=", f->stamp,
                dm_log_level_name((enum dm_log_level)h->level));
    add_escaped(out, rid, ESCAPE_PLAIN);
    dm_buf_add(out, DM_LIT("] "));
    add_escaped(out, message, ESCAPE_PLAIN);
    if (h->message_cut)
        dm_buf_add(out, DM_LIT("..."));
    add_fields(out, fields, h->n_fields, false);
}

void dm_log_record_format(const char *in, struct dm_log_format *f, struct dm_buf *out)
{
    struct head h;
    memcpy(&h, in, sizeof h);
    in += sizeof h;
    dm_view rid = h.request_id_len == 0 ? DM_LIT("-") : dm_view_make(in, h.request_id_len);
    dm_view message = dm_view_make(in + h.request_id_len, h.message_len);
    const char *fields = message.ptr + message.len;

    if (h.raw)
        add_escaped(out, message, ESCAPE_RAW);
    else if (f->json || h.level == DM_LOG_AUDIT)
        format_json(&h, rid, message, fields, f, out);
    else
        format_plain(&h, rid, message, fields, f, out);
}
