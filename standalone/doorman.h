/* The whole process: what it is made of and how it lives. Main thread; the plane and the admin
 * server have threads of their own. */
#pragma once

#include "admin/app.h"
#include "gateway/plane.h"
#include "gateway/snapshot/loader.h"
#include "io/admin_server.h"
#include "io/listener.h"
#include "io/mailbox.h"
#include "io/timer.h"
#include "store/dump.h"
#include <limits.h>

struct doorman {
    struct dm_settings *settings;
    struct dm_keyset *keys;
    struct dm_metrics *metrics;
    struct dm_ops ops;
    struct {
        struct dm_metric *ready, *draining, *generation, *log_dropped;
        _Atomic int64_t dropped_seen;
    } gauges;
    /* control: signals, the status port, shutdown */
    struct dm_loop *control;
    struct dm_mailbox *control_box;
    struct dm_arena_pool *arenas;
    struct dm_listener_limits_shared *status_limits;
    struct dm_listener *status;
    struct dm_io signals;
    struct dm_timer step;     /* what shutdown waits for next */
    struct dm_letter drained; /* from the last worker */
    bool stopping;
    size_t max_connections; /* as many as the descriptor limit allows */
    /* data plane */
    struct gw_snapshot_cell *cell;
    struct gw_plane *plane;
    struct gw_loader *loader;
    /* stores, memory mode */
    struct dm_live_memory *live_memory;
    struct dm_live_admin *live_admin;
    struct dm_documents *documents;
    char *dump_path, *host, *log_dir, *log_file; /* NUL-ended copies of settings */
    /* admin part */
    struct adm_app *app;
    struct dm_admin_server *server;
    char socket_dir[64], socket_path[96];
};

/* shutdown.c: signals and the steps of operations.md §8.16 */
bool doorman_watch_signals(struct doorman *d);
void doorman_on_drained(void *ctx); /* a worker's thread */

/* gauges.c */
void doorman_gauges_init(struct doorman *d);
void doorman_gauges_read(void *ctx); /* before every scrape, on the scraping loop */

/* dump_job.c */
bool doorman_restore(struct doorman *d); /* false: a sentence was logged, exit 78 */
void doorman_dump(struct doorman *d);    /* blocking; logs what happened */
