#include "admin/jobs/restorer.h"

#include "admin/services/publish.h"
#include "admin/services/repair.h"
#include "admin/services/revocation.h"
#include "admin/services/security.h"
#include "base/log.h"
#include "store/live_republish.h"
#include <time.h>

static const dm_time LOOK_EVERY = 5 * DM_SEC; /* a store emptied without a reconnect is noticed */
/* What another admin changed is in force here as soon as in sidecars (platform-access.md §8.6). */
static const dm_time SECURITY_EVERY = DM_SEC;
static const dm_time RETRY_MIN = 100 * DM_MS;
static const dm_time RETRY_MAX = 5 * DM_SEC;

struct adm_restorer {
    struct adm_app *app;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t cond;
    bool look, dirty, stopping;
    /* the job's thread only */
    uint64_t security;            /* version in force */
    struct dm_settings *followed; /* by the stored security settings */
    bool told;                    /* that they could not be */
};

static _Thread_local bool attempting; /* in the job's own thread */

static void wake(struct adm_restorer *r, bool dirty)
{
    pthread_mutex_lock(&r->lock);
    r->look = true;
    r->dirty = r->dirty || dirty;
    pthread_cond_signal(&r->cond);
    pthread_mutex_unlock(&r->lock);
}

/* A store that is reached again may be another: a replica that took over without the last writes,
 * a node of a Cluster that came back empty. So everything is compared. */
static void on_reach(void *ctx)
{
    wake(ctx, true);
}

void adm_restorer_dirty(struct adm_restorer *r)
{
    if (r != NULL && !attempting) /* an attempt that fails is made again, in its time */
        wake(r, true);
}

static enum dm_code look(struct adm_app *app, bool *ret_lost, struct dm_error *err)
{
    struct dm_live_published published;
    enum dm_code rc = adm_app_restore_lock(app, err);

    if (rc != DM_OK)
        return rc;
    dm_live_published(adm_live(app), &published);
    adm_app_publish_unlock(app);
    bool whole = true;
    rc = dm_live_whole(adm_live(app), &whole, err);
    *ret_lost = published.lost || !whole;
    return rc;
}

/* Revocations first: whoever was locked out stays out. What a change left that ended half-way,
 * since a store went away, is repaired last: a store that lost what was published takes no single
 * changes. */
enum dm_code adm_restore(struct adm_app *app, struct dm_error *err)
{
    struct dm_live_restoration *r = NULL;
    enum dm_code rc = dm_live_restore_begin(adm_live(app), &r, err);

    if (rc == DM_OK)
        rc = adm_revocations_restore(app, err);
    if (rc == DM_OK)
        rc = dm_live_restore_revoked(adm_live(app), r, err);
    if (rc == DM_OK)
        rc = adm_publish_all(app, false, err);
    if (rc == DM_OK)
        rc = dm_live_restore_end(adm_live(app), r, err);
    dm_live_restoration_free(adm_live(app), r);
    return rc == DM_OK ? adm_repair(app, err) : rc;
}

static enum dm_code attempt(struct adm_restorer *r, bool dirty, struct dm_error *err)
{
    bool lost = false;
    enum dm_code rc = look(r->app, &lost, err);

    if (rc != DM_OK || !(lost || dirty))
        return rc;
    rc = adm_restore(r->app, err);
    if (rc == DM_OK)
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "policy.restored", DM_FB("lost", lost));
    return rc;
}

/* After a reload. */
static void follow_settings(struct adm_restorer *r)
{
    struct dm_settings *s = adm_app_settings(r->app);
    struct dm_error err;

    if (s == r->followed) {
        dm_settings_unref(s);
        return;
    }
    if (adm_security_follow(r->app, s, &err) == DM_OK) {
        dm_settings_unref(r->followed);
        r->followed = s;
        r->told = false;
        return;
    }
    dm_settings_unref(s);
    if (!r->told)
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "security.follow.failed", DM_FC("reason", err.text));
    r->told = true;
    pthread_mutex_lock(&r->lock);
    r->dirty = true; /* stored, maybe, and not published */
    pthread_mutex_unlock(&r->lock);
}

static void wait(struct adm_restorer *r, dm_time until_more)
{
    struct timespec until;

    if (until_more < 0)
        until_more = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until_more += until.tv_nsec;
    until.tv_sec += (time_t)(until_more / DM_SEC);
    until.tv_nsec = (long)(until_more % DM_SEC);
    while (!r->look && !r->stopping) {
        if (pthread_cond_timedwait(&r->cond, &r->lock, &until) != 0)
            break;
    }
}

/* How an attempt went; gives when the next one is due. */
static dm_time settle(struct adm_restorer *r, enum dm_code rc, bool dirty, dm_time *back_off,
                      const struct dm_error *err)
{
    if (rc == DM_OK) {
        *back_off = 0;
        return LOOK_EVERY;
    }
    if (*back_off == 0) /* once, until it works again */
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "policy.restore.failed", DM_FC("reason", err->text));
    r->dirty = r->dirty || dirty;
    *back_off = *back_off == 0 ? RETRY_MIN : 2 * *back_off < RETRY_MAX ? 2 * *back_off : RETRY_MAX;
    return *back_off;
}

static void *run(void *arg)
{
    struct adm_restorer *r = arg;
    dm_time back_off = 0, due = dm_clock_mono(&dm_clock_system) + LOOK_EVERY;

    attempting = true;
    pthread_mutex_lock(&r->lock);
    while (!r->stopping) {
        struct dm_error err;
        dm_time left = due - dm_clock_mono(&dm_clock_system);
        wait(r, left < SECURITY_EVERY ? left : SECURITY_EVERY);
        if (r->stopping)
            break;
        const bool attempts = r->look || dm_clock_mono(&dm_clock_system) >= due;
        const bool dirty = r->dirty;
        if (attempts)
            r->look = r->dirty = false;
        pthread_mutex_unlock(&r->lock);
        follow_settings(r);
        adm_security_refresh(r->app, &r->security);
        const enum dm_code rc = attempts ? attempt(r, dirty, &err) : DM_OK;
        pthread_mutex_lock(&r->lock);
        if (attempts)
            due = dm_clock_mono(&dm_clock_system) + settle(r, rc, dirty, &back_off, &err);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static void destroy(struct adm_restorer *r)
{
    pthread_cond_destroy(&r->cond);
    pthread_mutex_destroy(&r->lock);
    dm_settings_unref(r->followed);
    dm_mem_free(r);
}

enum dm_code adm_restorer_start(struct adm_app *app, struct adm_restorer **ret,
                                struct dm_error *err)
{
    struct adm_restorer *r = DM_NEW(struct adm_restorer);
    pthread_condattr_t monotonic;

    r->app = app;
    r->followed = adm_app_settings(app); /* the start saw to these */
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&r->cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&r->thread, NULL, run, r) != 0) {
        destroy(r);
        return DM_FAIL(err, DM_UNAVAILABLE, ERR_UNEXPECTED,
                       "could not start the thread that restores policy");
    }
    dm_live_on_reach(adm_live(app), on_reach, r);
    *ret = r;
    return DM_OK;
}

void adm_restorer_stop(struct adm_restorer *r)
{
    if (r == NULL)
        return;
    dm_live_on_reach(adm_live(r->app), NULL, NULL);
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_signal(&r->cond);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    destroy(r);
}
