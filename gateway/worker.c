#include "gateway/worker.h"

#include "base/assert.h"
#include "base/log.h"
#include "crypto/sealed.h"
#include "gateway/pipeline.h"
#include <stdio.h>
#include <time.h>

enum {
    /* What CACHE_MAX_SIZE allows of memory for each entry. A user of a dozen subscriptions is
     * larger than that, and some have hundreds: then fewer are kept. */
    USER_BYTES = 800,
    TOKEN_CACHE = 4096,          /* 1.6 MB at most; a hit saves 11 us (RS256), 1 us (HS256) */
    ANSWER_HEAD_MAX = 32 * 1024, /* of an upstream; as much as a client may send by default */
    SCRATCH_MAX =
        512 * 1024 /* an upstream head or a log line: above MAX_HEADER_BYTES' own maximum */
};

/* --- settings that are hot --- */

static const dm_time LOST_AGAIN = 60 * DM_SEC; /* a line a minute; the metric counts them all */

static size_t share(int64_t of_process, size_t n_workers)
{
    const size_t all = (size_t)of_process;
    return all == 0 ? 0 : (all + n_workers - 1) / n_workers;
}

/* CACHE_MAX_SIZE is the process's. */
static void limit_principals(struct gw_worker *w)
{
    const struct dm_settings *s = w->settings;

    gw_principals_limit(w->principals, share(s->cache_max_size, w->n_workers),
                        s->cache_ttl * DM_SEC);
    gw_principals_limit_bytes(w->principals, share(s->cache_max_size * USER_BYTES, w->n_workers));
}

static void notice_settings(struct gw_worker *w)
{
    struct dm_settings *s = gw_snapshot_world(w->reader)->settings;

    if (s == w->settings)
        return;
    dm_settings_unref(w->settings);
    w->settings = dm_settings_ref(s);
    dm_sealing_unref(w->sealing);
    w->sealing = dm_sealing_new(&s->token_encryption_key);
    dm_http_client_limit(w->client, share(s->http_max_connections, w->n_workers),
                         share(s->http_max_keepalive, w->n_workers), s->http_keepalive_expiry);
    limit_principals(w);
}

/* --- the door --- */

void gw_serve(struct gw_worker *w, struct dm_exchange *x)
{
    notice_settings(w);
    gw_pipeline_start(w, x);
}

/* --- slots --- */

struct gw_slot *gw_worker_slot(struct gw_worker *w, uint32_t slot)
{
    if (slot >= w->n_slots) { /* a policy grew: rare, and never shrinks */
        const size_t n = 2 * (size_t)slot + 16;
        w->slots = dm_mem_grow(w->slots, n, sizeof *w->slots);
        for (size_t i = w->n_slots; i < n; i++)
            w->slots[i] = (struct gw_slot){0};
        w->n_slots = n;
    }
    return &w->slots[slot];
}

void gw_worker_forget(struct gw_worker *w)
{
    for (size_t i = 0; i < w->n_slots; i++)
        w->slots[i] = (struct gw_slot){0};
    gw_principals_clear(w->principals);
}

/* --- small services --- */

dm_view gw_worker_log_time(struct gw_worker *w)
{
    const dm_time second = dm_loop_wall(w->loop) / DM_SEC;

    if (second != w->log_time.second || w->log_time.text[0] == '\0') {
        const time_t t = (time_t)second;
        struct tm tm;
        gmtime_r(&t, &tm);
        strftime(w->log_time.text, sizeof w->log_time.text, "%d/%b/%Y:%H:%M:%S +0000", &tm);
        w->log_time.second = second;
    }
    return dm_view_of(w->log_time.text);
}

size_t gw_worker_inflight(const struct gw_worker *w)
{
    return w->requests.in_use;
}

/* A full line: the admin or the store has been away for long. */
static void on_lost(void *ctx, enum dm_stream s, size_t n)
{
    struct gw_worker *w = ctx;
    const dm_time now = dm_loop_now(w->loop);

    gw_metrics_count_by(&w->metrics,
                        s == DM_STREAM_METRICS ? GW_COUNT_LOST_METRICS : GW_COUNT_LOST_AUDIT, n);
    if (w->told_lost != 0 && now - w->told_lost < LOST_AGAIN)
        return;
    w->told_lost = now;
    DM_LOG(DM_LOG_ERROR, DM_VIEW_NONE, "records for the admin lost",
           DM_F("stream", dm_stream_name(s)));
}

/* --- birth and end --- */

enum dm_code gw_worker_new(const struct gw_worker_config *c, struct gw_worker **ret,
                           struct dm_error *err)
{
    const struct dm_settings *s = c->settings;
    const struct dm_http_client_config client = {
        .loop = c->loop,
        .arenas = c->arenas,
        .max_connections = share(s->http_max_connections, c->n_workers),
        .max_keepalive = share(s->http_max_keepalive, c->n_workers),
        .keepalive_expiry = s->http_keepalive_expiry,
        .max_head = ANSWER_HEAD_MAX,
        .metrics = c->metrics,
        .shard = c->shard,
    };
    struct gw_worker *w = DM_NEW(struct gw_worker);

    DM_REQUIRE(c->n_workers > 0);
    w->loop = c->loop;
    w->live = c->live;
    w->n_workers = c->n_workers;
    w->reader = gw_snapshot_reader_new(c->cell);
    w->principals =
        gw_principals_new(c->loop, c->live, (size_t)s->cache_max_size, s->cache_ttl * DM_SEC);
    gw_principals_gauge(w->principals,
                        dm_metric_get(c->metrics, DM_GAUGE, "doorman_users_cached", "",
                                      "Users kept with their subscriptions, of all workers.", NULL,
                                      0),
                        c->shard);
    w->tokens = dm_jwt_cache_new(TOKEN_CACHE);
    w->sealing = dm_sealing_new(&s->token_encryption_key);
    w->watch = dm_watch_new();
    dm_buf_init(&w->scratch, SCRATCH_MAX);
    w->started = dm_clock_mono(dm_loop_clock(c->loop));
    gw_metrics_init(&w->metrics, c->metrics, c->shard);
    w->tally = gw_tally_new(
        &(struct gw_tally_config){.loop = c->loop, .live = c->live, .on_lost = on_lost, .ctx = w});
    if (dm_http_client_new(&client, &w->client, err) != DM_OK) {
        gw_worker_free(w);
        return DM_UNAVAILABLE;
    }
    *ret = w;
    return DM_OK;
}

void gw_worker_free(struct gw_worker *w)
{
    if (w == NULL)
        return;
    DM_REQUIRE(w->requests.in_use == 0);
    dm_http_client_free(w->client);
    gw_principals_free(w->principals);
    gw_snapshot_reader_free(w->reader);
    dm_jwt_cache_free(w->tokens);
    dm_sealing_unref(w->sealing);
    gw_tally_free(w->tally);
    gw_metrics_done(&w->metrics);
    dm_watch_free(w->watch);
    dm_settings_unref(w->settings);
    gw_slab_done(&w->requests);
    dm_buf_done(&w->scratch);
    dm_mem_free(w->slots);
    dm_mem_free(w);
}
