/* One load of the settings: gather from environment and file, choose by rank, parse, judge. And the
 * life of the loaded object. */
#include "model/settings_load.h"

#include "base/assert.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/poison.h"

static const char default_file[] = "/etc/doorman/config/doorman.yaml";

/* ---- what is kept ---- */

void *dm_settings_keep(struct dm_settings_storage *st, void *allocated)
{
    st->kept = dm_mem_grow(st->kept, st->n_kept + 1, sizeof(*st->kept));
    st->kept[st->n_kept++] = allocated;
    return allocated;
}

dm_view dm_settings_keep_text(struct dm_settings_storage *st, dm_view text)
{
    return dm_view_make(dm_settings_keep(st, dm_mem_text(text)), text.len);
}

void dm_settings_watch(struct dm_settings_storage *st, dm_view path)
{
    st->watched = dm_mem_grow(st->watched, st->n_watched + 1, sizeof(*st->watched));
    st->watched[st->n_watched++] = dm_settings_keep_text(st, path);
}

dm_view dm_settings_hold(struct dm_settings_loading *l, dm_view text)
{
    l->held = dm_mem_grow(l->held, l->n_held + 1, sizeof(*l->held));
    struct dm_secret *copy = &l->held[l->n_held++];
    *copy = (struct dm_secret){0};
    dm_secret_set(copy, text);
    return dm_secret_view(copy);
}

void dm_settings_wipe(struct dm_buf *b)
{
    dm_view left = dm_buf_view(b);
    if (left.len > 0)
        dm_mem_wipe((char *)(uintptr_t)left.ptr, left.len);
    dm_buf_done(b);
}

dm_view dm_settings_resolve(struct dm_settings_loading *l, dm_view path)
{
    dm_view base = l->s->doorman_data_dir;
    if (path.len == 0 || path.ptr[0] == '/' || base.len == 0 || dm_view_eq(base, DM_LIT(".")))
        return path;
    char *joined = dm_settings_keep(l->st, dm_mem_alloc(base.len + path.len + 2));
    int n = snprintf(joined, base.len + path.len + 2, "%.*s/%.*s", DM_FMT(base), DM_FMT(path));
    return dm_view_make(joined, (size_t)n);
}

/* ---- the load ---- */

static void resolve_key(struct dm_settings_loading *l, const char *key)
{
    dm_setting_choose(l, (size_t)(dm_setting_find(dm_view_of(key)) - l->rows));
}

static bool resolved_early(const char *key)
{
    static const char *const keys[] = {"DOORMAN_DATA_DIR", "DOORMAN_CONFIG_FILE", "ENV",
                                       "DOORMAN_ROLE", "MEM_OR_EXTERNAL"};
    for (size_t i = 0; i < DM_COUNT_OF(keys); i++) {
        if (dm_view_eq(dm_view_of(key), dm_view_of(keys[i])))
            return true;
    }
    return false;
}

static bool refers(const struct dm_setting_row *row)
{
    dm_view text = dm_view_of(row->fallback);
    return dm_view_find_byte(text, '$', 0) < text.len;
}

static void load_file(struct dm_settings_loading *l)
{
    if (l->in->config_file != NULL)
        dm_settings_scan_file(l, dm_view_of(l->in->config_file));
    else if (l->s->doorman_config_file.len > 0)
        dm_settings_scan_file(l, l->s->doorman_config_file);
    else if (!l->in->no_files && access(default_file, F_OK) == 0)
        dm_settings_scan_file(l, dm_view_of(default_file));
}

