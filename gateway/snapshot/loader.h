/* From published policy objects to the world in force: hears of every change on its loop, compiles
 * what changed, swaps the cell. A projection that does not compile is refused, counted and logged;
 * what was in force of that object stays. Its loop's thread, or before it runs. */
#pragma once

#include "gateway/snapshot/cell.h"
#include "io/ops.h"
#include "store/live.h"

struct gw_loader;

struct gw_loader_config { /* borrowed, all of it outlives the loader */
    struct dm_loop *loop;
    struct dm_live *live;
    struct gw_snapshot_cell *cell;
    struct dm_ops *ops; /* gets the generation */
    struct dm_metrics *metrics;
    size_t shard;
};

struct gw_loader *gw_loader_new(const struct gw_loader_config *c);
void gw_loader_free(struct gw_loader *l);
