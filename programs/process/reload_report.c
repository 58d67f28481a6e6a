#include "programs/process/reload_report.h"

#include "base/log.h"
#include "programs/process/reload.h"

enum {
    LINE_CAP = 64 * 1024, /* the log cuts what is longer than its own maximum */
    LABELS_CAP = 1024,
    END_MAX = 96 /* "N more in the log; keeping generation N" */
};

static dm_view member(const struct dm_json *o, dm_view name)
{
    return dm_json_str(dm_json_get(o, name));
}

/* --- metrics --- */

static struct dm_metric *get(struct reload_gauges *g, enum dm_metric_kind kind, const char *name,
                             const char *labels, const char *help)
{
    return dm_metric_get(g->metrics, kind, name, labels, help, NULL, 0);
}

void reload_gauges_init(struct reload_gauges *g, struct dm_metrics *m, size_t shard)
{
    static const char runs[] = "doorman_config_reload_total", help[] = "Reloads by their result";
    size_t n;

    *g = (struct reload_gauges){.metrics = m, .shard = shard};
    g->generation = get(g, DM_GAUGE, "doorman_config_generation", "",
                        "Generation of the settings in force, 1 at the start");
    g->success = get(g, DM_COUNTER, runs, "result=\"success\"", help);
    g->failure = get(g, DM_COUNTER, runs, "result=\"failure\"", help);
    g->successful = get(g, DM_GAUGE, "doorman_config_last_reload_successful", "",
                        "1 unless the last reload failed");
    g->success_time = get(g, DM_GAUGE, "doorman_config_last_reload_success_timestamp_seconds", "",
                          "When settings were last taken over");
    g->restart_required = get(g, DM_GAUGE, "doorman_config_restart_required", "",
                              "Settings that changed, but only a restart takes over");
    dm_setting_rows(&n);
    g->warned = dm_mem_array(n, sizeof *g->warned);
}

void reload_gauges_done(struct reload_gauges *g)
{
    dm_mem_free(DM_TAKE(g->warned));
}

static void set_keyed(struct reload_gauges *g, const char *name, const char *key, const char *help,
                      double value)
{
    struct dm_buf labels;

    dm_buf_init(&labels, LABELS_CAP);
    dm_metric_label(&labels, "key", dm_view_of(key));
    dm_metric_set(get(g, DM_GAUGE, name, dm_buf_cstr(&labels), help), value);
    dm_buf_done(&labels);
}

static void set_warning(struct reload_gauges *g, const char *key, double value)
{
    set_keyed(g, "doorman_config_warning", key, "1: a warning about this setting", value);
}

static void note_warnings(struct reload_gauges *g, dm_view warnings)
{
    size_t n;
    const struct dm_setting_row *rows = dm_setting_rows(&n), *row;
    dm_view line;

    for (size_t i = 0; i < n; i++) {
        if (g->warned[i])
            set_warning(g, rows[i].key, 0);
        g->warned[i] = false;
    }
    while (dm_view_split(&warnings, '\n', &line)) {
        row = dm_setting_find(dm_view_sub(line, 0, dm_view_find_byte(line, ':', 0)));
        if (row == NULL)
            continue;
        g->warned[row - rows] = true;
        set_warning(g, row->key, 1);
    }
}

static void note_secrets(struct reload_gauges *g, const struct dm_settings *old,
                         const struct dm_settings *s, dm_time wall)
{
    size_t n;
    const struct dm_setting_row *rows = dm_setting_rows(&n);

    for (size_t i = 0; i < n; i++) {
        if (!dm_setting_secret(&rows[i]) || !dm_setting_read_by(&rows[i], s->role) ||
            dm_secret_empty((const void *)((const char *)s + rows[i].offset)) ||
            (old != NULL && dm_settings_same(old, s, &rows[i])))
            continue;
        set_keyed(g, "doorman_key_loaded_timestamp_seconds", rows[i].key,
                  "When this secret was taken over", (double)(wall / DM_SEC));
    }
}

