/* Text to value, one parser for environment, file and defaults (configuration.md §0.1). Types come
 * from the table, never from the text. */
#include "model/settings_load.h"

#include "base/assert.h"
#include "codec/json.h"

#include <stdio.h>
#include <string.h>

#include "base/poison.h"

/* One item of a list: no sane origin, host, path or CIDR is longer. Lists: the 10,000 CIDRs of
 * operations.md §8.11 and room to spare. */
enum { ITEM_MAX = 4096, ITEMS_MAX = 100000, ITEM_SHOWN = 80 };

static const struct dm_json_limits json_limits = {
    .max_bytes = DM_SETTINGS_FILE_MAX, .max_depth = 16, .max_values = 10000};

static void *member(const struct dm_settings_loading *l, const struct dm_setting_row *row)
{
    return (char *)l->s + row->offset;
}

bool dm_setting_parse_bool(dm_view text, bool *ret)
{
    static const char *const words[] = {"true", "1", "yes", "on", "false", "0", "no", "off"};
    for (size_t i = 0; i < DM_COUNT_OF(words); i++) {
        if (dm_view_eq_nocase(text, dm_view_of(words[i]))) {
            *ret = i < DM_COUNT_OF(words) / 2;
            return true;
        }
    }
    return false;
}

static bool printable(dm_view v)
{
    for (size_t i = 0; i < v.len; i++) {
        unsigned char c = (unsigned char)v.ptr[i];
        if (c < 0x20 || c == 0x7f)
            return false;
    }
    return true;
}

static bool in_range(const struct dm_setting_row *row, double n)
{
    double also;
    return (n >= row->min && n <= row->max) ||
           (dm_parse_f64(dm_view_of(row->allowed), &also) && n == also);
}

static const char *parse_int(const struct dm_setting_row *row, dm_view text, int64_t *ret)
{
    int64_t n;
    if (!dm_parse_i64(text, INT64_MIN, INT64_MAX, &n))
        return "not an integer";
    if (!in_range(row, (double)n))
        return "out of range";
    *ret = n;
    return NULL;
}

static const char *parse_number(const struct dm_setting_row *row, dm_view text, double *ret)
{
    double n;
    for (size_t i = 0; i < text.len; i++) {
        if (strchr("-.0123456789", text.ptr[i]) == NULL)
            return "not a decimal number";
    }
    if (!dm_parse_f64(text, &n))
        return "not a decimal number";
    if (!in_range(row, n))
        return "out of range";
    *ret = n;
    return NULL;
}

static const char *parse_enum(const struct dm_setting_row *row, dm_view text, int *ret)
{
    for (size_t i = 0; i < row->n_words; i++) {
        dm_view all = dm_view_of(row->words[i]), word;
        while (dm_view_split(&all, ' ', &word)) {
            if (dm_view_eq_nocase(word, text)) {
                *ret = (int)i;
                return NULL;
            }
        }
    }
    return "unknown word";
}

static const char *check_url(struct dm_settings_loading *l, const struct dm_setting_row *row,
                             const struct dm_setting_raw *raw)
{
    dm_view text = raw->text, schemes = dm_view_of(row->allowed), scheme;
    size_t colon = dm_view_find(text, DM_LIT("://"));
    if (!printable(text) || dm_view_find_byte(text, ' ', 0) < text.len)
        return "holds a blank or a control character";
    if (colon == 0 || colon == text.len)
        return "not an absolute URL";
    dm_view own = dm_view_sub(text, 0, colon);
    bool known = false;
    while (!known && dm_view_split(&schemes, ' ', &scheme))
        known = dm_view_eq_nocase(scheme, own);
    if (!known) {
        (void)snprintf(
            l->reason, sizeof(l->reason), "scheme %.*s is not supported%s",
            (int)(own.len < 32 ? own.len : 32), own.ptr,
            strcmp(row->key, "MONGO_DB_URI") == 0 ? "; this product stores data in MongoDB" : "");
        return l->reason;
    }
    dm_view rest = dm_view_sub(text, colon + 3, text.len - colon - 3);
    if (dm_view_eq_nocase(own, DM_LIT("unix")))
        return rest.len > 0 && rest.ptr[0] == '/' ? NULL : "no path of a socket";
    size_t end = 0, host = 0;
    while (end < rest.len && strchr("/?#", rest.ptr[end]) == NULL)
        end++;
    for (size_t i = 0; i < end; i++) {
        if (rest.ptr[i] == '@')
            host = i + 1;
    }
    return end > host && rest.ptr[host] != ':' ? NULL : "no host";
}

