/* What a worker counts for the admin's figures (operations.md §8.2, gateway.md §25): a few adds a
 * call in tables of its own, made once. Every METRICS_FLUSH_MS what came together leaves as one
 * record of one minute through store/live_stream.h, and counting begins anew. Nothing is kept here
 * that was sent. Loop thread of its worker. */
#pragma once

#include "io/timer.h"
#include "model/latency.h"
#include "store/live_stream.h"

struct gw_tally;

struct gw_tally_config { /* borrowed, outlives the tally */
    struct dm_loop *loop;
    struct dm_live *live;
    /* Told how many records of a stream were lost: now, and why it must be known. */
    void (*on_lost)(void *ctx, enum dm_stream s, size_t n);
    void *ctx;
};
struct gw_tally *gw_tally_new(const struct gw_tally_config *c);
void gw_tally_free(struct gw_tally *t); /* what was not flushed goes */

struct gw_tally_call { /* one finished call */
    dm_view protocol;  /* "rest" */
    dm_view api;       /* "name/version"; empty: none was found */
    uint32_t api_slot;
    dm_view user; /* empty: nobody known */
    int status;
    enum dm_err refusal; /* ours; ERR_NONE */
    bool test, upstream_timeout;
    unsigned retries;
    dm_time took;
    uint64_t bytes_in, bytes_out;
};
/* flush: METRICS_FLUSH_MS. */
void gw_tally_add(struct gw_tally *t, const struct gw_tally_call *c, dm_time flush);
void gw_tally_flush(struct gw_tally *t); /* now, whatever came together */
/* An event of the audit trail, a JSON object: on its way at once. */
void gw_tally_audit(struct gw_tally *t, dm_view record);
