/* The data plane in a program: snapshot cell, plane, loader, wired to whatever live backend the
 * program chose. Shared by doorman-gateway and doorman. */
#pragma once

#include "gateway/plane.h"
#include "gateway/snapshot/loader.h"
#include "programs/process/process.h"

struct gateway_part {
    struct gw_snapshot_cell *cell;
    struct gw_plane *plane;
    struct gw_loader *loader;
};

struct gateway_part_config {
    struct dm_live *(*live)(void *ctx, size_t worker, struct dm_loop *loop);
    void (*live_done)(void *ctx); /* handles are freed, loops not yet */
    void *ctx;
    const char *admin_socket;                   /* see gw_plane_config */
    const struct dm_admin_origin *admin_origin; /* outlives the part */
    bool (*is_admin)(dm_view method, dm_view path);
};

/* Threads run, the port is not open yet. False: a sentence was logged. */
bool gateway_part_make(struct gateway_part *g, struct process *p,
                       const struct gateway_part_config *c);
bool gateway_part_listen(struct gateway_part *g);
void gateway_part_take_over(struct gateway_part *g, struct dm_settings *s, struct dm_keyset *keys);
void gateway_part_stop(struct gateway_part *g); /* ends the threads; half-made ones too */
void gateway_part_free(struct gateway_part *g);
