/* Time. dm_time is int64 nanoseconds: monotonic for deadlines, wall (Unix) only for logs, tokens
 * and windows. Code never asks the system: it asks a clock it was given, so tests inject one. */
#pragma once

#include <stdint.h>
#include "base/view.h"

typedef int64_t dm_time;
#define DM_US ((dm_time)1000)
#define DM_MS (1000 * DM_US)
#define DM_SEC (1000 * DM_MS)
#define DM_NEVER INT64_MAX

struct dm_clock {
    dm_time (*mono)(void *ctx); /* ns since an arbitrary start, never backwards */
    dm_time (*wall)(void *ctx); /* ns since 1970-01-01 UTC */
    void *ctx;
};

extern const struct dm_clock dm_clock_system;
static inline dm_time dm_clock_mono(const struct dm_clock *c)
{
    return c->mono(c->ctx);
}
static inline dm_time dm_clock_wall(const struct dm_clock *c)
{
    return c->wall(c->ctx);
}

/* A clock that stands still until moved. Any thread may move it (atomic). */
struct dm_clock_manual {
    struct dm_clock clock; /* pass &manual.clock */
    _Atomic int64_t mono_, wall_;
};
void dm_clock_manual_init(struct dm_clock_manual *m, dm_time mono, dm_time wall);
void dm_clock_manual_step(struct dm_clock_manual *m, dm_time by);      /* both */
/* wall only: a stepped clock */
void dm_clock_manual_step_wall(struct dm_clock_manual *m, dm_time by);

enum { DM_HTTP_DATE_LEN = 29, DM_ISO_LEN = 20, DM_STAMP_LEN = 16 };
/* RFC 9110 §5.6.7 IMF-fixdate */
void dm_time_http_date(dm_time wall, char out[DM_HTTP_DATE_LEN + 1]);
void dm_time_iso(dm_time wall, char out[DM_ISO_LEN + 1]);             /* 2024-01-15T10:30:00Z */
void dm_time_stamp(dm_time wall, char out[DM_STAMP_LEN + 1]);         /* 20240115T103000Z */
bool dm_time_from_iso(dm_view text, dm_time *ret_wall);               /* the form of dm_time_iso */
