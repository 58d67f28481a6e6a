/* The data plane of a process: the pipeline as guest of the front door's workers (io/front.h), with
 * a live handle and a worker of its own on each loop. Calls come from the program's starting or
 * control thread unless said otherwise. */
#pragma once

#include "gateway/snapshot/cell.h"
#include "io/front.h"
#include "store/live.h"

struct gw_plane_config { /* borrowed, all of it outlives the plane */
    size_t n_workers;
    const char *host;
    uint16_t port;          /* 0: any, gw_plane_port tells */
    size_t max_connections; /* of clients, of all workers together */
    struct gw_snapshot_cell *cell;
    const struct dm_settings *settings; /* for what is fixed at start */
    struct dm_metrics *metrics;
    struct dm_ops *ops;
    const struct dm_clock *clock;
    struct dm_live *(*live)(void *ctx, size_t worker,
                            struct dm_loop *loop); /* that loop's handle; owned by us */
    void (*live_done)(
        void *ctx); /* all handles are freed, the loops not yet: what lives on a loop ends now */
    const char *admin_socket;                       /* NULL: no admin part in this process */
    const struct dm_admin_origin *admin_origin;     /* NULL too: admin paths are 404 */
    bool (*is_admin)(dm_view method, dm_view path); /* of the paths under /api: which go to the
                                                       admin part; NULL: none */
    void (*on_drained)(
        void *ctx); /* after gw_plane_drain, when the last connection ended; a worker's thread */
    void *ctx;
};

struct gw_plane;

/* Loops, live handles and workers, but no thread yet: what else belongs on a loop is hung there
 * now. */
enum dm_code gw_plane_new(const struct gw_plane_config *c, struct gw_plane **ret,
                          struct dm_error *err) DM_MUST_USE;
struct dm_loop *gw_plane_loop(struct gw_plane *p, size_t worker);
struct dm_mailbox *gw_plane_mailbox(struct gw_plane *p, size_t worker); /* any thread */
struct dm_live *gw_plane_live(struct gw_plane *p,
                              size_t worker); /* that loop's handle; its thread */
enum dm_code gw_plane_start(struct gw_plane *p,
                            struct dm_error *err) DM_MUST_USE; /* threads run, no port yet */
enum dm_code gw_plane_listen(struct gw_plane *p,
                             struct dm_error *err) DM_MUST_USE; /* all workers, or none */
uint16_t gw_plane_port(const struct gw_plane *p);
size_t gw_plane_inflight(const struct gw_plane *p); /* any thread */
/* No new connections; running requests end. Once: later calls do nothing. */
void gw_plane_drain(struct gw_plane *p);
void gw_plane_forget(
    struct gw_plane *p); /* turns and circuits back to their start; any thread but workers' */
void gw_plane_stop(struct gw_plane *p); /* cuts what still runs, ends the threads */
void gw_plane_free(struct gw_plane *p);
