#include "base/assert.h"
#include "store/live_memory.h"

#include "base/poison.h"

/* Telling: publish and revoke run on the owner's thread and tell its own handles at once, every
 * other handle by its inbox, in the order in which things happened. */

struct live_news *live_news_new(size_t n_items)
{
    struct live_news *n = DM_NEW(struct live_news);
    atomic_init(&n->refs, 1);
    n->n = n_items;
    n->items = n_items == 0 ? NULL : dm_mem_array(n_items, sizeof(struct dm_live_item *));
    return n;
}

struct live_news *live_news_ref(struct live_news *n)
{
    atomic_fetch_add_explicit(&n->refs, 1, memory_order_relaxed);
    return n;
}

void live_news_unref(struct live_news *n)
{
    if (n == NULL || atomic_fetch_sub_explicit(&n->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < n->n; i++)
        dm_live_item_unref(n->items[i]);
    dm_mem_free(n->items);
    dm_mem_free(n);
}

struct live_news *live_news_whole(const struct dm_live_memory *m)
{
    struct live_news *n = live_news_new(0);
    n->generation = m->generation;
    n->whole = true;
    n->items = dm_live_state_snapshot(m->state, &n->n);
    return n;
}

/* The bytes of packed items, all of them, are in *room. */
static struct dm_live_change *changes_of(const struct live_news *n, struct dm_buf *room)
{
    struct dm_live_change *changes = dm_mem_array(n->n, sizeof *changes);
    size_t len = 0;
    for (size_t i = 0; i < n->n; i++)
        len += n->items[i]->packed ? n->items[i]->len : 0;
    dm_buf_init(room, len);
    (void)dm_buf_reserve(room, len); /* at once, so that no change moves */
    for (size_t i = 0; i < n->n; i++)
        changes[i] = dm_live_item_change(n->items[i], room);
    return changes;
}

/* Each subscriber of `from` once, also when callbacks subscribe and unsubscribe; all end in `to`.
 */
static void tell_list(struct dm_link *from, struct dm_link *to, const struct live_news *n)
{
    struct dm_buf room = {0};
    struct dm_live_change *changes = n->revoked ? NULL : changes_of(n, &room);
    dm_view subject = dm_view_make(n->subject, n->subject_len);
    struct dm_link now;
    dm_list_init(&now);
    for (struct dm_link *l; (l = dm_list_pop(from)) != NULL;)
        dm_list_add_tail(&now, l);
    for (struct dm_link *l; (l = dm_list_pop(&now)) != NULL;) {
        struct dm_live_subscriber *s = DM_CONTAINER_OF(l, struct dm_live_subscriber, link_);
        dm_list_add_tail(to, l); /* first, so that the callback can unsubscribe */
        if (!n->revoked)
            s->on_change(s, n->generation, changes, n->n);
        else if (s->on_revoked != NULL)
            s->on_revoked(s, subject);
    }
    dm_mem_free(changes);
    dm_buf_done(&room);
}

void live_news_deliver(struct live_handle *h, const struct live_news *n)
{
    if (!dm_list_empty(&h->subscribers))
        tell_list(&h->subscribers, &h->subscribers, n);
}

void live_fresh_deliver(struct live_handle *h, const struct live_news *whole)
{
    DM_REQUIRE(whole->whole);
    tell_list(&h->fresh, &h->subscribers, whole);
}

void live_inbox_put(struct live_handle *h, struct live_record *r, struct live_news *n)
{
    struct live_inbox *i = DM_NEW(struct live_inbox);
    i->record = r;
    i->news = n;
    (void)pthread_mutex_lock(&h->lock);
    if (h->dead) {
        (void)pthread_mutex_unlock(&h->lock);
        if (r != NULL)
            live_record_free(r);
        live_news_unref(n);
        dm_mem_free(i);
        return;
    }
    *h->inbox_end = i;
    h->inbox_end = &i->next;
    if (!h->rung) {
        h->rung = true;
        DM_ASSERT(dm_mailbox_send(h->box, &h->bell) == DM_OK);
    }
    (void)pthread_mutex_unlock(&h->lock);
}

void live_news_tell_all(struct dm_live_memory *m, struct live_news *n)
{
    (void)pthread_mutex_lock(&m->lock);
    DM_LIST_EACH_SAFE(&m->foreign, l, tmp)
    live_inbox_put(DM_CONTAINER_OF(l, struct live_handle, link), NULL, live_news_ref(n));
    (void)pthread_mutex_unlock(&m->lock);
    DM_LIST_EACH_SAFE(&m->own, l, tmp)
    live_news_deliver(DM_CONTAINER_OF(l, struct live_handle, link), n);
    live_news_unref(n);
}
