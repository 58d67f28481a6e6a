/* The front door of a program (design.md §3): N workers with a thread, a loop and a listener each,
 * sharing one public port by SO_REUSEPORT. A request goes to the probes, to the worker's guest (the
 * data plane, or nobody), to the admin part over its door, or is 404. Calls come from the program's
 * starting or control thread, one at a time, unless said otherwise. */
#pragma once

#include "io/admin_door.h"
#include "io/listener.h"
#include "io/mailbox.h"
#include "io/ops.h"

/* Whatever serves on a worker's loop beside the probes: one for every worker, its thread only. */
struct dm_front_guest {
    /* Takes the exchange over, or gives false: somebody else's path (raw, without query). */
    bool (*serve)(void *guest, struct dm_exchange *x, dm_view path);
    const struct dm_settings *(*settings)(void *guest); /* in force; borrowed for this turn */
    void (*on_turn_start)(void *guest);                 /* NULL: nothing to do */
    /* While draining, after the last connection: asked at the end of every turn until yes, so that
     * what still has to leave leaves. NULL: yes. */
    bool (*has_settled)(void *guest);
};

struct dm_front_seat { /* what a worker has for its guest */
    struct dm_loop *loop;
    struct dm_mailbox *mailbox;
    struct dm_arena_pool *arenas;
    size_t index;
};

struct dm_front_config { /* borrowed, all of it outlives the front */
    size_t n_workers;
    const char *host;
    uint16_t port;          /* 0: any, dm_front_port tells */
    size_t max_connections; /* of clients, of all workers together */
    struct dm_metrics *metrics;
    struct dm_ops *ops;
    const struct dm_clock *clock;
    const struct dm_front_guest *guest;
    /* Before the threads run; the guest of a seat is freed by free_guest, also when making a later
     * one failed. */
    enum dm_code (*make_guest)(void *ctx, const struct dm_front_seat *seat, void **ret_guest,
                               struct dm_error *err);
    void (*free_guest)(void *guest); /* its listener is gone, its loop still there */
    void (*guests_done)(
        void *ctx); /* all guests are freed, the loops not yet; NULL: nothing to do */
    /* What nobody else takes; neither: 404. A Unix socket of this process, or another process. */
    const char *admin_socket;
    const struct dm_admin_origin *admin_origin;
    void (*on_drained)(void *ctx); /* after dm_front_drain, when the last connection ended; a
                                      worker's thread */
    void *ctx;
};

struct dm_front;

/* Whose paths they are (operations.md §1; raw path, no query): the gateway's, or such as a sidecar
 * passes on to the admin. Neither: nobody's. */
bool dm_path_is_data_plane(dm_view path);
bool dm_path_is_admin(dm_view path);

/* Loops and guests, but no thread yet: what else belongs on a loop is hung there now. */
enum dm_code dm_front_new(const struct dm_front_config *c, struct dm_front **ret,
                          struct dm_error *err) DM_MUST_USE;
struct dm_loop *dm_front_loop(struct dm_front *f, size_t worker);
struct dm_mailbox *dm_front_mailbox(struct dm_front *f, size_t worker); /* any thread */
void *dm_front_guest_of(struct dm_front *f, size_t worker);
enum dm_code dm_front_start(struct dm_front *f,
                            struct dm_error *err) DM_MUST_USE; /* threads run, no port yet */
enum dm_code dm_front_listen(struct dm_front *f,
                             struct dm_error *err) DM_MUST_USE; /* all workers, or none */
uint16_t dm_front_port(const struct dm_front *f);
size_t dm_front_inflight(const struct dm_front *f); /* any thread */
/* Runs `what` on every worker's thread and waits; any thread but workers'. */
void dm_front_on_every(struct dm_front *f, void (*what)(void *guest));
/* No new connections; running requests end. Once: later calls do nothing. */
void dm_front_drain(struct dm_front *f);
void dm_front_stop(struct dm_front *f); /* cuts what still runs, ends the threads */
void dm_front_free(struct dm_front *f);
