/* A whole plane with real threads: four workers on one port, live state in memory owned by the
 * first, a loader, an upstream on a thread of its own, blocking clients. The clock stands still, so
 * no window ends and no deadline passes; waiting is for events only. */
#pragma once

#include "gateway/plane.h"
#include "rig.h"

#include <pthread.h>
#include <semaphore.h>

enum { PLANE_WORKERS = 4, PLANE_UPSTREAM_CONNS = 128 };

struct plane_upstream {
    int listener, wake;
    uint16_t port;
    pthread_t id;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    size_t n_requests;
    bool held, stopping; /* held: reads, answers when released */
};

struct plane_tap { /* a worker's live store, which counts the calls that worker admits */
    struct dm_live base;
    struct dm_live *real;
    _Atomic size_t n_admits;
};

struct plane_rig {
    struct dm_clock_manual clock;
    struct dm_settings *settings;
    struct dm_keyset *keys;
    struct dm_metrics *metrics;
    struct dm_ops ops;
    struct dm_live_memory *memory;
    struct dm_live_admin *admin;
    struct gw_snapshot_cell *cell;
    struct gw_plane *plane;
    struct gw_loader *loader;
    struct plane_tap taps[PLANE_WORKERS];
    struct plane_upstream up;
    _Atomic size_t n_drained;
    sem_t drained;
};

int plane_rig_port(uint16_t *ret_port); /* a listening socket on loopback, not blocking */

/* Threads run; API demo/v1 with GET /items, users bob and eve, both subscribed. No port yet. */
void plane_rig_init(struct plane_rig *r, uint16_t port);
void plane_rig_done(struct plane_rig *r);
void plane_rig_publish(struct plane_rig *r, const char *kind, const char *id, const char *json);
void plane_rig_user(struct plane_rig *r, const char *username, const char *more);
void plane_rig_api(struct plane_rig *r, const char *more);
int plane_rig_setup(void **state); /* and listens */
int plane_rig_teardown(void **state);

size_t plane_rig_requests(struct plane_rig *r); /* that reached the upstream */
void plane_rig_wait_requests(struct plane_rig *r, size_t n);
void plane_rig_hold(struct plane_rig *r, bool held);

/* A blocking client, for any thread: it tells, the test's own thread asserts. */
struct plane_client {
    int fd;
    char request[4096], in[16 * 1024];
    size_t len;
    bool last; /* the answer said Connection: close */
};
bool plane_client_open(struct plane_client *c, struct plane_rig *r, const char *username);
/* A connection that this worker serves; bob makes one call on it to find out. Nobody else may be
 * calling. */
void plane_client_open_at(struct plane_client *c, struct plane_rig *r, const char *username,
                          size_t worker);
void plane_client_send(struct plane_client *c);
int plane_client_receive(struct plane_client *c); /* status; 0: closed without a whole answer */
int plane_client_call(struct plane_client *c);
bool plane_client_closed(struct plane_client *c); /* waits for the other side to close */
void plane_client_close(struct plane_client *c);
