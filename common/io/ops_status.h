/* The body of /api/status (operations.md §8.1, C5), the same from every program. Any thread; reads
 * /proc, which does not block. */
#pragma once

#include "base/clock.h"
#include "base/view.h"

#include <stddef.h>

enum { DM_OPS_STATUS_MAX = 512 };

struct dm_ops_status {
    const char *mode, *mongodb, *redis;
    dm_time up;
    size_t active; /* calls under way */
};

/* What it gives lies in text. */
dm_view dm_ops_status_text(const struct dm_ops_status *s, char text[DM_OPS_STATUS_MAX]);
