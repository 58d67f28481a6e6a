#include <string.h>

#include "codec/json.h"
#include "codec/json_scan.h"
#include "codec/json_text.h"

#include "base/poison.h"

/* Readers of text that build no tree: check, one member, one scalar. */

enum dm_code dm_json_check(dm_view text, const struct dm_json_limits *limits, struct dm_error *err)
{
    struct dm_json_scan scan;
    dm_view ignored;
    enum dm_json_token token;
    dm_json_scan_init(&scan, text, limits);
    do
        token = dm_json_scan_next(&scan, &ignored);
    while (token != DM_JSON_TOKEN_END && token != DM_JSON_TOKEN_FAULT);
    enum dm_code code = dm_json_scan_fault(&scan, err);
    dm_json_scan_done(&scan);
    return code;
}

/* The value that follows the name just read, as text; empty when the scan faults on it. */
static dm_view take_value(struct dm_json_scan *s, dm_view text)
{
    dm_view raw;
    size_t from = dm_json_scan_offset(s);
    enum dm_json_token token = dm_json_scan_skip(s, dm_json_scan_next(s, &raw));
    if (token == DM_JSON_TOKEN_FAULT)
        return DM_VIEW_NONE;
    while (strchr(" \t\r\n", text.ptr[from]) != NULL)
        from++;
    return dm_view_sub(text, from, dm_json_scan_offset(s) - from);
}

bool dm_json_raw_member(dm_view object_text, dm_view name, dm_view *ret_raw)
{
    struct dm_json_scan scan;
    dm_view raw, found = DM_VIEW_NONE;
    dm_json_scan_init(&scan, object_text, NULL);
    enum dm_json_token token = dm_json_scan_next(&scan, &raw);
    if (token != DM_JSON_TOKEN_OBJECT)
        token = DM_JSON_TOKEN_FAULT;
    while (token != DM_JSON_TOKEN_END && token != DM_JSON_TOKEN_FAULT) {
        token = dm_json_scan_next(&scan, &raw);
        if (token == DM_JSON_TOKEN_NAME && dm_json_scan_depth(&scan) == 1 &&
            dm_json_scan_name_is(&scan, raw, name))
            found = take_value(&scan, object_text);
    }
    dm_json_scan_done(&scan);
    if (token != DM_JSON_TOKEN_END || found.ptr == NULL)
        return false;
    *ret_raw = found;
    return true;
}

/* One token that is the whole text. */
static enum dm_json_token only_token(struct dm_json_scan *s, dm_view text, dm_view *ret_raw)
{
    dm_view ignored;
    dm_json_scan_init(s, text, NULL);
    enum dm_json_token token = dm_json_scan_next(s, ret_raw);
    bool integer = dm_json_scan_integer(s);
    if (dm_json_scan_next(s, &ignored) != DM_JSON_TOKEN_END)
        token = DM_JSON_TOKEN_FAULT;
    if (token == DM_JSON_TOKEN_NUMBER && !integer)
        token = DM_JSON_TOKEN_FAULT;
    dm_json_scan_done(s);
    return token;
}

bool dm_json_raw_string(dm_view raw, struct dm_buf *out)
{
    struct dm_json_scan scan;
    dm_view text;
    if (only_token(&scan, raw, &text) != DM_JSON_TOKEN_STRING)
        return false;
    char *to = dm_buf_reserve(out, text.len);
    if (to == NULL)
        return false;
    dm_buf_commit(out, dm_json_unescape(text, to));
    return true;
}

bool dm_json_raw_i64(dm_view raw, int64_t *ret)
{
    struct dm_json_scan scan;
    dm_view text;
    return only_token(&scan, raw, &text) == DM_JSON_TOKEN_NUMBER &&
           dm_parse_i64(text, INT64_MIN, INT64_MAX, ret);
}
