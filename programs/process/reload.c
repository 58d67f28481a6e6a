#include "programs/process/reload.h"

#include "base/assert.h"
#include "base/log.h"
#include "crypto/random.h"
#include "io/file_watch.h"
#include "io/kube_events.h"
#include "io/offload.h"
#include "programs/process/control.h"
#include "programs/process/process.h"
#include "programs/process/program.h"
#include "programs/process/reload_event.h"
#include "programs/process/reload_report.h"
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENT "config.reload"

enum {
    FILES_MAX = 256, /* configuration, certificates, and keys in files of their own */
    ENTRY_CAP = 64 * 1024
};

struct reload {
    struct process *p;
    char *config_file; /* of the first load; a file that is missing later is a fault then */
    pthread_mutex_t lock;
    pthread_cond_t ended;
    char announcement[sizeof EVENT + 1 + DM_UUID_LEN];
    /* under lock */
    unsigned pending;     /* enum reload_source: who asked and is not served yet */
    uint64_t asked, done; /* tickets: up to which one was asked for, up to which one was served */
    bool closed;
    struct dm_json *report;
    /* control thread */
    struct dm_io bell; /* eventfd: somebody asked */
    bool started, running;
    uint64_t covers; /* the tickets that the running one serves */
    uint64_t generation;
    struct dm_offload *offload;
    struct dm_job job;
    struct reload_run run;
    struct dm_file_watch *watch;
    struct reload_gauges gauges;
    struct dm_kube_events *kube;  /* NULL: Kubernetes is not told */
    struct dm_kube_event *failed; /* made by the thread of the job, sent by the control thread */
};

/* --- asking --- */

static void ring(struct reload *r)
{
    const uint64_t one = 1;
    ssize_t n = write(r->bell.fd, &one, sizeof one);

    (void)n; /* full: it rings already */
}

static uint64_t ask(struct reload *r, enum reload_source source)
{
    pthread_mutex_lock(&r->lock);
    r->pending |= source;
    const uint64_t ticket = ++r->asked;
    pthread_mutex_unlock(&r->lock);
    ring(r);
    return ticket;
}

void reload_ask(struct reload *r, enum reload_source source)
{
    ask(r, source);
}

dm_view reload_announcement(const struct reload *r)
{
    return dm_view_of(r->announcement);
}

void reload_hear(struct reload *r, dm_view event)
{
    dm_view rest = event, word = DM_VIEW_NONE;

    (void)dm_view_split(&rest, ' ', &word);
    if (dm_view_eq(word, DM_LIT(EVENT)) && !dm_view_eq(event, reload_announcement(r)))
        ask(r, RELOAD_EVENT);
}

struct dm_json *reload_and_wait(struct reload *r, enum reload_source source)
{
    const uint64_t ticket = ask(r, source);
    struct dm_json *report = NULL;

    pthread_mutex_lock(&r->lock);
    while (r->done < ticket && !r->closed)
        pthread_cond_wait(&r->ended, &r->lock);
    if (r->done >= ticket)
        report = dm_json_clone(r->report);
    pthread_mutex_unlock(&r->lock);
    return report;
}

struct dm_json *reload_report(struct reload *r)
{
    pthread_mutex_lock(&r->lock);
    struct dm_json *report = dm_json_clone(r->report);
    pthread_mutex_unlock(&r->lock);
    return report;
}

/* --- a run --- */

/* Faults in full only as far as an entry has room; the log has them all. */
static void record_failure(struct reload *r)
{
    struct dm_json *o = dm_json_new_object();
    char time[DM_ISO_LEN + 1], host[HOST_NAME_MAX + 1] = "";
    struct dm_buf text;

    (void)gethostname(host, sizeof host - 1);
    dm_time_iso(dm_clock_wall(&dm_clock_system), time);
    dm_json_set_str(o, DM_LIT("type"), DM_LIT(EVENT));
    dm_json_set_str(o, DM_LIT("status"), DM_LIT("failure"));
    dm_json_set_str(o, DM_LIT("time"), dm_view_make(time, DM_ISO_LEN));
    dm_json_set_str(o, DM_LIT("process"), dm_view_of(r->p->program->name));
    dm_json_set_str(o, DM_LIT("pod"), dm_view_of(host));
    dm_json_set_str(o, DM_LIT("source"), dm_view_of(reload_source_name(r->run.sources)));
    dm_json_set_i64(o, DM_LIT("generation"), (int64_t)r->generation);
    dm_json_set(o, DM_LIT("errors"), dm_json_clone(r->run.errors));
    dm_buf_init(&text, ENTRY_CAP);
    dm_json_write(o, &text);
    if (!dm_buf_ok(&text)) {
        dm_json_remove(o, DM_LIT("errors"));
        dm_buf_clear(&text);
        dm_json_write(o, &text);
    }
    r->p->program->record(r->p, dm_buf_view(&text));
    dm_buf_done(&text);
    dm_json_free(o);
}

