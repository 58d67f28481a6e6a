#include "programs/admin/watch.h"

#include "base/log.h"
#include <stdatomic.h>
#include <time.h>

/* operations.md §8.1: results are a second old at most, and nobody believes in one that is two
 * seconds late. */
static const dm_time period = DM_SEC, patience = 2 * DM_SEC;

/* A store that comes back without what it held is down for another reason: that is told, too. */
static void ask(struct watch *w)
{
    struct dm_error err;
    enum dm_code code;

    atomic_store(&w->asked_, dm_clock_mono(&dm_clock_system));
    code = w->ask(w->ctx, &err);
    atomic_store(&w->asked_, 0);
    atomic_store(&w->up_, code == DM_OK);
    if (code == w->told_)
        return;
    w->told_ = code;
    if (code == DM_OK)
        DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "store answers", DM_FC("store", w->name));
    else
        DM_LOG(DM_LOG_ERROR, DM_VIEW_NONE, "store does not answer", DM_FC("store", w->name),
               DM_FC("reason", err.text));
}

static void *run(void *arg)
{
    struct watch *w = arg;
    struct timespec until;

    pthread_mutex_lock(&w->lock_);
    while (!w->stop_) {
        pthread_mutex_unlock(&w->lock_);
        ask(w);
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += (time_t)(period / DM_SEC);
        pthread_mutex_lock(&w->lock_);
        while (!w->stop_ && pthread_cond_timedwait(&w->cond_, &w->lock_, &until) == 0)
            continue;
    }
    pthread_mutex_unlock(&w->lock_);
    return NULL;
}

bool watch_start(struct watch *w)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->cond_, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&w->lock_, NULL);
    atomic_store(&w->up_, true); /* start has just heard from it */
    w->told_ = DM_OK;
    w->running_ = pthread_create(&w->thread_, NULL, run, w) == 0;
    return w->running_;
}

void watch_stop(struct watch *w)
{
    if (!w->running_)
        return;
    pthread_mutex_lock(&w->lock_);
    w->stop_ = true;
    pthread_cond_broadcast(&w->cond_);
    pthread_mutex_unlock(&w->lock_);
    pthread_join(w->thread_, NULL);
    w->running_ = false;
}

bool watch_up(struct watch *w)
{
    const int64_t asked = atomic_load(&w->asked_);

    return atomic_load(&w->up_) &&
           (asked == 0 || dm_clock_mono(&dm_clock_system) - asked <= patience);
}