/* "\n" written as two characters, as PEM texts come in one-line variables. */
static dm_view with_newlines(struct dm_settings_loading *l, dm_view text)
{
    if (dm_view_find(text, DM_LIT("-----BEGIN")) == text.len ||
        dm_view_find(text, DM_LIT("\\n")) == text.len)
        return text;
    struct dm_buf out;
    dm_buf_init(&out, text.len);
    for (size_t i = 0; i < text.len; i++) {
        bool escape = text.ptr[i] == '\\' && i + 1 < text.len && text.ptr[i + 1] == 'n';
        dm_buf_add_byte(&out, escape ? '\n' : text.ptr[i]);
        i += escape;
    }
    text = dm_settings_hold(l, dm_buf_view(&out));
    dm_settings_wipe(&out);
    return text;
}

static const char *parse_text(struct dm_settings_loading *l, const struct dm_setting_row *row,
                              const struct dm_setting_raw *raw, dm_view *ret)
{
    dm_view text = raw->text;
    if (row->type == DM_SETTING_PEM)
        text = with_newlines(l, text);
    else if (!printable(text))
        return "holds a control character";
    const char *reason = row->type == DM_SETTING_URL ? check_url(l, row, raw) : NULL;
    if (row->type == DM_SETTING_PATH)
        text = dm_settings_resolve(l, text);
    if (reason == NULL && row->type != DM_SETTING_URL)
        reason = dm_setting_rule_check(row->allowed, text);
    if (reason == NULL)
        *ret = dm_settings_keep_text(l->st, text);
    return reason;
}

static const char *parse_secret(struct dm_settings_loading *l, const struct dm_setting_row *row,
                                const struct dm_setting_raw *raw, struct dm_secret *ret)
{
    /* JSON has its own escapes: a PEM inside it carries them, and they are not ours to undo. */
    dm_view text = row->type == DM_SETTING_SECRET_JSON ? raw->text : with_newlines(l, raw->text);
    if (text.len > 0 && memchr(text.ptr, '\0', text.len) != NULL)
        return "holds a NUL byte";
    double length = (double)(dm_utf8_valid(text) ? dm_utf8_count(text) : text.len);
    if (row->max > 0 && length < row->min)
        return "too short";
    if (row->max > 0 && length > row->max)
        return "too long";
    if (row->type == DM_SETTING_SECRET_JSON && dm_json_check(text, &json_limits, NULL) != DM_OK)
        return "not valid JSON";
    const char *reason = dm_setting_rule_check(row->allowed, text);
    if (reason == NULL)
        dm_secret_set(ret, text);
    return reason;
}

/* Items of a csv text or a YAML list, trimmed, empty ones dropped. NULL, or what is wrong. */
static const char *split_items(const struct dm_setting_raw *raw, struct dm_strs *ret)
{
    const bool listed = raw->node != NULL && raw->node->kind == DM_YAML_LIST;
    dm_view rest = raw->text, piece;
    const struct dm_yaml *node = listed ? raw->node->first : NULL;
    size_t room = 0;
    *ret = (struct dm_strs){0};
    while (listed ? node != NULL : dm_view_split(&rest, ',', &piece)) {
        if (listed) {
            if (node->kind != DM_YAML_SCALAR)
                return "a list within a list";
            piece = node->text;
            node = node->next;
        }
        piece = dm_view_trim(piece);
        if (piece.len == 0)
            continue;
        if (piece.len > ITEM_MAX || ret->count == ITEMS_MAX)
            return piece.len > ITEM_MAX ? "an item is too long" : "too many items";
        if (ret->count == room) {
            room = room == 0 ? 8 : 2 * room;
            ret->items = dm_mem_grow(ret->items, room, sizeof(*ret->items));
        }
        ret->items[ret->count++] = piece;
    }
    return NULL;
}

static const char *bad_item(struct dm_settings_loading *l, const char *reason, dm_view item)
{
    struct dm_buf shown;
    dm_buf_init(&shown, ITEM_MAX);
    dm_setting_show(item, ITEM_SHOWN, &shown);
    (void)snprintf(l->reason, sizeof(l->reason), "item \"%s\" %s", dm_buf_cstr(&shown), reason);
    dm_buf_done(&shown);
    return l->reason;
}