/* What decides about the defaults of all others. */
static void load_environment_kind(struct dm_settings_loading *l)
{
    if (l->in->force_env != NULL)
        l->env[dm_settings_slot(l, DM_LIT("ENV"))] =
            (struct dm_setting_raw){.set = true,
                                    .origin = DM_ORIGIN_ENV,
                                    .name = "ENV",
                                    .text = dm_view_of(l->in->force_env)};
    resolve_key(l, "ENV");
    l->wanted_env = l->s->env;
    if (l->in->first != NULL)
        l->s->env = l->in->first->env;
    l->s->production = l->s->env == DM_ENV_PRODUCTION;
    resolve_key(l, "DOORMAN_ROLE");
    resolve_key(l, "MEM_OR_EXTERNAL");
}

static void judge_secrets_in_file(struct dm_settings_loading *l)
{
    for (size_t i = 0; i < l->n_rows + l->n_aliases; i++) {
        const char *key = i < l->n_rows ? l->rows[i].key : l->aliases[i - l->n_rows].key;
        const struct dm_setting_row *row = key == NULL ? NULL : dm_setting_find(dm_view_of(key));
        if (row == NULL || !dm_setting_secret(row) || !l->file[i].set)
            continue;
        const char *name = l->file[i].name;
        char line[1024], reason[256];
        (void)snprintf(reason, sizeof(reason),
                       "secrets must come from the environment or %s_FILE, not from "
                       "the config file",
                       name);
        (void)snprintf(line, sizeof(line), "%.*s:%u:%u: %s: %s",
                       DM_FMT(dm_view_sub(l->st->file, 0, 512)), l->file[i].key_line,
                       l->file[i].key_column, name, reason);
        if (l->s->production)
            dm_setting_fault_at(l,
                                &(struct dm_settings_fault){.key = dm_view_of(name),
                                                            .reason = dm_view_of(reason),
                                                            .expected = DM_LIT("the environment"),
                                                            .file = l->st->file,
                                                            .line = l->file[i].key_line,
                                                            .column = l->file[i].key_column},
                                dm_view_of(line));
        else
            dm_setting_warn(l, "%s: %s", name, reason);
    }
}

static void tell_ignored(struct dm_settings_loading *l)
{
    for (size_t i = 0; i < l->n_aliases; i++) {
        const struct dm_setting_alias *a = &l->aliases[i];
        if (!l->env[l->n_rows + i].set && !l->file[l->n_rows + i].set)
            continue;
        if (a->kind == DM_ALIAS_NO_EFFECT)
            dm_setting_warn(l, "%s: accepted without effect", a->name);
        else if (a->kind == DM_ALIAS_IGNORED)
            dm_setting_note(l, "%s: accepted and ignored", a->name);
    }
}

static bool named_in_file(const struct dm_settings_loading *l, size_t row)
{
    if (l->file[row].set)
        return true;
    for (size_t i = 0; i < l->n_aliases; i++) {
        const char *key = l->aliases[i].key;
        if (key != NULL && l->file[l->n_rows + i].set &&
            dm_view_eq(dm_view_of(key), dm_view_of(l->rows[row].key)))
            return true;
    }
    return false;
}

static void load_all(struct dm_settings_loading *l)
{
    dm_settings_scan_env(l);
    resolve_key(l, "DOORMAN_DATA_DIR");
    dm_settings_scan_key_files(l);
    resolve_key(l, "DOORMAN_CONFIG_FILE");
    load_file(l);
    load_environment_kind(l);
    for (int pass = 0; pass < 2; pass++) { /* rows whose default refers to another come second */
        for (size_t i = 0; i < l->n_rows; i++) {
            if (!resolved_early(l->rows[i].key) && refers(&l->rows[i]) == (pass == 1))
                dm_setting_choose(l, i);
        }
    }
    judge_secrets_in_file(l);
    tell_ignored(l);
    dm_settings_check_pairs(l);
    dm_settings_check_guards(l);
    dm_settings_watch_key_paths(l);
    l->s->env = l->wanted_env; /* for whoever compares */
    for (size_t i = 0; i < l->n_rows; i++)
        l->st->overridden[i] = l->st->origins[i] == DM_ORIGIN_ENV && named_in_file(l, i);
}

