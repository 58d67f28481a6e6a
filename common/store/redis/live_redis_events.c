/* doorman:events (operations.md §8.15): a channel on which any process of a deployment tells all
 * others to do something, and a capped stream of what an operator should hear of. Neither is
 * signed: an event is only a reason to look. */
#include "store/redis/live_redis_admin.h"

#include "base/poison.h"

#define EVENTS "doorman:events"
#define ENTRIES_MAX "1000" /* of the stream: some days of what hardly ever happens */

static const dm_time DEADLINE = 2 * DM_SEC; /* of an entry nobody waits for */

/* --- listening --- */

struct live_ear {
    struct dm_redis *redis;
    struct dm_redis_channel channel;
    void (*on_event)(void *ctx, dm_view event);
    void *ctx;
};

static void on_message(struct dm_redis_channel *c, dm_view payload)
{
    struct live_ear *e = DM_CONTAINER_OF(c, struct live_ear, channel);

    e->on_event(e->ctx, payload);
}

static void on_subscribed(struct dm_redis_channel *c)
{
    (void)c; /* what was said meanwhile is lost: whoever cares asks for the state itself */
}

struct live_ear *live_ear_new(struct dm_redis *r, const struct dm_live_redis_config *c)
{
    if (c->on_event == NULL)
        return NULL;
    struct live_ear *e = DM_NEW(struct live_ear);
    e->redis = r;
    e->on_event = c->on_event;
    e->ctx = c->event_ctx;
    e->channel = (struct dm_redis_channel){
        .name = DM_LIT(EVENTS), .on_message = on_message, .on_subscribed = on_subscribed};
    dm_redis_subscribe(r, &e->channel);
    return e;
}

void live_ear_free(struct live_ear *e)
{
    if (e == NULL)
        return;
    dm_redis_unsubscribe(e->redis, &e->channel);
    dm_mem_free(e);
}

/* --- telling --- */

struct event_call {
    struct live_redis_call call;
    struct dm_redis_ask ask;
    dm_view text;
};

static void on_told(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    (void)reply;
    live_redis_call_end(&DM_CONTAINER_OF(q, struct event_call, ask)->call, rc);
}

static void start_announce(struct live_redis_call *c)
{
    struct event_call *e = DM_CONTAINER_OF(c, struct event_call, call);
    const dm_view argv[] = {DM_LIT("PUBLISH"), DM_LIT(EVENTS), e->text};

    dm_redis_send(c->admin->redis, DM_VIEW_NONE, argv, DM_COUNT_OF(argv), c->deadline, &e->ask,
                  on_told);
}

enum dm_code dm_live_redis_announce(struct dm_live_admin *a, dm_view event, struct dm_error *err)
{
    struct event_call c = {.call = {.code = DM_OK}, .text = event};

    return live_redis_call(a, &c.call, start_announce, "announce an event", err);
}

/* --- recording --- */

static void send_entry(struct dm_redis *r, dm_view entry, dm_time deadline,
                       struct dm_redis_ask *ask, dm_redis_fn fn)
{
    const dm_view key = DM_LIT(EVENTS);
    const dm_view argv[] = {DM_LIT("XADD"),      key,         DM_LIT("MAXLEN"), DM_LIT("~"),
                            DM_LIT(ENTRIES_MAX), DM_LIT("*"), DM_LIT("event"),  entry};

    dm_redis_send(r, key, argv, DM_COUNT_OF(argv), deadline, ask, fn);
}

static void start_record(struct live_redis_call *c)
{
    struct event_call *e = DM_CONTAINER_OF(c, struct event_call, call);

    send_entry(c->admin->redis, e->text, c->deadline, &e->ask, on_told);
}

enum dm_code dm_live_redis_admin_record(struct dm_live_admin *a, dm_view entry,
                                        struct dm_error *err)
{
    struct event_call c = {.call = {.code = DM_OK}, .text = entry};

    return live_redis_call(a, &c.call, start_record, "record an event", err);
}

static void on_recorded(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    (void)rc; /* lost: the log and the metric tell the same */
    (void)reply;
    dm_mem_free(q);
}

void dm_live_redis_record(struct dm_live *l, dm_view entry)
{
    struct live_redis_handle *h = live_redis_handle_of(l);
    struct dm_redis_ask *ask = DM_NEW(struct dm_redis_ask);

    send_entry(h->redis, entry, dm_loop_now(h->loop) + DEADLINE, ask, on_recorded);
}
