/* From settings to a serving program, and back: what every program does, in this order. */
#include "programs/process/process.h"

#include "base/assert.h"
#include "base/fault.h"
#include "base/log.h"
#include "programs/process/commands.h"
#include "programs/process/control.h"
#include "programs/process/program.h"
#include "programs/process/reload.h"
#include "programs/process/reload_run.h"
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    LETTERS = 64, /* from workers to the control loop */
    ARENA_CHUNK = 8 * 1024,
    ARENA_KEEP = 4,
    TEXT_CAP = 1024 * 1024 /* all warnings, or all faults, of one configuration */
};

size_t process_shard(const struct process *p)
{
    return (size_t)p->settings->threads;
}

bool process_fail(const struct dm_error *err, const char *what)
{
    DM_LOG(DM_LOG_CRITICAL, DM_VIEW_NONE, what, DM_FC("reason", err->text));
    fprintf(stderr, "Failed to start server: Error: %s: %s\n", what, err->text);
    return false;
}

static void start_log(struct process *p)
{
    struct dm_log_config config;
    char *texts[2];

    process_log_config(p, p->settings, &config, texts);
    dm_log_start(&config);
    dm_mem_free(texts[0]);
    dm_mem_free(texts[1]);
}

static bool make_keys(struct process *p)
{
    struct dm_buf faults;
    bool good;

    dm_buf_init(&faults, TEXT_CAP);
    good = reload_make_keys(p->settings, p->program->role, &p->keys, &faults) == DM_OK;
    if (!good)
        fprintf(stderr, "%.*s", DM_FMT(dm_buf_view(&faults)));
    dm_buf_done(&faults);
    return good;
}

static void make_control(struct process *p)
{
    p->control = dm_loop_new(&dm_clock_system);
    p->control_box = dm_mailbox_new(p->control, LETTERS);
    p->arenas = dm_arena_pool_new(ARENA_CHUNK, ARENA_KEEP);
    p->metrics = dm_metrics_new(process_shard(p) + 1);
    p->ops.mode = p->settings->mem_or_external == DM_MEM_OR_EXTERNAL_MEM ? "memory" : "redis";
    p->ops.role = p->program->role;
    p->ops.clock = &dm_clock_system;
    p->ops.started_wall = dm_clock_wall(&dm_clock_system);
    p->ops.metrics = p->metrics;
    p->ops.before_scrape = process_gauges_read;
    p->ops.ctx = p;
    dm_metrics_limit(p->metrics, (size_t)p->settings->metrics_max_series);
    process_gauges_init(p);
}

/* Before any part: what needs no other machine. 0, or the exit code. */
static int prepare(struct process *p, const struct reload_begin *begin)
{
    if (!process_fd_limit_good(p))
        return EX_CONFIG;
    if (p->settings->production)
        prctl(PR_SET_DUMPABLE, 0); /* no core with secrets in it (operations.md §8.13.7) */
    make_control(p);
    if (!process_watch_signals(p))
        return EX_OSERR;
    if (!make_keys(p))
        return EX_CONFIG;
    p->reload = reload_new(p, begin);
    if (p->program->prepare != NULL)
        p->program->prepare(p);
    return process_open_status(p) ? 0 : EX_UNAVAILABLE;
}

/* --- starting: on a thread of its own, so that probes and signals are not kept waiting --- */

bool process_stopping(struct process *p)
{
    pthread_mutex_lock(&p->stop_lock);
    bool stopping = p->stop_asked;
    pthread_mutex_unlock(&p->stop_lock);
    return stopping;
}

bool process_pause(struct process *p, dm_time at_most)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(at_most / DM_SEC);
    until.tv_nsec += (long)(at_most % DM_SEC);
    if (until.tv_nsec >= DM_SEC) {
        until.tv_nsec -= DM_SEC;
        until.tv_sec++;
    }
    pthread_mutex_lock(&p->stop_lock);
    while (!p->stop_asked && pthread_cond_timedwait(&p->stop_cond, &p->stop_lock, &until) == 0)
        continue;
    bool stopping = p->stop_asked;
    pthread_mutex_unlock(&p->stop_lock);
    return !stopping;
}

