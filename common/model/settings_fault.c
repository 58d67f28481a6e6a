/* How a fault reads (configuration.md §0.3): which key, why, what was found, what was expected,
 * where. Secrets are never shown, only their length. */
#include "model/settings_load.h"

#include "base/assert.h"
#include "base/redact.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/poison.h"

#define PREFIX "Failed to start server: Error: "

/* Bytes of a value shown: enough to recognise it, not enough to flood a terminal. */
enum { SHOWN_MAX = 120, PIECE_MAX = 4096, ITEMS_SHOWN = 8 };

static void show_plain(dm_view text, size_t max, struct dm_buf *out)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < text.len && i < max; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c >= 0x20 && c < 0x7f) {
            dm_buf_add_byte(out, (char)c);
        } else {
            dm_buf_add(out, DM_LIT("\\x"));
            dm_buf_add_byte(out, hex[c >> 4]);
            dm_buf_add_byte(out, hex[c & 15]);
        }
    }
    if (text.len > max)
        dm_buf_add(out, DM_LIT("..."));
}

/* A URL with credentials may stand, wrongly, in any key: what is before the last '@' and after a
 * '?' (options may hold passwords too) is never shown. */
void dm_setting_show(dm_view text, size_t max, struct dm_buf *out)
{
    size_t at = text.len;
    while (at > 0 && text.ptr[at - 1] != '@')
        at--;
    if (at > 0) {
        size_t scheme = dm_view_find(text, DM_LIT("://"));
        if (scheme < at)
            show_plain(dm_view_sub(text, 0, scheme + 3), max, out);
        dm_buf_add(out, DM_LIT("[REDACTED]@"));
    }
    dm_view rest = dm_view_sub(text, at, text.len - at);
    size_t query = dm_view_find_byte(rest, '?', 0);
    show_plain(dm_view_sub(rest, 0, query), max, out);
    if (query < rest.len)
        dm_buf_add(out, DM_LIT("?[REDACTED]"));
}

static void show_node(const struct dm_yaml *node, struct dm_buf *out)
{
    if (node->kind == DM_YAML_MAP) {
        dm_buf_add(out, DM_LIT("a mapping"));
        return;
    }
    size_t n = 0;
    for (const struct dm_yaml *item = node->first; item != NULL; item = item->next) {
        if (n > 0)
            dm_buf_add_byte(out, ',');
        if (n++ == ITEMS_SHOWN) {
            dm_buf_add(out, DM_LIT("..."));
            return;
        }
        if (item->kind == DM_YAML_SCALAR)
            dm_setting_show(item->text, SHOWN_MAX, out);
        else
            dm_buf_add(out, DM_LIT("(nested)"));
    }
}

static void show_value(const struct dm_setting_row *row, const struct dm_setting_raw *raw,
                       struct dm_buf *out)
{
    bool listed = raw->node != NULL && raw->node->kind != DM_YAML_SCALAR;
    if (!listed && raw->text.len == 0)
        dm_buf_add(out, DM_LIT("nothing"));
    else if (dm_setting_secret(row) ||
             (!listed && row->type != DM_SETTING_URL && dm_redact_value(raw->text)))
        dm_buf_addf(out, "[REDACTED] (length %zu)", raw->text.len);
    else if (listed)
        show_node(raw->node, out);
    else if (row->type == DM_SETTING_PEM)
        dm_buf_addf(out, "%zu bytes", raw->text.len);
    else
        dm_setting_show(raw->text, SHOWN_MAX, out);
}

static void show_number(double n, struct dm_buf *out)
{
    if (n == (double)(int64_t)n)
        dm_buf_add_i64(out, (int64_t)n);
    else
        dm_buf_addf(out, "%g", n);
}

static void expected_range(const struct dm_setting_row *row, struct dm_buf *out)
{
    if (row->allowed[0] != '\0')
        dm_buf_addf(out, "%s or ", row->allowed);
    dm_buf_add(out, row->type == DM_SETTING_SECONDS || row->type == DM_SETTING_FLOAT
                        ? DM_LIT("a number from ")
                        : DM_LIT("an integer from "));
    show_number(row->min, out);
    dm_buf_add(out, DM_LIT(" to "));
    show_number(row->max, out);
}

static void expected_words(const struct dm_setting_row *row, struct dm_buf *out)
{
    for (size_t i = 0; i < row->n_words; i++) {
        dm_view all = dm_view_of(row->words[i]), word;
        if (!dm_view_split(&all, ' ', &word))
            DM_UNREACHABLE();
        if (i > 0)
            dm_buf_add(out, DM_LIT(", "));
        dm_buf_add(out, word);
    }
}