static const char *parse_csv(struct dm_settings_loading *l, const struct dm_setting_row *row,
                             const struct dm_setting_raw *raw, struct dm_strs *ret)
{
    struct dm_strs list;
    const char *reason = split_items(raw, &list);
    for (size_t i = 0; reason == NULL && i < list.count; i++) {
        const char *why = printable(list.items[i])
                              ? dm_setting_rule_check(row->allowed, list.items[i])
                              : "holds a control character";
        if (why != NULL)
            reason = bad_item(l, why, list.items[i]);
        else
            list.items[i] = dm_settings_keep_text(l->st, list.items[i]);
    }
    if (reason != NULL) {
        dm_mem_free(list.items);
        return reason;
    }
    if (list.items != NULL)
        (void)dm_settings_keep(l->st, list.items);
    *ret = list;
    return NULL;
}

static const char *parse_cidrs(struct dm_settings_loading *l, const struct dm_setting_raw *raw,
                               struct dm_address_set **ret)
{
    struct dm_strs list;
    struct dm_error err = {0};
    const char *reason = split_items(raw, &list);
    for (size_t i = 0; reason == NULL && i < list.count;
         i++) { /* one by one: the bad one is named */
        struct dm_address_set *one = NULL;
        if (dm_address_set_new(&list.items[i], 1, &one, &err) != DM_OK)
            reason = bad_item(l, "is neither an address nor a CIDR", list.items[i]);
        dm_address_set_free(one);
    }
    if (reason == NULL && list.count > 0 &&
        dm_address_set_new(list.items, list.count, ret, &err) != DM_OK)
        reason = "too many addresses";
    dm_mem_free(list.items);
    return reason;
}

/* Lists are for the list types; a map only where JSON is asked for (its text was made by the
 * reader). */
static bool shape_fits(const struct dm_setting_row *row, const struct dm_setting_raw *raw)
{
    if (raw->node == NULL || raw->node->kind == DM_YAML_SCALAR)
        return true;
    if (row->type == DM_SETTING_SECRET_JSON)
        return true;
    return raw->node->kind == DM_YAML_LIST &&
           (row->type == DM_SETTING_CSV || row->type == DM_SETTING_CIDRS ||
            row->type == DM_SETTING_PEM || row->type == DM_SETTING_SECRET);
}

static const char *parse_seconds(const struct dm_setting_row *row, dm_view text, dm_time *ret)
{
    double seconds;
    int64_t whole;
    const char *reason;
    if (row->type == DM_SETTING_WHOLE_SECONDS) {
        reason = parse_int(row, text, &whole);
        if (reason == NULL)
            *ret = whole * DM_SEC;
        return reason;
    }
    reason = parse_number(row, text, &seconds);
    if (reason == NULL)
        *ret = (dm_time)(seconds * (double)DM_SEC + 0.5);
    return reason;
}

const char *dm_setting_parse(struct dm_settings_loading *l, const struct dm_setting_row *row,
                             const struct dm_setting_raw *raw)
{
    void *m = member(l, row);
    bool flag;
    if (!shape_fits(row, raw))
        return "not a single value";
    switch (row->type) {
    case DM_SETTING_BOOL:
        return dm_setting_parse_bool(raw->text, m) ? NULL : "not a bool";
    case DM_SETTING_TRI:
        if (!dm_setting_parse_bool(raw->text, &flag))
            return "not a bool";
        *(int *)m = flag;
        return NULL;
    case DM_SETTING_INT:
    case DM_SETTING_BYTES:
        return parse_int(row, raw->text, m);
    case DM_SETTING_SECONDS:
    case DM_SETTING_WHOLE_SECONDS:
        return parse_seconds(row, raw->text, m);
    case DM_SETTING_FLOAT:
        return parse_number(row, raw->text, m);
    case DM_SETTING_ENUM:
        return parse_enum(row, raw->text, m);
    case DM_SETTING_STR:
    case DM_SETTING_PATH:
    case DM_SETTING_URL:
    case DM_SETTING_PEM:
        return parse_text(l, row, raw, m);
    case DM_SETTING_CSV:
        return parse_csv(l, row, raw, m);
    case DM_SETTING_CIDRS:
        return parse_cidrs(l, raw, m);
    case DM_SETTING_SECRET:
    case DM_SETTING_SECRET_JSON:
        return parse_secret(l, row, raw, m);
    }
    DM_UNREACHABLE();
}
