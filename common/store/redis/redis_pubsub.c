/* Announcements: a connection that is subscribed takes no other commands, so it is one of its own,
 * open while there is a channel. */
#include "store/redis/redis_internal.h"

#include "base/assert.h"

#include "base/poison.h"

static void say(struct dm_redis_conn *c, dm_view word, dm_view name)
{
    const dm_view argv[] = {word, name};
    if (!dm_redis_pipe_raw(c, argv, 2))
        dm_redis_conn_fail(c, "no room for a subscription");
}

/* Channels may come and go while they are told: the next one is held in r->next_channel, and
 * leaving moves that on. */
static struct dm_redis_channel *next_channel(struct dm_redis *r)
{
    struct dm_link *l = r->next_channel;
    if (l == &r->channels)
        return NULL;
    r->next_channel = l->next;
    return DM_CONTAINER_OF(l, struct dm_redis_channel, link_);
}

static void tell(struct dm_redis_conn *conn, dm_view name, bool subscribed, dm_view payload)
{
    struct dm_redis *r = conn->redis;
    unsigned epoch = conn->epoch;
    r->next_channel = r->channels.next;
    for (struct dm_redis_channel *c; (c = next_channel(r)) != NULL;) {
        if (!dm_view_eq(c->name, name))
            continue;
        if (subscribed)
            c->on_subscribed(c);
        else
            c->on_message(c, payload);
        if (conn->epoch != epoch) /* the last one left */
            return;
    }
}

static bool on_push(struct dm_redis_conn *c, const struct dm_redis_reply *reply)
{
    dm_view word = dm_redis_text(dm_redis_at(reply, 0));
    dm_view name = dm_redis_text(dm_redis_at(reply, 1));
    if (dm_view_eq(word, DM_LIT("message")))
        tell(c, name, false, dm_redis_text(dm_redis_at(reply, 2)));
    else if (dm_view_eq(word, DM_LIT("subscribe")))
        tell(c, name, true, DM_VIEW_NONE);
    else
        return dm_view_eq(word, DM_LIT("unsubscribe"));
    return true;
}

static void aim(struct dm_redis_conn *c)
{
    c->redis->way->aim_channels(c);
}

static void on_ready(struct dm_redis_conn *c)
{
    const struct dm_redis *r = c->redis;
    for (struct dm_link *l = r->channels.next; l != &r->channels; l = l->next) {
        say(c, DM_LIT("SUBSCRIBE"), DM_CONTAINER_OF(l, struct dm_redis_channel, link_)->name);
        if (c->state != DM_REDIS_READY)
            return;
    }
}

static void on_lost(struct dm_redis_conn *c)
{
    (void)c; /* who listens hears of it when it is subscribed again */
}

const struct dm_redis_conn_kind dm_redis_channels_kind = {
    .aim = aim, .on_ready = on_ready, .on_lost = on_lost, .on_push = on_push};

void dm_redis_channels_try(struct dm_redis *r)
{
    if (!dm_list_empty(&r->channels))
        dm_redis_conn_start(&r->channels_conn, 0);
}

void dm_redis_subscribe(struct dm_redis *r, struct dm_redis_channel *c)
{
    struct dm_redis_conn *conn = &r->channels_conn;
    bool first = dm_list_empty(&r->channels);
    dm_list_add_tail(&r->channels, &c->link_);
    if (conn->state == DM_REDIS_READY)
        say(conn, DM_LIT("SUBSCRIBE"), c->name);
    else if (first)
        dm_redis_conn_start(conn, 0);
}

static bool others_listen(const struct dm_redis *r, dm_view name)
{
    for (const struct dm_link *l = r->channels.next; l != &r->channels; l = l->next) {
        if (dm_view_eq(DM_CONTAINER_OF(l, const struct dm_redis_channel, link_)->name, name))
            return true;
    }
    return false;
}

void dm_redis_unsubscribe(struct dm_redis *r, struct dm_redis_channel *c)
{
    struct dm_redis_conn *conn = &r->channels_conn;
    if (r->next_channel == &c->link_)
        r->next_channel = c->link_.next;
    dm_list_remove(&c->link_);
    if (dm_list_empty(&r->channels))
        dm_redis_conn_stop(conn);
    else if (conn->state == DM_REDIS_READY && !others_listen(r, c->name))
        say(conn, DM_LIT("UNSUBSCRIBE"), c->name);
}