void reload_gauges_loaded(struct reload_gauges *g, const struct dm_settings *old,
                          const struct dm_settings *s, dm_view warnings, size_t restart_required,
                          uint64_t generation, dm_time wall)
{
    note_warnings(g, warnings);
    note_secrets(g, old, s, wall);
    dm_metric_set(g->generation, (double)generation);
    dm_metric_set(g->successful, 1);
    dm_metric_set(g->success_time, (double)(wall / DM_SEC));
    dm_metric_set(g->restart_required, (double)restart_required);
    if (old != NULL)
        dm_metric_add(g->success, g->shard, 1);
}

void reload_gauges_failed(struct reload_gauges *g)
{
    dm_metric_add(g->failure, g->shard, 1);
    dm_metric_set(g->successful, 0);
}

/* --- lists of keys --- */

struct dm_json *reload_changed(const struct dm_settings *old, const struct dm_settings *s)
{
    struct dm_json *list = dm_json_new_array();
    size_t n;
    const struct dm_setting_row *rows = dm_setting_rows(&n);

    for (size_t i = 0; i < n; i++) {
        if (dm_setting_read_by(&rows[i], s->role) && !dm_settings_same(old, s, &rows[i]))
            dm_json_push(list, dm_json_new_str(dm_view_of(rows[i].key)));
    }
    return list;
}

struct dm_json *reload_overridden(const struct dm_settings *s)
{
    struct dm_json *list = dm_json_new_array();
    size_t n;
    const struct dm_setting_row *rows = dm_setting_rows(&n);

    for (size_t i = 0; i < n; i++) {
        if (dm_setting_read_by(&rows[i], s->role) && dm_settings_overridden(s, &rows[i]))
            dm_json_push(list, dm_json_new_str(dm_view_of(rows[i].key)));
    }
    return list;
}

struct dm_json *reload_kept(const struct reload_run *run)
{
    struct dm_json *list = dm_json_new_array();
    size_t n;
    const struct dm_setting_row *rows = dm_setting_rows(&n);

    for (size_t i = 0; i < n; i++) {
        if (run->kept[i])
            dm_json_push(list, dm_json_new_str(dm_view_of(rows[i].key)));
    }
    return list;
}

const char *reload_source_name(unsigned sources)
{
    return sources & RELOAD_HTTP     ? "http"
           : sources & RELOAD_SIGHUP ? "sighup"
           : sources & RELOAD_EVENT  ? "event"
                                     : "file";
}

/* --- log --- */

void reload_log_warnings(dm_view warnings)
{
    dm_view line;

    while (dm_view_split(&warnings, '\n', &line)) {
        if (line.len > 0)
            dm_log(DM_LOG_WARNING, DM_VIEW_NONE, line, NULL, 0);
    }
}

static void log_change(const struct dm_settings *old, const struct dm_settings *s,
                       const struct dm_setting_row *row)
{
    struct dm_buf line;

    dm_buf_init(&line, LINE_CAP);
    dm_buf_addf(&line, "Config changed: %s = ", row->key);
    if (dm_setting_secret(row)) {
        dm_buf_add(&line, DM_LIT("[REDACTED]"));
    } else {
        dm_settings_value(old, row, &line);
        dm_buf_add(&line, DM_LIT(" -> "));
        dm_settings_value(s, row, &line);
    }
    dm_log(DM_LOG_INFO, DM_VIEW_NONE, dm_buf_view(&line), NULL, 0);
    dm_buf_done(&line);
}

void reload_log_changes(const struct dm_settings *old, const struct reload_run *run)
{
    size_t n;
    const struct dm_setting_row *rows = dm_setting_rows(&n);

    for (size_t i = 0; i < n; i++) {
        if (!dm_setting_read_by(&rows[i], run->settings->role))
            continue;
        if (!dm_settings_same(old, run->settings, &rows[i]))
            log_change(old, run->settings, &rows[i]);
        if (run->kept[i])
            DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "Config changed, but a restart is needed",
                   DM_FC("key", rows[i].key));
    }
}

