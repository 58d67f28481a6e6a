#include "admin/jobs/collector.h"

#include "admin/services/figures.h"
#include "admin/services/trail.h"
#include "base/log.h"
#include <stdio.h>
#include <time.h>

/* A request shows in the figures within 2 s: a second in the gateway, the rest here. */
static const dm_time LOOK_EVERY = 250 * DM_MS, AGAIN = DM_SEC;
static const dm_time ROLL_UP_EVERY = 60 * DM_SEC;
static const dm_time TELL_EVERY = 60 * DM_SEC; /* of what is dropped; the metric counts it all */
static const dm_time VERIFY_EVERY = 3600 * DM_SEC; /* and once at the start */
enum {
    VERIFY_AT_ONCE = 200 /* records between two looks at the streams */
};

struct adm_collector {
    struct adm_app *app;
    pthread_t thread;
    pthread_mutex_t lock; /* guards stopping */
    pthread_cond_t cond;
    bool stopping;
    bool told;            /* the thread's own: that storing does not work */
    pthread_mutex_t work; /* held for a round; guards what follows */
    struct dm_metric *taken[DM_STREAMS], *dropped[DM_STREAMS], *intact;
    dm_time rolled_up, verify_at;     /* monotonic: when last, when next */
    dm_time told_dropped[DM_STREAMS]; /* monotonic: when last; 0: never */
    struct adm_trail_walk walk;
    bool walking;
};

static bool is_stopping(struct adm_collector *c)
{
    pthread_mutex_lock(&c->lock);
    const bool stop = c->stopping;
    pthread_mutex_unlock(&c->lock);
    return stop;
}

/* --- streams --- */

static struct dm_json *read_event(const struct dm_live_entry *e)
{
    dm_view instance;
    int64_t number;

    return adm_figures_id(e->id, &instance, &number) ? adm_trail_read(e->record) : NULL;
}

/* A batch that a stop cuts short comes again, to this admin or another. */
static enum dm_code apply_events(struct adm_collector *c, const struct dm_live_batch *b,
                                 size_t *ret_dropped, struct dm_error *err)
{
    struct adm_app *app = c->app;
    enum dm_code rc = DM_OK;

    *ret_dropped = 0;
    for (size_t i = 0; i < b->n && rc == DM_OK; i++) {
        DM_DEFER(dm_json_freep) struct dm_json *record = read_event(&b->entries[i]);

        if (is_stopping(c))
            return DM_FAIL(err, DM_AGAIN, ERR_NONE, "stopping");
        if (record != NULL)
            rc = adm_trail_append(app, record, b->entries[i].id, err);
        if (record == NULL || rc == DM_INVALID || rc == DM_LIMIT) { /* the store takes it never */
            ++*ret_dropped;
            rc = DM_OK;
        }
    }
    return rc;
}

static enum dm_code apply(struct adm_collector *c, enum dm_stream s, const struct dm_live_batch *b,
                          size_t *ret_dropped, struct dm_error *err)
{
    const int64_t now = dm_clock_wall(adm_clock(c->app)) / DM_SEC;

    return s == DM_STREAM_METRICS ? adm_figures_apply(c->app, b, now, ret_dropped, err)
                                  : apply_events(c, b, ret_dropped, err);
}

static void tell_dropped(struct adm_collector *c, enum dm_stream s, size_t n)
{
    const dm_time now = dm_clock_mono(&dm_clock_system);

    if (n == 0)
        return;
    dm_metric_add(c->dropped[s], 0, (int64_t)n);
    if (c->told_dropped[s] != 0 && now - c->told_dropped[s] < TELL_EVERY)
        return;
    c->told_dropped[s] = now;
    DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "records of gateways dropped",
           DM_F("stream", dm_stream_name(s)), DM_FI("records", n));
}

/* One batch; *ret_n how many it had. What fails comes again. */
static enum dm_code collect(struct adm_collector *c, enum dm_stream s, size_t *ret_n,
                            struct dm_error *err)
{
    struct dm_live_batch *b = NULL;
    size_t dropped = 0;
    enum dm_code rc = dm_live_take(adm_live(c->app), s, &b, err);

    *ret_n = b == NULL ? 0 : b->n;
    if (b == NULL)
        return rc;
    rc = apply(c, s, b, &dropped, err);
    if (rc == DM_OK)
        rc = dm_live_done(adm_live(c->app), s, b, err);
    if (rc == DM_OK) {
        dm_metric_add(c->taken[s], 0, (int64_t)b->n);
        tell_dropped(c, s, dropped);
    }
    dm_live_batch_free(b);
    return rc;
}

/* --- chores --- */

static enum dm_code roll_up(struct adm_collector *c, dm_time now, struct dm_error *err)
{
    if (now - c->rolled_up < ROLL_UP_EVERY)
        return DM_OK;
    c->rolled_up = now;
    return adm_figures_roll_up(c->app, dm_clock_wall(adm_clock(c->app)) / DM_SEC, err);
}

static void judge(struct adm_collector *c)
{
    dm_metric_set(c->intact, c->walk.broken ? 0 : 1);
    if (c->walk.broken)
        DM_LOG(DM_LOG_CRITICAL, DM_VIEW_NONE, "audit.chain.broken",
               DM_FI("seq", c->walk.broken_at));
    else
        DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "audit.chain.intact", DM_FI("records", c->walk.checked));
}