/* On the thread of the job; the generation changes only after it. */
static void work(struct dm_job *j)
{
    struct reload *r = DM_CONTAINER_OF(j, struct reload, job);

    reload_run(&r->run);
    if (r->run.outcome != RELOAD_FAILED)
        return;
    if (r->p->program->record != NULL)
        record_failure(r);
    if (r->kube != NULL)
        r->failed = reload_event_new(r->kube, r->run.errors, r->generation);
}

/* One at a time; whoever asked until now is served by this one. */
static void start_run(struct reload *r)
{
    struct process *p = r->p;

    if (!r->started || r->running)
        return;
    pthread_mutex_lock(&r->lock);
    const unsigned sources = r->pending;
    r->pending = 0;
    r->covers = r->asked;
    pthread_mutex_unlock(&r->lock);
    if (sources == 0)
        return;
    r->run.sources = sources;
    r->run.config_file = r->config_file;
    r->run.role = p->program->role;
    r->run.first = p->settings;
    r->run.current = p->current;
    r->run.keys = p->keys;
    r->running = true;
    if (dm_offload_ask(r->offload, &r->job, p->control_box) != DM_OK)
        DM_UNREACHABLE(); /* the only one who asks, and one at a time */
}

static struct dm_json *last_reload(struct reload *r)
{
    struct dm_json *o = dm_json_new_object();
    char time[DM_ISO_LEN + 1];

    dm_time_iso(dm_clock_wall(&dm_clock_system), time);
    dm_json_set_str(o, DM_LIT("time"), dm_view_make(time, DM_ISO_LEN));
    dm_json_set_str(o, DM_LIT("source"), dm_view_of(reload_source_name(r->run.sources)));
    dm_json_set_str(o, DM_LIT("result"),
                    r->run.outcome == RELOAD_LOADED ? DM_LIT("success") : DM_LIT("failure"));
    dm_json_set(o, DM_LIT("errors"), dm_json_clone(r->run.errors));
    return o;
}

/* Takes changed and kept; NULL: as the report before. */
static struct dm_json *make_report(struct reload *r, struct dm_json *changed, struct dm_json *kept)
{
    struct dm_json *o = dm_json_new_object();
    const struct dm_json *before = dm_json_get(r->report, DM_LIT("restart_required"));

    dm_json_set_i64(o, DM_LIT("generation"), (int64_t)r->generation);
    dm_json_set_bool(o, DM_LIT("ok"), r->run.outcome == RELOAD_LOADED);
    dm_json_set(o, DM_LIT("changed"), changed != NULL ? changed : dm_json_new_array());
    dm_json_set(o, DM_LIT("restart_required"),
                kept != NULL     ? kept
                : before != NULL ? dm_json_clone(before)
                                 : dm_json_new_array());
    dm_json_set(o, DM_LIT("overridden_by_env"), reload_overridden(r->p->current));
    dm_json_set(o, DM_LIT("errors"),
                r->run.errors != NULL ? dm_json_clone(r->run.errors) : dm_json_new_array());
    dm_json_set(o, DM_LIT("last_reload"),
                r->run.errors != NULL ? last_reload(r) : dm_json_new_null());
    return o;
}

static void publish_report(struct reload *r, struct dm_json *report)
{
    pthread_mutex_lock(&r->lock);
    struct dm_json *old = r->report;
    r->report = report;
    pthread_mutex_unlock(&r->lock);
    dm_json_free(old);
}