/* FILE:LINE:COLUMN: KEY: reason; expected what; */
static void add_fault(struct dm_buf *out, const struct dm_json *e)
{
    const int64_t at = dm_json_i64(dm_json_get(e, DM_LIT("line")), 0);

    if (member(e, DM_LIT("file")).len > 0)
        dm_buf_addf(out, "%.*s:", DM_FMT(member(e, DM_LIT("file"))));
    if (at > 0)
        dm_buf_addf(out, "%lld:%lld:", (long long)at,
                    (long long)dm_json_i64(dm_json_get(e, DM_LIT("column")), 0));
    if (member(e, DM_LIT("file")).len > 0)
        dm_buf_add_byte(out, ' ');
    dm_buf_addf(out, "%.*s: %.*s; ", DM_FMT(member(e, DM_LIT("key"))),
                DM_FMT(member(e, DM_LIT("reason"))));
    if (member(e, DM_LIT("expected")).len > 0)
        dm_buf_addf(out, "expected %.*s; ", DM_FMT(member(e, DM_LIT("expected"))));
}

void reload_log_faults(const struct dm_json *errors, uint64_t generation)
{
    struct dm_buf line;

    dm_buf_init(&line, LINE_CAP);
    for (const struct dm_json *e = dm_json_first(errors); e != NULL; e = dm_json_next(e)) {
        dm_buf_clear(&line);
        dm_buf_add(&line, DM_LIT("Configuration reload failed: "));
        add_fault(&line, e);
        dm_buf_addf(&line, "keeping generation %llu", (unsigned long long)generation);
        dm_log(DM_LOG_ERROR, DM_VIEW_NONE, dm_buf_view(&line), NULL, 0);
    }
    dm_buf_done(&line);
}

void reload_write_faults(const struct dm_json *errors, uint64_t generation, size_t max,
                         struct dm_buf *out)
{
    size_t left = dm_json_len(errors), room = max - END_MAX;
    struct dm_buf line;

    dm_buf_init(&line, LINE_CAP);
    for (const struct dm_json *e = dm_json_first(errors); e != NULL; e = dm_json_next(e)) {
        dm_buf_clear(&line);
        add_fault(&line, e);
        if (dm_buf_view(&line).len > room && dm_buf_view(out).len > 0)
            break;
        const dm_view part = dm_view_sub(dm_buf_view(&line), 0, room);
        dm_buf_add(out, part);
        room -= part.len;
        left--;
    }
    dm_buf_done(&line);
    if (left > 0)
        dm_buf_addf(out, "%zu more in the log; ", left);
    dm_buf_addf(out, "keeping generation %llu", (unsigned long long)generation);
}

/* Over HTTP it is in the trail already, with the user who asked. */
void reload_audit(const struct reload_run *run, dm_view file, uint64_t generation)
{
    struct dm_json *details;
    struct dm_buf text;

    if ((run->sources & RELOAD_HTTP) != 0)
        return;
    details = dm_json_new_object();
    dm_json_set_str(details, DM_LIT("source"), dm_view_of(reload_source_name(run->sources)));
    dm_json_set_i64(details, DM_LIT("generation"), (int64_t)generation);
    dm_json_set_i64(details, DM_LIT("faults"), (int64_t)dm_json_len(run->errors));
    dm_buf_init(&text, DM_LOG_JSON_MAX);
    dm_json_write(details, &text);
    dm_log(DM_LOG_AUDIT, DM_VIEW_NONE, DM_LIT("config.reload"),
           (const struct dm_log_field[]){
               DM_FC("username", "system"),
               DM_FC("action", "config.reload"),
               DM_FC("event_type", "config.reload"),
               DM_F("target", file),
               DM_FC("status", run->outcome == RELOAD_LOADED ? "success" : "failure"),
               DM_FJ("details", dm_buf_view(&text)),
           },
           6);
    dm_buf_done(&text);
    dm_json_free(details);
}
