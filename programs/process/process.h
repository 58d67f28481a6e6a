/* A running program, as far as all of them are alike: settings, keys, metrics, probes, and the
 * control loop on the main thread, which serves the status port and hears signals. Programs embed
 * it first in their own state. */
#pragma once

#include "crypto/keyset.h"
#include "io/listener.h"
#include "io/mailbox.h"
#include "io/ops.h"
#include "io/timer.h"
#include "programs/process/pid_file.h"
#include <pthread.h>

struct program;
struct options;
struct reload;

struct process {
    const struct program *program;
    struct dm_settings *settings; /* what it began with: for what only a restart changes */
    /* In force. The control thread reads it freely, others by process_settings. */
    struct dm_settings *current;
    struct dm_keyset *keys; /* in force; the control thread, or while starting */
    pthread_mutex_t current_lock_;
    _Atomic uint64_t settings_number_; /* raised whenever `current` was swapped */
    struct reload *reload;
    struct pid_file pid_file;
    int notify_fd;              /* a `start` waits at its other end; 0: nobody */
    uint64_t signals_served;    /* reloads asked for by SIGHUP; control thread */
    struct dm_metrics *metrics; /* a shard per worker, and one for everybody else */
    struct dm_ops ops;
    size_t max_connections; /* as many as the descriptor limit allows */
    char *host;             /* NUL-ended copy of the setting */
    struct {
        struct dm_metric *ready, *draining, *generation, *log_dropped;
        _Atomic int64_t dropped_seen;
    } gauges;
    /* control */
    struct dm_loop *control;
    struct dm_mailbox *control_box;
    struct dm_arena_pool *arenas;
    struct dm_listener_limits_shared *status_limits;
    struct dm_listener *status;
    struct dm_io signals;
    struct dm_timer step;               /* what shutdown waits for next */
    struct dm_letter started_, drained; /* from the starting thread, from the last worker */
    pthread_t starter;
    int code; /* the exit code: of start */
    bool starting, serving, stopping;
    pthread_mutex_t stop_lock;
    pthread_cond_t stop_cond;
    bool stop_asked; /* under stop_lock: for those who wait while starting */
};

/* --- for a program's parts --- */

/* The shard of metrics for everybody but the workers. */
size_t process_shard(const struct process *p);
/* Logs and prints why something did not come up; false, for `return`. */
bool process_fail(const struct dm_error *err, const char *what);
/* Settings in force, a reference: unref it. Any thread. */
struct dm_settings *process_settings(struct process *p);
/* What one thread has of the settings: a reference of its own, renewed by process_seat_refresh. */
struct process_seat {
    struct process *process;
    struct dm_settings *settings;
    uint64_t number_;
};
void process_seat_init(struct process_seat *seat, struct process *p);
void process_seat_refresh(struct process_seat *seat); /* an atomic load where nothing changed */
void process_seat_done(struct process_seat *seat);
bool process_stopping(struct process *p); /* a signal said so; any thread */
/* Waits, at most so long; false: it was told to stop meanwhile. The starting thread. */
bool process_pause(struct process *p, dm_time at_most);
void process_drained(void *ctx); /* any thread; ctx: the process */

/* --- process.c: the life of the process, for program_main --- */
int process_run(const struct program *program, struct process *p, const struct options *o);

/* --- inside this room --- */
/* From now on they are in force, everywhere; references of its own. Control thread. */
void process_take_over(struct process *p, struct dm_settings *s, struct dm_keyset *keys);
void process_current_init(struct process *p);
void process_current_done(struct process *p);
struct dm_log_config;
/* As settings say; strings are held by `ret_texts`, for dm_mem_free after use. */
void process_log_config(const struct process *p, const struct dm_settings *s,
                        struct dm_log_config *ret, char *ret_texts[2]);
bool process_fd_limit_good(struct process *p);
bool process_open_status(struct process *p);
bool process_watch_signals(struct process *p);
void process_begin_drain(struct process *p); /* skips what cannot be waited for */
void process_gauges_init(struct process *p);
void process_gauges_read(void *ctx); /* before every scrape, on the scraping loop */