static void on_started(struct dm_letter *l)
{
    struct process *p = DM_CONTAINER_OF(l, struct process, started_);
    char line[128];

    pthread_join(p->starter, NULL);
    p->starting = false;
    if (p->code != 0) {
        dm_loop_stop(p->control);
        return;
    }
    p->serving = true;
    dm_mem_trim();
    snprintf(line, sizeof(line), "Doorman %s listening on port %u",
             p->program->role == DM_ROLE_ALL       ? "all"
             : p->program->role == DM_ROLE_GATEWAY ? "gateway"
                                                   : "admin",
             p->program->port(p));
    DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, line);
    DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "Application startup complete");
    reload_start(p->reload);
    control_started(p);
    dm_log_flush(); /* whoever sees it ready finds how it started in the log */
    atomic_store(&p->ops.ready, true);
    if (p->stopping)
        process_begin_drain(p);
}

static void *starter(void *arg)
{
    struct process *p = arg;

    p->code = p->program->start(p);
    /* The box holds more letters than there are senders before this one. */
    if (dm_mailbox_send(p->control_box, &p->started_) != DM_OK)
        DM_UNREACHABLE();
    return NULL;
}

static int run(struct process *p)
{
    p->started_.fn = on_started;
    p->starting = true;
    if (pthread_create(&p->starter, NULL, starter, p) != 0) {
        p->starting = false;
        return EX_OSERR;
    }
    dm_loop_run(p->control);
    atomic_store(&p->ops.ready, false);
    /* Told to stop before it had come up: not a failure. */
    return p->stopping ? 0 : p->code;
}

/* --- the end: of everything that may be half-built --- */

static void end(struct process *p)
{
    reload_stop(p->reload); /* whoever waits for one is a handler that a part would wait for */
    p->program->end(p, p->serving);
    dm_listener_free(p->status);
    dm_listener_limits_free(p->status_limits);
    dm_mailbox_free(p->control_box);
    reload_free(p->reload);
    if (p->control != NULL)
        dm_loop_forget(p->control, &p->signals);
    if (p->signals.fd > 0)
        close(p->signals.fd);
    dm_loop_free(p->control);
    dm_arena_pool_free(p->arenas);
    dm_keyset_unref(p->keys);
    if (p->serving)
        DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "Graceful shutdown complete");
    dm_log_stop();
    dm_metrics_free(p->metrics);
    process_current_done(p);
    dm_settings_unref(p->settings);
    pthread_cond_destroy(&p->stop_cond);
    pthread_mutex_destroy(&p->stop_lock);
    dm_mem_free(p->host);
    control_end(p);
}

static void init_stop(struct process *p)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->stop_cond, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&p->stop_lock, NULL);
}

static bool has_files(const struct dm_settings *s)
{
    dm_view path;

    return dm_settings_file(s).len > 0 || dm_settings_watched(s, 0, &path);
}

/* The digest tells of the files before they were read, so a change while they are read is noticed
 * later: which files those are, a first load tells. */
static struct dm_settings *load(const struct program *program, const struct options *o,
                                struct dm_buf *warnings, unsigned char ret_digest[DM_SHA256_LEN])
{
    struct dm_settings *s = load_settings(program, o, warnings);

    if (s == NULL)
        return NULL;
    dm_settings_digest(s, ret_digest);
    if (!has_files(s))
        return s;
    dm_settings_unref(s);
    dm_buf_clear(warnings);
    return load_settings(program, o, warnings);
}

int process_run(const struct program *program, struct process *p, const struct options *o)
{
    unsigned char digest[DM_SHA256_LEN];
    struct dm_buf warnings;
    int code = EX_CONFIG;

    dm_fault_from_env();
    p->program = program;
    dm_buf_init(&warnings, TEXT_CAP);
    p->settings = load(program, o, &warnings, digest);
    if (p->settings != NULL) {
        process_current_init(p);
        p->host = dm_mem_text(p->settings->host);
        init_stop(p);
        start_log(p);
        const struct reload_begin begin = {
            .config_file = o->config_file, .warnings = dm_buf_view(&warnings), .digest = digest};
        code = control_take_pid_file(p, o) ? prepare(p, &begin) : EX_UNAVAILABLE;
        if (code == 0)
            code = run(p);
        end(p);
    }
    dm_buf_done(&warnings);
    return code;
}
