/* A running program, as far as all of them are alike: settings, keys, metrics, probes, and the
 * control loop on the main thread, which serves the status port and hears signals. Programs embed
 * it first in their own state. */
#pragma once

#include "crypto/keyset.h"
#include "io/listener.h"
#include "io/mailbox.h"
#include "io/ops.h"
#include "io/timer.h"
#include <pthread.h>

struct program;
struct options;

struct process {
    const struct program *program;
    struct dm_settings *settings;
    struct dm_keyset *keys;
    struct dm_metrics *metrics; /* a shard per worker, and one for everybody else */
    struct dm_ops ops;
    size_t max_connections;          /* as many as the descriptor limit allows */
    char *host, *log_dir, *log_file; /* NUL-ended copies of settings */
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
bool process_stopping(struct process *p); /* a signal said so; any thread */
/* Waits, at most so long; false: it was told to stop meanwhile. The starting thread. */
bool process_pause(struct process *p, dm_time at_most);
void process_drained(void *ctx); /* any thread; ctx: the process */

/* --- process.c: the life of the process, for program_main --- */
int process_run(const struct program *program, struct process *p, const struct options *o);

/* --- inside this room --- */
bool process_fd_limit_good(struct process *p);
bool process_open_status(struct process *p);
bool process_watch_signals(struct process *p);
void process_begin_drain(struct process *p); /* skips what cannot be waited for */
void process_gauges_init(struct process *p);
void process_gauges_read(void *ctx); /* before every scrape, on the scraping loop */
