#include "admin/services/trail.h"
#include "base/assert.h"
#include "base/redact.h"
#include "crypto/digest.h"
#include "store/live_stream.h"
#include <stdlib.h>
#include <string.h>

enum {
    TEXT_MAX = 128 * 1024 * 1024, /* the largest document there can be, all of it escapes */
    NUMBER_TEXT = 64,
    ACTION_MAX = 64,  /* of an event: longer is none of ours */
    DETAILS_MAX = 16, /* gateways send four */
    NAME_MAX_ = 64
};

/* What comes back from every store as it went there, so that it can be hashed again: no null, no
 * number with a fraction. */
static struct dm_json *as_text(const struct dm_json *value)
{
    struct dm_json *text;
    struct dm_buf out;

    dm_buf_init(&out, NUMBER_TEXT);
    dm_json_write(value, &out);
    text = dm_json_new_str(dm_buf_view(&out));
    dm_buf_done(&out);
    return text;
}

/* One level of members is looked at: details have no more. */
struct dm_json *adm_trail_sanitised(const struct dm_json *details)
{
    struct dm_json *o = dm_json_new_object();

    for (struct dm_json *m = dm_json_first(details); m != NULL; m = dm_json_next(m)) {
        dm_view name = dm_json_name(m), text = dm_json_str(m);

        if (dm_redact_key(name) || (text.ptr != NULL && dm_redact_value(text)))
            dm_json_set_str(o, name, DM_LIT("[REDACTED]"));
        else if (dm_json_is(m, DM_JSON_DOUBLE) || dm_json_is(m, DM_JSON_NULL))
            dm_json_set(o, name, as_text(m));
        else
            dm_json_set(o, name, dm_json_clone(m));
    }
    return o;
}

static int by_name(const void *a, const void *b)
{
    return dm_view_cmp(dm_json_name(*(struct dm_json *const *)a),
                       dm_json_name(*(struct dm_json *const *)b));
}

static void write_sorted(const struct dm_json *j, dm_view but, struct dm_buf *out);

static void write_members(const struct dm_json *o, dm_view but, struct dm_buf *out)
{
    const size_t n = dm_json_len(o);
    struct dm_json **members = dm_mem_alloc((n + 1) * sizeof(struct dm_json *));
    size_t at = 0, written = 0;

    for (struct dm_json *m = dm_json_first(o); m != NULL; m = dm_json_next(m))
        members[at++] = m;
    qsort(members, n, sizeof members[0], by_name);
    dm_buf_add_byte(out, '{');
    for (at = 0; at < n; at++) {
        if (dm_view_eq(dm_json_name(members[at]), but))
            continue;
        if (written++ > 0)
            dm_buf_add_byte(out, ',');
        dm_json_write_str(dm_json_name(members[at]), out);
        dm_buf_add_byte(out, ':');
        write_sorted(members[at], DM_VIEW_NONE, out);
    }
    dm_buf_add_byte(out, '}');
    dm_mem_free(members);
}

/* As deep as a record is: the parsers allow 64 levels. */
static void write_sorted(const struct dm_json *j, dm_view but, struct dm_buf *out)
{
    size_t n = 0;

    if (dm_json_is(j, DM_JSON_OBJECT)) {
        write_members(j, but, out);
    } else if (dm_json_is(j, DM_JSON_ARRAY)) {
        dm_buf_add_byte(out, '[');
        for (struct dm_json *i = dm_json_first(j); i != NULL; i = dm_json_next(i)) {
            if (n++ > 0)
                dm_buf_add_byte(out, ',');
            write_sorted(i, DM_VIEW_NONE, out);
        }
        dm_buf_add_byte(out, ']');
    } else {
        dm_json_write(j, out);
    }
}

void adm_trail_hash(const struct dm_json *record, char out[ADM_TRAIL_HASH + 1])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char sum[DM_SHA256_LEN];
    struct dm_buf text;

    dm_buf_init(&text, TEXT_MAX);
    dm_buf_add(&text, dm_json_str(dm_json_get(record, DM_LIT("prev_hash"))));
    write_sorted(record, DM_LIT("hash"), &text);
    DM_ASSERT(dm_buf_ok(&text));
    dm_sha256(dm_buf_view(&text), sum);
    dm_buf_done(&text);
    for (size_t i = 0; i < sizeof sum; i++) {
        out[2 * i] = hex[sum[i] >> 4];
        out[2 * i + 1] = hex[sum[i] & 15];
    }
    out[ADM_TRAIL_HASH] = '\0';
}

/* --- events --- */

static const char *const texts[] = {"timestamp", "request_id", "username",  "action",
                                    "target",    "status",     "client_ip", "effective_ip"};

struct dm_json *adm_trail_record(const struct dm_json *event, dm_view event_id)
{
    struct dm_json *o = dm_json_new_object();

    for (size_t i = 0; i < DM_COUNT_OF(texts); i++)
        dm_json_set_str(o, dm_view_of(texts[i]),
                        dm_json_str(dm_json_get(event, dm_view_of(texts[i]))));
    dm_json_set_str(o, DM_LIT("event_type"), dm_json_str(dm_json_get(event, DM_LIT("action"))));
    dm_json_set(o, DM_LIT("details"), adm_trail_sanitised(dm_json_get(event, DM_LIT("details"))));
    if (event_id.len > 0)
        dm_json_set_str(o, DM_LIT("event_id"), event_id);
    return o;
}

/* Plain words, so that every store keeps them as they are. */
static bool is_plain(dm_view name)
{
    for (size_t i = 0; i < name.len; i++) {
        const char c = name.ptr[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_')
            return false;
    }
    return name.len > 0 && name.len <= NAME_MAX_ && name.ptr[0] != '_';
}

static bool is_event(const struct dm_json *event)
{
    const struct dm_json *details = dm_json_get(event, DM_LIT("details"));
    const dm_view action = dm_json_str(dm_json_get(event, DM_LIT("action")));

    if (action.len == 0 || action.len > ACTION_MAX || !dm_json_is(details, DM_JSON_OBJECT) ||
        dm_json_len(details) > DETAILS_MAX)
        return false;
    for (size_t i = 0; i < DM_COUNT_OF(texts); i++) {
        if (!dm_json_is(dm_json_get(event, dm_view_of(texts[i])), DM_JSON_STRING))
            return false;
    }
    for (struct dm_json *m = dm_json_first(details); m != NULL; m = dm_json_next(m)) {
        if (!is_plain(dm_json_name(m)) ||
            (!dm_json_is(m, DM_JSON_STRING) && !dm_json_is(m, DM_JSON_INT)))
            return false;
    }
    return true;
}

struct dm_json *adm_trail_read(dm_view text)
{
    static const struct dm_json_limits limits = {
        .max_bytes = DM_STREAM_RECORD_MAX, .max_depth = 2, .max_values = 64};
    struct dm_json *event = NULL;
    struct dm_error err;

    if (dm_json_parse(text, &limits, &event, &err) == DM_OK && !is_event(event))
        dm_json_free(DM_TAKE(event));
    return event;
}
