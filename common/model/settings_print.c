/* A loaded value back to text: for --print-settings, the configuration routes and the lines of a
 * reload. */
#include "model/settings_load.h"

#include "base/assert.h"
#include "codec/json.h"
#include "crypto/equal.h"

#include <stdio.h>

#include "base/poison.h"

enum { VALUE_MAX = 4 * 1024 * 1024 };

static void write_list(const struct dm_strs *list, struct dm_buf *out)
{
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0)
            dm_buf_add_byte(out, ',');
        dm_buf_add(out, list->items[i]);
    }
}

static void write_addresses(const struct dm_address_set *set, struct dm_buf *out)
{
    for (size_t i = 0; i < dm_address_set_count(set); i++) {
        if (i > 0)
            dm_buf_add_byte(out, ',');
        dm_buf_add(out, dm_address_set_text(set, i));
    }
}

static void write_word(const struct dm_setting_row *row, int index, struct dm_buf *out)
{
    DM_REQUIRE(index >= 0 && (size_t)index < row->n_words);
    dm_view all = dm_view_of(row->words[index]), word;
    if (!dm_view_split(&all, ' ', &word))
        DM_UNREACHABLE();
    dm_buf_add(out, word);
}

void dm_setting_write(const struct dm_settings *s, const struct dm_setting_row *row,
                      struct dm_buf *out)
{
    const void *m = (const char *)s + row->offset;
    switch (row->type) {
    case DM_SETTING_BOOL:
        dm_buf_add(out, *(const bool *)m ? DM_LIT("true") : DM_LIT("false"));
        return;
    case DM_SETTING_TRI:
        if (*(const int *)m >= 0)
            dm_buf_add(out, *(const int *)m == 1 ? DM_LIT("true") : DM_LIT("false"));
        return;
    case DM_SETTING_INT:
    case DM_SETTING_BYTES:
        dm_buf_add_i64(out, *(const int64_t *)m);
        return;
    case DM_SETTING_SECONDS:
    case DM_SETTING_WHOLE_SECONDS:
        dm_buf_addf(out, "%.10g", (double)*(const dm_time *)m / (double)DM_SEC);
        return;
    case DM_SETTING_FLOAT:
        dm_buf_addf(out, "%.10g", *(const double *)m);
        return;
    case DM_SETTING_ENUM:
        write_word(row, *(const int *)m, out);
        return;
    case DM_SETTING_STR:
    case DM_SETTING_PATH:
    case DM_SETTING_URL:
    case DM_SETTING_PEM:
        dm_buf_add(out, *(const dm_view *)m);
        return;
    case DM_SETTING_CSV:
        write_list(m, out);
        return;
    case DM_SETTING_CIDRS:
        write_addresses(*(struct dm_address_set *const *)m, out);
        return;
    case DM_SETTING_SECRET:
    case DM_SETTING_SECRET_JSON:
        dm_buf_add(out, dm_secret_view(m));
        return;
    }
    DM_UNREACHABLE();
}

void dm_settings_value(const struct dm_settings *s, const struct dm_setting_row *row,
                       struct dm_buf *out)
{
    const void *m = (const char *)s + row->offset;
    if (dm_setting_secret(row)) {
        if (!dm_secret_empty(m))
            dm_buf_add(out, DM_LIT("[REDACTED]"));
    } else if (row->type == DM_SETTING_PEM && ((const dm_view *)m)->len > 0) {
        dm_buf_addf(out, "(%zu bytes)", ((const dm_view *)m)->len); /* lines do not fit in a line */
    } else if (row->type == DM_SETTING_URL) {
        dm_setting_show(*(const dm_view *)m, VALUE_MAX, out);
    } else {
        dm_setting_write(s, row, out);
    }
}

bool dm_settings_same(const struct dm_settings *a, const struct dm_settings *b,
                      const struct dm_setting_row *row)
{
    struct dm_buf left, right;
    dm_buf_init(&left, VALUE_MAX);
    dm_buf_init(&right, VALUE_MAX);
    dm_setting_write(a, row, &left);
    dm_setting_write(b, row, &right);
    bool same = dm_equal_secret(dm_buf_view(&left), dm_buf_view(&right));
    dm_settings_wipe(&left);
    dm_settings_wipe(&right);
    return same;
}

/* Bools and numbers are written as JSON writes them. */
static bool json_as_text(enum dm_setting_type type)
{
    return type >= DM_SETTING_ENUM;
}

static void print_json(const struct dm_settings *s, const struct dm_setting_row *rows, size_t n,
                       struct dm_buf *out)
{
    struct dm_buf value;
    bool first = true;
    dm_buf_init(&value, VALUE_MAX);
    dm_buf_add_byte(out, '{');
    for (size_t i = 0; i < n; i++) {
        if (!dm_setting_read_by(&rows[i], s->role))
            continue;
        if (!first)
            dm_buf_add_byte(out, ',');
        first = false;
        dm_buf_clear(&value);
        dm_settings_value(s, &rows[i], &value);
        dm_json_write_str(dm_view_of(rows[i].key), out);
        dm_buf_add_byte(out, ':');
        if (dm_buf_view(&value).len == 0)
            dm_buf_add(out, DM_LIT("null"));
        else if (json_as_text(rows[i].type))
            dm_json_write_str(dm_buf_view(&value), out);
        else
            dm_buf_add(out, dm_buf_view(&value));
    }
    dm_buf_add_byte(out, '}');
    dm_buf_done(&value);
}

void dm_settings_print(const struct dm_settings *s, bool json, struct dm_buf *out)
{
    size_t n;
    const struct dm_setting_row *rows = dm_setting_rows(&n);
    if (json) {
        print_json(s, rows, n, out);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (!dm_setting_read_by(&rows[i], s->role))
            continue;
        dm_buf_addf(out, "%s = ", rows[i].key);
        dm_settings_value(s, &rows[i], out);
        dm_buf_addf(out, " (%s)\n", dm_settings_origin(s, dm_view_of(rows[i].key)));
    }
}
