/* One worker of the data plane: everything a request needs, owned by one loop and shared with
 * nobody. What outlives a policy swap (whose turn it is, circuits) sits in slots that keep their
 * number across snapshots. Loop thread only; a process runs several. */
#pragma once

#include "gateway/metrics.h"
#include "gateway/request.h"
#include "gateway/snapshot/cell.h"
#include "gateway/tally.h"
#include "gateway/upstream/breaker.h"
#include "model/watch.h"

struct gw_worker_config { /* borrowed, all of it outlives the worker */
    struct dm_loop *loop;
    struct dm_live *live; /* this loop's handle */
    struct gw_snapshot_cell *cell;
    struct dm_arena_pool *arenas;
    struct dm_metrics *metrics;
    size_t shard;
    size_t n_workers;                   /* connections to upstreams are shared out evenly */
    const struct dm_settings *settings; /* for what is fixed at start */
};

struct gw_slot {   /* of a pool or an API: dm_policy_pool.slot, dm_policy_api.slot */
    uint32_t turn; /* round robin */
    struct gw_breaker breaker;
};

struct gw_slab { /* requests in use and free; chunks are kept, so a steady load allocates nothing */
    struct gw_request **chunks;
    size_t n_chunks;
    uint32_t *free_slots;
    size_t n_free, in_use;
};
void gw_slab_done(struct gw_slab *s);

struct gw_worker {
    struct dm_loop *loop;
    struct dm_live *live;
    struct dm_http_client *client;
    struct gw_principals *principals;
    struct gw_snapshot_reader *reader;
    struct dm_jwt_cache *tokens;
    struct dm_sealing *sealing; /* opens keys of credit definitions and users */
    dm_time told_no_definition; /* monotonic: when last said; 0: never */
    struct dm_watch *watch;     /* of this worker alone: limits are per worker */
    struct gw_metrics metrics;
    struct gw_tally *tally;
    dm_time told_lost; /* monotonic: when a lost record was last told; 0: never */
    struct gw_slab requests;
    struct gw_slot *slots;
    size_t n_slots, n_workers;
    struct dm_buf scratch;              /* for one step, cleared by who takes it */
    struct dm_settings *settings; /* seen last; held, so that its address is not used again */
    struct {
        dm_time second;
        char text[32];
    } log_time;      /* renewed once a second */
    dm_time started; /* monotonic: uptime */
};

enum dm_code gw_worker_new(const struct gw_worker_config *c, struct gw_worker **ret,
                           struct dm_error *err) DM_MUST_USE;
/* After its listener is gone: no request runs any more (DM_REQUIRE). */
void gw_worker_free(struct gw_worker *w);
size_t gw_worker_inflight(const struct gw_worker *w);
/* Turns and circuits back to their start (DELETE /api/caches). */
void gw_worker_forget(struct gw_worker *w);

struct gw_slot *gw_worker_slot(struct gw_worker *w, uint32_t slot);
/* Now, as combined access lines write it; until the next call. */
dm_view gw_worker_log_time(struct gw_worker *w);

/* Takes the exchange: a path of the data plane (dm_path_is_data_plane). */
void gw_serve(struct gw_worker *w, struct dm_exchange *x);
