#include "store/redis/live_redis_history.h"

#include "base/poison.h"

enum { AGAIN_MAX = 8 }; /* at a start connections come one by one; then whoever asked asks again */
static const dm_time ANSWER_IN = DM_SEC; /* each; nobody waits for it but what decides alone */

/* An admin that may not ask names every history: as far as it knows nothing is missing. */
#define ANY DM_LIT("*")

static void ask_node(struct live_history_walk *w);

static void begin(struct live_history_walk *w);

static void end(struct live_history_walk *w, enum dm_code rc, enum live_history h)
{
    bool moved = dm_redis_connections(w->redis) != w->connections;

    if (rc == DM_OK && h != LIVE_HISTORY_OTHER && moved && w->again++ < AGAIN_MAX)
        begin(w);
    else
        w->done(w, rc, h);
}

/* Empty: a server that does not say. */
static dm_view id_of(const struct dm_redis_reply *reply)
{
    const dm_view name = DM_LIT("master_replid:"), text = dm_redis_text(reply);
    const size_t at = dm_view_find(text, name);
    dm_view id = DM_VIEW_NONE;

    if (at < text.len)
        id = dm_view_sub(text, at + name.len, SIZE_MAX);
    id = dm_view_sub(id, 0, dm_view_find_byte(id, '\r', 0));
    return id.len == LIVE_HISTORY_LEN ? id : DM_VIEW_NONE;
}

static bool is_named(const struct live_history_walk *w, dm_view id)
{
    const dm_view all = dm_buf_view(&w->ids);

    return id.len == 0 || dm_view_find(all, id) < all.len || dm_view_find(all, ANY) < all.len;
}

static void on_node(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct live_history_walk *w = DM_CONTAINER_OF(q, struct live_history_walk, ask);
    const dm_view id = rc == DM_OK ? id_of(reply) : DM_VIEW_NONE;

    if (rc != DM_OK && rc != DM_PROTOCOL) { /* an error: a user who may not ask */
        end(w, rc, LIVE_HISTORY_NONE);
        return;
    }
    if (w->collecting) {
        dm_buf_add(&w->ids, id.len > 0 ? id : ANY);
        dm_buf_add_byte(&w->ids, ' ');
    } else if (!is_named(w, id)) {
        end(w, DM_OK, LIVE_HISTORY_OTHER);
        return;
    }
    if (++w->node < dm_redis_nodes(w->redis))
        ask_node(w);
    else
        end(w, DM_OK, LIVE_HISTORY_KNOWN);
}

static void ask_node(struct live_history_walk *w)
{
    const dm_view argv[] = {DM_LIT("INFO"), DM_LIT("replication")};

    dm_redis_send_node(w->redis, w->node, argv, DM_COUNT_OF(argv),
                       dm_loop_now(w->loop) + ANSWER_IN, &w->ask, on_node);
}

static void on_named(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct live_history_walk *w = DM_CONTAINER_OF(q, struct live_history_walk, ask);

    if (rc == DM_PROTOCOL) { /* something else lies there: nothing is named */
        end(w, DM_OK, LIVE_HISTORY_OTHER);
        return;
    }
    if (rc != DM_OK || dm_redis_type(reply) == DM_REDIS_NIL) {
        end(w, rc, LIVE_HISTORY_NONE);
        return;
    }
    dm_buf_add(&w->ids, dm_redis_text(reply));
    ask_node(w);
}

static void begin(struct live_history_walk *w)
{
    const dm_view argv[] = {DM_LIT("GET"), DM_LIT(LIVE_HISTORIES)};

    live_history_end(w);
    dm_buf_init(&w->ids, LIVE_HISTORIES_MAX);
    w->connections = dm_redis_connections(w->redis);
    w->node = 0;
    if (w->collecting)
        ask_node(w);
    else
        dm_redis_send(w->redis, argv[1], argv, DM_COUNT_OF(argv),
                      dm_loop_now(w->loop) + ANSWER_IN, &w->ask, on_named);
}

void live_history_ask(struct live_history_walk *w)
{
    w->collecting = false;
    w->again = 0;
    begin(w);
}

void live_history_collect(struct live_history_walk *w)
{
    w->collecting = true;
    w->again = 0;
    begin(w);
}

void live_history_end(struct live_history_walk *w)
{
    if (w->redis != NULL)
        dm_redis_cancel(w->redis, &w->ask);
    dm_buf_done(&w->ids);
}