void dm_setting_expected(const struct dm_setting_row *row, struct dm_buf *out)
{
    const char *rule = dm_setting_rule_expected(row->allowed);
    switch (row->type) {
    case DM_SETTING_BOOL:
    case DM_SETTING_TRI:
        dm_buf_add(out, DM_LIT("true, false, 1, 0, yes, no, on, off"));
        break;
    case DM_SETTING_INT:
    case DM_SETTING_BYTES:
    case DM_SETTING_WHOLE_SECONDS:
    case DM_SETTING_SECONDS:
    case DM_SETTING_FLOAT:
        expected_range(row, out);
        break;
    case DM_SETTING_ENUM:
        expected_words(row, out);
        break;
    case DM_SETTING_URL:
        dm_buf_addf(out, "an absolute URL, scheme one of: %s", row->allowed);
        break;
    case DM_SETTING_CIDRS:
        dm_buf_add(out, DM_LIT("IPv4 or IPv6 addresses or CIDRs, comma-separated"));
        break;
    case DM_SETTING_SECRET_JSON:
        dm_buf_add(out, DM_LIT("one JSON document"));
        break;
    case DM_SETTING_SECRET:
        if (rule == NULL) {
            dm_buf_addf(out, "%.0f to %.0f characters", row->min, row->max);
            break;
        }
        /* fall through */
    case DM_SETTING_STR:
    case DM_SETTING_PATH:
    case DM_SETTING_PEM:
    case DM_SETTING_CSV:
        dm_buf_add(out, dm_view_of(rule != NULL ? rule : "text without control characters"));
        break;
    }
}

static void add_where(const struct dm_settings_loading *l, const struct dm_setting_row *row,
                      const struct dm_setting_raw *raw, struct dm_buf *out)
{
    if (raw->origin == DM_ORIGIN_FILE)
        dm_buf_addf(out, "%.*s:%u:%u", DM_FMT(l->st->file), raw->node->line, raw->node->column);
    else
        dm_buf_add(out, raw->origin == DM_ORIGIN_ENV ? DM_LIT("env") : DM_LIT("default"));
    if (raw->from_key_file)
        dm_buf_addf(out, " (%s_FILE)", raw->name);
    else if (raw->name != row->key)
        dm_buf_addf(out, " (alias of %s)", row->key);
}

void dm_setting_fault_at(struct dm_settings_loading *l, const struct dm_settings_fault *f,
                         dm_view sentence)
{
    dm_buf_add(l->faults, DM_LIT(PREFIX));
    dm_buf_add(l->faults, sentence);
    dm_buf_add_byte(l->faults, '\n');
    l->n_faults++;
    if (l->in->on_fault != NULL)
        l->in->on_fault(l->in->ctx, f);
}

void dm_setting_fault(struct dm_settings_loading *l, const struct dm_setting_row *row,
                      const struct dm_setting_raw *raw, const char *reason, const char *expected)
{
    struct dm_buf got, want, line;
    dm_buf_init(&got, PIECE_MAX);
    dm_buf_init(&want, PIECE_MAX);
    dm_buf_init(&line, 4 * PIECE_MAX);
    show_value(row, raw, &got);
    if (expected != NULL)
        dm_buf_add(&want, dm_view_of(expected));
    else
        dm_setting_expected(row, &want);
    dm_buf_addf(&line, "%s: %s; got %.*s; expected: %.*s; from ", raw->name, reason,
                DM_FMT(dm_buf_view(&got)), DM_FMT(dm_buf_view(&want)));
    add_where(l, row, raw, &line);
    const bool in_file = raw->origin == DM_ORIGIN_FILE;
    dm_setting_fault_at(l,
                        &(struct dm_settings_fault){.key = dm_view_of(raw->name),
                                                    .reason = dm_view_of(reason),
                                                    .got = dm_buf_view(&got),
                                                    .expected = dm_buf_view(&want),
                                                    .file = in_file ? l->st->file : DM_VIEW_NONE,
                                                    .line = in_file ? raw->node->line : 0,
                                                    .column = in_file ? raw->node->column : 0},
                        dm_buf_view(&line));
    l->bad[row - l->rows] = true;
    dm_buf_done(&line);
    dm_buf_done(&want);
    dm_buf_done(&got);
}

void dm_setting_required(struct dm_settings_loading *l, const char *key, const char *sentence)
{
    dm_setting_fault_at(
        l, &(struct dm_settings_fault){.key = dm_view_of(key), .reason = dm_view_of(sentence)},
        dm_view_of(sentence));
}

__attribute__((format(printf, 2, 0))) static void add_line(struct dm_buf *out, const char *fmt,
                                                           va_list args)
{
    char text[1024];
    (void)vsnprintf(text, sizeof(text), fmt, args);
    dm_buf_add(out, dm_view_of(text));
    dm_buf_add_byte(out, '\n');
}

void dm_setting_warn(struct dm_settings_loading *l, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add_line(l->warnings, fmt, args);
    va_end(args);
}

void dm_setting_note(struct dm_settings_loading *l, const char *fmt, ...)
{
    if (l->in->notes == NULL)
        return;
    va_list args;
    va_start(args, fmt);
    add_line(l->in->notes, fmt, args);
    va_end(args);
}