enum dm_code dm_settings_load(const struct dm_settings_input *in, struct dm_settings **ret,
                              struct dm_buf *faults, struct dm_buf *warnings)
{
    DM_REQUIRE(in != NULL && ret != NULL && faults != NULL && warnings != NULL);
    struct dm_settings_loading l = {.in = in,
                                    .s = DM_NEW(struct dm_settings),
                                    .faults = faults,
                                    .st = DM_NEW(struct dm_settings_storage),
                                    .warnings = warnings};
    l.rows = dm_setting_rows(&l.n_rows);
    l.aliases = dm_setting_aliases(&l.n_aliases);
    l.env = dm_mem_array(l.n_rows + l.n_aliases, sizeof(*l.env));
    l.file = dm_mem_array(l.n_rows + l.n_aliases, sizeof(*l.file));
    l.raws = dm_mem_array(l.n_rows, sizeof(*l.raws));
    l.bad = dm_mem_array(l.n_rows, sizeof(*l.bad));
    l.st->origins = dm_mem_array(l.n_rows, sizeof(*l.st->origins));
    l.st->overridden = dm_mem_array(l.n_rows, sizeof(*l.st->overridden));
    atomic_init(&l.s->refs_, 1);
    l.s->storage_ = l.st;
    l.s->role = in->role;
    load_all(&l);
    for (size_t i = 0; i < l.n_held; i++)
        dm_secret_done(&l.held[i]);
    dm_mem_free(l.held);
    dm_yaml_free(l.doc);
    dm_mem_free(l.env);
    dm_mem_free(l.file);
    dm_mem_free(l.raws);
    dm_mem_free(l.bad);
    if (l.n_faults > 0 && !in->lenient) {
        dm_settings_unref(l.s);
        return DM_INVALID;
    }
    *ret = l.s;
    return l.n_faults > 0 ? DM_INVALID : DM_OK;
}

/* ---- life ---- */

struct dm_settings *dm_settings_ref(struct dm_settings *s)
{
    atomic_fetch_add_explicit(&s->refs_, 1, memory_order_relaxed);
    return s;
}

static void free_members(struct dm_settings *s)
{
    size_t n;
    const struct dm_setting_row *rows = dm_setting_rows(&n);
    for (size_t i = 0; i < n; i++) {
        void *m = (char *)s + rows[i].offset;
        if (dm_setting_secret(&rows[i]))
            dm_secret_done(m);
        else if (rows[i].type == DM_SETTING_CIDRS)
            dm_address_set_free(*(struct dm_address_set **)m);
    }
}

void dm_settings_unref(struct dm_settings *s)
{
    if (s == NULL || atomic_fetch_sub_explicit(&s->refs_, 1, memory_order_acq_rel) > 1)
        return;
    free_members(s);
    for (size_t i = 0; i < s->storage_->n_kept; i++)
        dm_mem_free(s->storage_->kept[i]);
    dm_mem_free(s->storage_->kept);
    dm_mem_free(s->storage_->watched);
    dm_mem_free(s->storage_->origins);
    dm_mem_free(s->storage_->overridden);
    dm_settings_unref(s->storage_->texts_of);
    dm_mem_free(s->storage_);
    dm_mem_free(s);
}

const char *dm_settings_origin(const struct dm_settings *s, dm_view key)
{
    static const char *const names[] = {"default", "env", "file"};
    size_t n;
    const struct dm_setting_row *row = dm_setting_find(key);
    return row == NULL ? NULL : names[s->storage_->origins[row - dm_setting_rows(&n)]];
}

dm_view dm_settings_file(const struct dm_settings *s)
{
    return s->storage_->file;
}

bool dm_settings_watched(const struct dm_settings *s, size_t index, dm_view *ret_path)
{
    if (index >= s->storage_->n_watched)
        return false;
    *ret_path = s->storage_->watched[index];
    return true;
}
