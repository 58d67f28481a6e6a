#include "io/offload.h"

#include <pthread.h>
#include <signal.h>

#include "base/assert.h"

#include "base/poison.h"

enum { THREADS_MAX = 64 }; /* a pool for blocking work, not a second scheduler */

struct dm_offload {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct dm_job *first, **last;
    size_t queued, capacity, n_threads;
    bool ending;
    pthread_t threads[THREADS_MAX];
};

static void on_reply(struct dm_letter *l)
{
    struct dm_job *j = DM_CONTAINER_OF(l, struct dm_job, letter_);
    j->on_done(j);
}

static struct dm_job *next_job(struct dm_offload *o)
{
    pthread_mutex_lock(&o->lock);
    while (o->first == NULL && !o->ending)
        pthread_cond_wait(&o->more, &o->lock);
    struct dm_job *j = o->first;
    if (j != NULL) {
        o->first = j->next_;
        if (o->first == NULL)
            o->last = &o->first;
        o->queued--;
    }
    pthread_mutex_unlock(&o->lock);
    return j;
}

static void *work(void *arg)
{
    struct dm_offload *o = arg;
    for (struct dm_job *j; (j = next_job(o)) != NULL;) {
        struct dm_mailbox *reply = j->reply_;
        j->work(j); /* with nobody to be told, the job may be gone from here on */
        if (reply != NULL)
            dm_mailbox_send_reserved(reply, &j->letter_);
    }
    return NULL;
}

struct dm_offload *dm_offload_new(size_t threads, size_t queue)
{
    DM_REQUIRE(threads > 0 && threads <= THREADS_MAX && queue > 0);
    struct dm_offload *o = DM_NEW(struct dm_offload);
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->more, NULL);
    o->last = &o->first;
    o->capacity = queue;
    o->n_threads = threads;
    /* Signals are the main thread's: a pool thread must never be the one that runs a handler. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (size_t i = 0; i < threads; i++)
        DM_REQUIRE(pthread_create(&o->threads[i], NULL, work, o) == 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return o;
}

void dm_offload_free(struct dm_offload *o)
{
    if (o == NULL)
        return;
    pthread_mutex_lock(&o->lock);
    o->ending = true;
    pthread_cond_broadcast(&o->more);
    pthread_mutex_unlock(&o->lock);
    for (size_t i = 0; i < o->n_threads; i++)
        pthread_join(o->threads[i], NULL);
    pthread_cond_destroy(&o->more);
    pthread_mutex_destroy(&o->lock);
    dm_mem_free(o);
}

enum dm_code dm_offload_ask(struct dm_offload *o, struct dm_job *j, struct dm_mailbox *reply)
{
    DM_REQUIRE(j->work != NULL && (reply == NULL || j->on_done != NULL));
    /* The answer's place is taken first, so finished work can always be told. */
    if (reply != NULL && dm_mailbox_reserve(reply) != DM_OK)
        return DM_LIMIT;
    j->next_ = NULL;
    j->reply_ = reply;
    j->letter_ = (struct dm_letter){.fn = on_reply};
    pthread_mutex_lock(&o->lock);
    bool room = o->queued < o->capacity && !o->ending;
    if (room) {
        *o->last = j;
        o->last = &j->next_;
        o->queued++;
        pthread_cond_signal(&o->more);
    }
    pthread_mutex_unlock(&o->lock);
    if (!room && reply != NULL)
        dm_mailbox_unreserve(reply);
    return room ? DM_OK : DM_LIMIT;
}