static void set_watch(struct reload *r)
{
    const struct dm_settings *s = r->p->current;
    dm_view paths[FILES_MAX];
    size_t n = 0;

    if (r->watch == NULL)
        return;
    if (dm_settings_file(s).len > 0)
        paths[n++] = dm_settings_file(s);
    for (size_t i = 0; n < FILES_MAX && dm_settings_watched(s, i, &paths[n]); i++)
        n++;
    if (!dm_file_watch_set(r->watch, paths, n))
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE,
               "not every directory of the settings' files can be watched; they are polled");
}

static bool same_log(const struct dm_settings *a, const struct dm_settings *b)
{
    size_t n;
    const struct dm_setting_row *rows = dm_setting_rows(&n);

    for (size_t i = 0; i < n; i++) {
        if (dm_view_starts(dm_view_of(rows[i].key), DM_LIT("LOG_")) &&
            !dm_settings_same(a, b, &rows[i]))
            return false;
    }
    return true;
}

static void set_log(struct process *p, const struct dm_settings *s)
{
    struct dm_log_config config;
    char *texts[2];

    process_log_config(p, s, &config, texts);
    dm_log_reconfigure(&config);
    dm_mem_free(texts[0]);
    dm_mem_free(texts[1]);
}

static void take_over(struct reload *r)
{
    struct process *p = r->p;
    struct reload_run *run = &r->run;
    struct dm_settings *old = dm_settings_ref(p->current); /* until it was compared */
    struct dm_json *changed = reload_changed(old, run->settings);
    /* What the reload says about itself is heard before the log gets quieter, or after it got
     * louder. */
    const bool logs_differ = !same_log(old, run->settings);
    const bool quieter = run->settings->log_level > old->log_level;

    r->generation++;
    process_take_over(p, run->settings, run->new_keys);
    if (logs_differ && !quieter)
        set_log(p, run->settings);
    reload_log_warnings(dm_buf_view(&run->warnings));
    reload_log_changes(old, run);
    reload_gauges_loaded(&r->gauges, old, run->settings, dm_buf_view(&run->warnings), run->n_kept,
                         r->generation, dm_clock_wall(&dm_clock_system));
    publish_report(r, make_report(r, changed, reload_kept(run)));
    control_tell_reload(p, r->report, (run->sources & RELOAD_SIGHUP) != 0);
    set_watch(r);
    if (run->other_files)
        reload_ask(r, RELOAD_FILE); /* the digest is of the files before: they are read once more */
    DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "Configuration reload complete",
           DM_FI("generation", r->generation));
    if (logs_differ && quieter)
        set_log(p, run->settings);
    dm_settings_unref(old);
}

static void keep_old(struct reload *r)
{
    reload_log_faults(r->run.errors, r->generation);
    reload_gauges_failed(&r->gauges);
    if (r->failed != NULL)
        dm_kube_events_send(r->kube, DM_TAKE(r->failed));
    publish_report(r, make_report(r, NULL, NULL));
    control_tell_reload(r->p, r->report, (r->run.sources & RELOAD_SIGHUP) != 0);
}

static void on_ended(struct dm_job *j)
{
    struct reload *r = DM_CONTAINER_OF(j, struct reload, job);

    r->running = false;
    if (r->started) {
        if (r->run.outcome == RELOAD_LOADED)
            take_over(r);
        else if (r->run.outcome == RELOAD_FAILED)
            keep_old(r);
        if (r->run.outcome != RELOAD_UNCHANGED)
            reload_audit(&r->run, dm_settings_file(r->p->current), r->generation);
    }
    reload_run_done(&r->run);
    pthread_mutex_lock(&r->lock);
    r->done = r->covers;
    pthread_cond_broadcast(&r->ended);
    pthread_mutex_unlock(&r->lock);
    start_run(r);
}

static void on_bell(struct dm_io *io, uint32_t events)
{
    uint64_t n;

    (void)events;
    if (read(io->fd, &n, sizeof n) == (ssize_t)sizeof n)
        start_run(DM_CONTAINER_OF(io, struct reload, bell));
}

static void on_change(void *ctx)
{
    reload_ask(ctx, RELOAD_FILE);
}

