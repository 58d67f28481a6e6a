#include "base/assert.h"
#include "store/live_memory.h"

#include "base/poison.h"

/* Handles of loops that do not own the state. An ask goes to the owner as a letter inside its
 * record; the record comes back by the inbox, also when nobody waits any more. */

enum { BOX = 2 /* the one bell, and room to spare */ };
static const dm_time ASK_AGAIN = 5 * DM_MS; /* the owner's box was full: it empties once a turn */

static void at_owner(struct dm_letter *l)
{
    struct live_record *r = DM_CONTAINER_OF(l, struct live_record, letter);
    live_record_work(r->handle->memory, r);
    live_inbox_put(r->handle, r, NULL);
}

static void on_record_back(struct live_handle *h, struct live_record *r)
{
    if (r->kind == LIVE_SNAPSHOT) {
        h->snapshot_asked = false;
        live_fresh_deliver(h, r->news);
    } else {
        live_record_answer(r);
    }
    live_record_give(r);
}

static void on_bell(struct dm_letter *l)
{
    struct live_handle *h = DM_CONTAINER_OF(l, struct live_handle, bell);
    (void)pthread_mutex_lock(&h->lock);
    struct live_inbox *first = h->inbox;
    h->inbox = NULL;
    h->inbox_end = &h->inbox;
    h->rung = false;
    (void)pthread_mutex_unlock(&h->lock);
    while (first != NULL) {
        struct live_inbox *i = first;
        first = i->next;
        if (i->record != NULL)
            on_record_back(h, i->record);
        if (i->news != NULL)
            live_news_deliver(h, i->news);
        live_news_unref(i->news);
        dm_mem_free(i);
    }
}

void live_remote_ask(struct live_handle *h, struct live_record *r, dm_time deadline)
{
    r->letter.fn = at_owner;
    dm_list_add_tail(&h->asked, &r->link);
    if (deadline != DM_NEVER && r->wait != NULL)
        dm_timer_start(h->loop, &r->late, deadline - dm_loop_now(h->loop));
    if (dm_mailbox_send(h->memory->box, &r->letter) == DM_OK)
        return;
    dm_timer_stop(&r->late);
    if (r->wait == NULL) {
        live_record_give(r);
        return;
    }
    r->code = DM_UNAVAILABLE;
    live_record_post(r);
}

void live_remote_ask_snapshot(struct live_handle *h)
{
    if (h->snapshot_asked)
        return;
    struct live_record *r = live_record_take(h, LIVE_SNAPSHOT, NULL);
    r->letter.fn = at_owner;
    dm_list_add_tail(&h->asked, &r->link);
    if (dm_mailbox_send(h->memory->box, &r->letter) == DM_OK) {
        h->snapshot_asked = true;
        return;
    }
    live_record_give(r);
    dm_timer_start(h->loop, &h->again, ASK_AGAIN);
}

/* A full queue drops what would give back, then all: holds end by themselves. */
static void owe(struct live_handle *h, struct live_record *r)
{
    if (h->n_owed == DM_LIVE_OWED_MAX || (!r->spent && h->n_owed >= DM_LIVE_OWED_MAX / 2)) {
        live_record_give(r);
        return;
    }
    dm_list_remove(&r->link);
    dm_list_add_tail(&h->owed, &r->link);
    h->n_owed++;
    if (!dm_timer_running(&h->again))
        dm_timer_start(h->loop, &h->again, ASK_AGAIN);
}

/* Those that wait go first: a settle never overtakes another, nor the reserve it ends. */
void live_remote_settle(struct live_handle *h, struct live_record *r)
{
    r->letter.fn = at_owner;
    if (h->n_owed > 0) {
        owe(h, r);
        return;
    }
    dm_list_add_tail(&h->asked, &r->link);
    if (dm_mailbox_send(h->memory->box, &r->letter) != DM_OK)
        owe(h, r);
}

static void settle_owed(struct live_handle *h)
{
    while (h->n_owed > 0) {
        struct live_record *r = DM_CONTAINER_OF(h->owed.next, struct live_record, link);
        dm_list_remove(&r->link);
        dm_list_add_tail(&h->asked, &r->link);
        if (dm_mailbox_send(h->memory->box, &r->letter) != DM_OK) {
            dm_list_remove(&r->link);
            dm_list_add_head(&h->owed, &r->link);
            dm_timer_start(h->loop, &h->again, ASK_AGAIN);
            return;
        }
        h->n_owed--;
    }
}

static void on_again(struct dm_timer *t)
{
    struct live_handle *h = DM_CONTAINER_OF(t, struct live_handle, again);
    if (!dm_list_empty(&h->fresh))
        live_remote_ask_snapshot(h);
    settle_owed(h);
}

void live_remote_init(struct live_handle *h)
{
    h->box = dm_mailbox_new(h->loop, BOX);
    h->bell.fn = on_bell;
    h->inbox_end = &h->inbox;
    dm_timer_init(&h->again, on_again);
    dm_list_init(&h->owed);
    DM_REQUIRE(pthread_mutex_init(&h->lock, NULL) == 0);
}

void live_remote_done(struct live_handle *h)
{
    dm_timer_stop(&h->again);
    for (struct dm_link *l; (l = dm_list_pop(&h->owed)) != NULL;)
        live_record_free(DM_CONTAINER_OF(l, struct live_record, link));
    /* Nobody waits any more; the records themselves come back to a dead handle and are freed there.
     */
    for (struct dm_link *l; (l = dm_list_pop(&h->asked)) != NULL;) {
        struct live_record *r = DM_CONTAINER_OF(l, struct live_record, link);
        if (r->wait != NULL)
            r->wait->pending = false;
        r->wait = NULL;
        dm_timer_stop(&r->late);
    }
    (void)pthread_mutex_lock(&h->lock);
    h->dead = true;
    (void)pthread_mutex_unlock(&h->lock);
    dm_mailbox_free(
        h->box); /* rings the last bell: what came back before is given to the free list */
    h->box = NULL;
}