static enum dm_code verify(struct adm_collector *c, dm_time now, struct dm_error *err)
{
    enum dm_code rc;

    if (!c->walking) {
        struct dm_settings *s = adm_app_settings(c->app);
        const bool wanted = s->audit_chain_enabled;
        dm_settings_unref(s);
        if (!wanted || now < c->verify_at)
            return DM_OK;
        c->verify_at = now + VERIFY_EVERY;
        c->walking = true;
        c->walk = (struct adm_trail_walk){0};
    }
    rc = adm_trail_verify(c->app, &c->walk, VERIFY_AT_ONCE, err);
    if (rc == DM_OK && c->walk.ended) {
        c->walking = false;
        judge(c);
    }
    return rc;
}

/* --- thread --- */

static bool round_of(struct adm_collector *c, struct dm_error *err, bool *ret_more)
{
    const dm_time now = dm_clock_mono(&dm_clock_system);
    bool good = true;

    *ret_more = false;
    for (int s = 0; s < DM_STREAMS; s++) { /* one that cannot be read holds up no other */
        size_t n;
        good = collect(c, (enum dm_stream)s, &n, err) == DM_OK && good;
        *ret_more = *ret_more || n == DM_STREAM_TAKE_MAX;
    }
    if (!good || roll_up(c, now, err) != DM_OK || verify(c, now, err) != DM_OK)
        return false;
    *ret_more = *ret_more || c->walking;
    return true;
}

static bool work(struct adm_collector *c, struct dm_error *err, bool *ret_more)
{
    pthread_mutex_lock(&c->work);
    const bool good = round_of(c, err, ret_more);
    pthread_mutex_unlock(&c->work);
    return good;
}

void adm_collector_flush(struct adm_collector *c)
{
    struct dm_error err;
    size_t n = 1;

    if (c == NULL)
        return;
    pthread_mutex_lock(&c->work);
    for (int s = 0; s < DM_STREAMS; s++) {
        do {
            if (collect(c, (enum dm_stream)s, &n, &err) != DM_OK)
                n = 0; /* the thread tells */
        } while (n > 0);
    }
    pthread_mutex_unlock(&c->work);
}

static void wait_for(struct adm_collector *c, dm_time time)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    time += until.tv_nsec;
    until.tv_sec += (time_t)(time / DM_SEC);
    until.tv_nsec = (long)(time % DM_SEC);
    pthread_mutex_lock(&c->lock);
    while (!c->stopping && pthread_cond_timedwait(&c->cond, &c->lock, &until) == 0)
        continue;
    pthread_mutex_unlock(&c->lock);
}

static void *run(void *arg)
{
    struct adm_collector *c = arg;

    while (!is_stopping(c)) {
        struct dm_error err;
        bool more;
        const bool good = work(c, &err, &more);

        if (!good && !c->told && !is_stopping(c)) /* once, until it works again */
            DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "records of gateways not stored",
                   DM_FC("reason", err.text));
        c->told = !good;
        if (!good || !more)
            wait_for(c, good ? LOOK_EVERY : AGAIN);
    }
    return NULL;
}

static void make_metrics(struct adm_collector *c, struct dm_metrics *m)
{
    for (int s = 0; s < DM_STREAMS; s++) {
        const char *labels = s == DM_STREAM_METRICS ? "stream=\"metrics\"" : "stream=\"audit\"";
        c->taken[s] = dm_metric_get(m, DM_COUNTER, "doorman_stream_records_total", labels,
                                    "Records of gateways that were stored.", NULL, 0);
        c->dropped[s] = dm_metric_get(m, DM_COUNTER, "doorman_stream_dropped_total", labels,
                                      "Records of gateways that cannot be used.", NULL, 0);
    }
    c->intact = dm_metric_get(m, DM_GAUGE, "agentidp_audit_chain_integrity", "",
                              "1 while the audit chain is intact, 0 broken.", NULL, 0);
    dm_metric_set(c->intact, 1); /* until proven otherwise */
}

static void free_collector(struct adm_collector *c)
{
    pthread_cond_destroy(&c->cond);
    pthread_mutex_destroy(&c->work);
    pthread_mutex_destroy(&c->lock);
    dm_mem_free(c);
}

enum dm_code adm_collector_start(struct adm_app *app, struct adm_collector **ret,
                                 struct dm_error *err)
{
    struct adm_collector *c = DM_NEW(struct adm_collector);
    pthread_condattr_t monotonic;

    c->app = app;
    c->rolled_up = dm_clock_mono(&dm_clock_system);
    make_metrics(c, adm_config(app)->metrics);
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->work, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&c->cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *ret = c;
    if (pthread_create(&c->thread, NULL, run, c) == 0)
        return DM_OK;
    free_collector(c);
    *ret = NULL;
    return DM_FAIL(err, DM_UNAVAILABLE, ERR_UNEXPECTED,
                   "could not start the thread that collects records of gateways");
}

void adm_collector_stop(struct adm_collector *c)
{
    if (c == NULL)
        return;
    pthread_mutex_lock(&c->lock);
    c->stopping = true;
    pthread_cond_signal(&c->cond);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    free_collector(c);
}