/* --- life --- */

/* A file mounted by itself (subPath) is never replaced by the kubelet. */
static void warn_of_mount(dm_view file)
{
    char line[4096];
    FILE *mounts = fopen("/proc/self/mountinfo", "re");

    while (mounts != NULL && fgets(line, sizeof line, mounts) != NULL) {
        dm_view rest = dm_view_of(line), field = DM_VIEW_NONE;

        for (int i = 0; i < 5; i++)
            (void)dm_view_split(&rest, ' ', &field);
        if (dm_view_eq(field, file))
            DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE,
                   "the configuration file is a mount of its own (subPath): edits of its "
                   "ConfigMap never reach it; mount the directory instead",
                   DM_F("file", file));
    }
    if (mounts != NULL)
        fclose(mounts);
}

struct reload *reload_new(struct process *p, const struct reload_begin *begin)
{
    struct reload *r = DM_NEW(struct reload);
    const struct dm_settings *s = p->current;

    r->p = p;
    if (begin->config_file != NULL || dm_settings_file(s).len > 0)
        r->config_file = dm_mem_text(begin->config_file != NULL ? dm_view_of(begin->config_file)
                                                                : dm_settings_file(s));
    char instance[DM_UUID_LEN + 1];
    dm_random_uuid(instance);
    (void)snprintf(r->announcement, sizeof r->announcement, EVENT " %s", instance);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->ended, NULL);
    r->generation = 1;
    r->job.work = work;
    r->job.on_done = on_ended;
    r->bell = (struct dm_io){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .fn = on_bell};
    DM_REQUIRE(r->bell.fd >= 0);
    dm_loop_watch_level(p->control, &r->bell, EPOLLIN);
    memcpy(r->run.digest, begin->digest, sizeof r->run.digest);
    reload_gauges_init(&r->gauges, p->metrics, process_shard(p));
    reload_gauges_loaded(&r->gauges, NULL, s, begin->warnings, 0, r->generation,
                         dm_clock_wall(&dm_clock_system));
    r->run.outcome = RELOAD_LOADED;
    r->report = make_report(r, NULL, NULL);
    reload_log_warnings(begin->warnings);
    DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "Configuration loaded", DM_F("file", dm_settings_file(s)),
           DM_FI("generation", r->generation),
           DM_FI("overridden_by_env",
                 dm_json_len(dm_json_get(r->report, DM_LIT("overridden_by_env")))));
    warn_of_mount(dm_settings_file(s));
    r->kube = reload_events_new(p);
    return r;
}

void reload_start(struct reload *r)
{
    struct process *p = r->p;
    const struct dm_settings *s = p->settings;
    const struct dm_file_watch_config config = {.loop = p->control,
                                                .debounce = s->config_debounce_ms * DM_MS,
                                                .poll = s->config_poll_seconds,
                                                .on_change = on_change,
                                                .ctx = r};

    r->offload = dm_offload_new(1, 1);
    r->started = true;
    if (s->config_watch) {
        r->watch = dm_file_watch_new(&config);
        set_watch(r);
        reload_ask(r, RELOAD_FILE); /* what changed while it started */
    }
    start_run(r); /* for whoever asked while it started */
}

void reload_stop(struct reload *r)
{
    if (r == NULL)
        return;
    r->started = false;
    pthread_mutex_lock(&r->lock);
    r->closed = true;
    pthread_cond_broadcast(&r->ended);
    pthread_mutex_unlock(&r->lock);
    dm_file_watch_free(DM_TAKE(r->watch));
    if (r->offload != NULL)
        dm_offload_free(DM_TAKE(r->offload));
}

void reload_free(struct reload *r)
{
    if (r == NULL)
        return;
    dm_loop_forget(r->p->control, &r->bell);
    close(r->bell.fd);
    reload_run_done(&r->run);
    reload_gauges_done(&r->gauges);
    dm_kube_event_free(r->failed);
    dm_kube_events_free(r->kube);
    dm_json_free(r->report);
    pthread_cond_destroy(&r->ended);
    pthread_mutex_destroy(&r->lock);
    dm_mem_free(r->config_file);
    dm_mem_free(r);
}
