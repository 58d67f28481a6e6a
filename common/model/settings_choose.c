/* Which value a key gets: environment over file over default, at each level the key over its
 * aliases (configuration.md §0.2, §2.14). */
#include "model/settings_load.h"

#include "base/assert.h"

#include <stdio.h>

#include "base/poison.h"

static struct dm_setting_raw *slots(struct dm_settings_loading *l, enum dm_setting_origin level)
{
    return level == DM_ORIGIN_ENV ? l->env : l->file;
}

/* The alias's value in the words of its key; false when it says nothing. */
static bool translate(struct dm_settings_loading *l, const struct dm_setting_alias *a,
                      const struct dm_setting_raw *from, struct dm_setting_raw *ret)
{
    bool flag;
    int64_t n;
    *ret = *from;
    switch (a->kind) {
    case DM_ALIAS_SAME:
        return true;
    case DM_ALIAS_SECONDS:
        if (dm_parse_i64(from->text, 0, INT32_MAX, &n)) {
            char text[32];
            int len = snprintf(text, sizeof(text), "%lld", (long long)n * 1000);
            ret->text = dm_settings_hold(l, dm_view_make(text, (size_t)len));
        }
        return true;
    case DM_ALIAS_FAIL_OPEN:
        if (dm_setting_parse_bool(from->text, &flag))
            ret->text = flag ? DM_LIT("open") : DM_LIT("closed");
        return true;
    case DM_ALIAS_MEMORY:
        ret->text = DM_LIT("MEM");
        return dm_setting_parse_bool(from->text, &flag) && flag;
    case DM_ALIAS_DEBUG:
        ret->text = DM_LIT("DEBUG");
        return dm_setting_parse_bool(from->text, &flag) && flag && !l->s->production;
    case DM_ALIAS_IGNORED:
    case DM_ALIAS_NO_EFFECT:
        return false;
    }
    DM_UNREACHABLE();
}

static struct dm_setting_raw choose_at(struct dm_settings_loading *l, size_t row,
                                       enum dm_setting_origin level)
{
    struct dm_setting_raw best = slots(l, level)[row], other;
    const char *key = l->rows[row].key;
    for (size_t i = 0; i < l->n_aliases; i++) {
        const struct dm_setting_alias *a = &l->aliases[i];
        const struct dm_setting_raw *raw = &slots(l, level)[l->n_rows + i];
        if (!raw->set || a->key == NULL || !dm_view_eq(dm_view_of(a->key), dm_view_of(key)) ||
            !translate(l, a, raw, &other))
            continue;
        if (!best.set) {
            best = other;
            dm_setting_note(l, "%s: taken from its alias %s", key, a->name);
        } else if (!dm_view_eq(best.text, other.text)) {
            dm_setting_warn(l, "%s: differs from its alias %s; %s wins", key, a->name, best.name);
        }
    }
    return best;
}

static struct dm_setting_raw choose(struct dm_settings_loading *l, size_t row)
{
    struct dm_setting_raw best = choose_at(l, row, DM_ORIGIN_ENV);
    struct dm_setting_raw below = choose_at(l, row, DM_ORIGIN_FILE);
    return best.set ? best : below;
}

/* ---- defaults ---- */

static bool holds(const struct dm_settings_loading *l, dm_view condition)
{
    static const char *const roles[] = {"all", "gateway", "admin"};
    static const char *const envs[] = {"development", "test", "production"};
    if (dm_view_eq(condition, DM_LIT("mem")))
        return l->s->mem_or_external == DM_MEM_OR_EXTERNAL_MEM;
    if (dm_view_eq(condition, DM_LIT("external")))
        return l->s->mem_or_external != DM_MEM_OR_EXTERNAL_MEM;
    return dm_view_eq(condition, dm_view_of(roles[l->in->role])) ||
           dm_view_eq(condition, dm_view_of(envs[l->s->env]));
}

/* "plain @production json @test off": the last part whose condition holds. */
static dm_view default_of(const struct dm_settings_loading *l, const struct dm_setting_row *row)
{
    dm_view rest = dm_view_of(row->fallback);
    size_t at = dm_view_find(rest, DM_LIT(" @"));
    dm_view text = dm_view_sub(rest, 0, at);
    while (at < rest.len) {
        rest = dm_view_sub(rest, at + 2, rest.len);
        at = dm_view_find(rest, DM_LIT(" @"));
        dm_view part = dm_view_sub(rest, 0, at);
        size_t blank = dm_view_find_byte(part, ' ', 0);
        if (holds(l, dm_view_sub(part, 0, blank)))
            text = dm_view_sub(part, blank + 1, part.len);
    }
    return text;
}

/* "$KEY" and "http://localhost:$PORT": the value of another row, already chosen. */
static dm_view expand(struct dm_settings_loading *l, dm_view text)
{
    size_t at = dm_view_find_byte(text, '$', 0), end = at + 1;
    if (at == text.len)
        return text;
    while (end < text.len &&
           (text.ptr[end] == '_' || (text.ptr[end] >= '0' && text.ptr[end] <= '9') ||
            (text.ptr[end] >= 'A' && text.ptr[end] <= 'Z')))
        end++;
    const struct dm_setting_row *from = dm_setting_find(dm_view_sub(text, at + 1, end - at - 1));
    DM_REQUIRE(from != NULL);
    struct dm_buf out;
    dm_buf_init(&out, DM_SETTINGS_FILE_MAX);
    dm_buf_add(&out, dm_view_sub(text, 0, at));
    dm_setting_write(l->s, from, &out);
    dm_buf_add(&out, dm_view_sub(text, end, text.len));
    dm_view whole = dm_settings_hold(l, dm_buf_view(&out));
    dm_settings_wipe(&out);
    return whole;
}

static void set_default(struct dm_settings_loading *l, const struct dm_setting_row *row)
{
    if (row->type == DM_SETTING_TRI)
        *(int *)((char *)l->s + row->offset) = -1;
    if (row->fallback == NULL)
        return;
    struct dm_setting_raw raw = {
        .origin = DM_ORIGIN_DEFAULT, .name = row->key, .text = expand(l, default_of(l, row))};
    if (raw.text.len == 0)
        return;
    const char *reason = dm_setting_parse(l, row, &raw);
    if (reason != NULL) /* only where a default depends on this machine or on another value */
        dm_setting_fault(l, row, &raw, reason, NULL);
}

void dm_setting_choose(struct dm_settings_loading *l, size_t i)
{
    const struct dm_setting_row *row = &l->rows[i];
    struct dm_setting_raw raw = choose(l, i);
    l->raws[i] = raw;
    l->st->origins[i] = raw.set ? (unsigned char)raw.origin : DM_ORIGIN_DEFAULT;
    if (!raw.set) {
        set_default(l, row);
        return;
    }
    const char *reason =
        raw.text.len == 0 && row->type == DM_SETTING_STR ? NULL : dm_setting_parse(l, row, &raw);
    if (reason != NULL) {
        dm_setting_fault(l, row, &raw, reason, NULL);
        set_default(l, row);
    } else if (row->type == DM_SETTING_PATH && row->reload == 'F') {
        dm_settings_watch(l->st, *(dm_view *)((char *)l->s + row->offset));
    }
}
