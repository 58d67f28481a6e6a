#include "io/http_internal.h"

#include <string.h>

#include "base/assert.h"
#include "base/map.h"

/* Connections: opened for a call, kept between calls (last used first, so that those not needed
 * grow old), closed at their expiry, over the limits, or at the first sign of life: an idle
 * upstream has nothing to say. */

/* How long a connection over HTTP_MAX_KEEPALIVE may rest before it is closed: a turn that ends many
 * answers begins as many calls in the next one, and closing in between only costs a handshake. */
static const dm_time surplus_grace = 100 * DM_MS;

/* --- upstreams --- */

static struct dm_http_upstream *upstream_get(struct dm_http_client *client, dm_view key)
{
    struct dm_http_upstream *u = dm_map_get(client->upstreams, key);
    if (u != NULL)
        return u;
    u = dm_mem_alloc(sizeof *u + key.len);
    dm_list_init(&u->idle);
    u->key_len = key.len;
    memcpy(u->key, key.ptr, key.len);
    dm_map_put(client->upstreams, key, u);
    return u;
}

/* --- idle --- */

static dm_time rest_allowed(const struct dm_http_client *client)
{
    dm_time expiry = client->config.keepalive_expiry;

    return client->n_idle > client->config.max_keepalive && expiry > surplus_grace ? surplus_grace
                                                                                  : expiry;
}

static void idle_arm(struct dm_http_client *client)
{
    if (dm_list_empty(&client->idle) || dm_timer_running(&client->idle_timer))
        return; /* one timer for all; it looks at the oldest */
    struct dm_http_connection *oldest =
        DM_CONTAINER_OF(client->idle.prev, struct dm_http_connection, lru_link);
    dm_time at = oldest->idle_since + rest_allowed(client);
    dm_timer_start(client->loop, &client->idle_timer, at - dm_loop_now(client->loop));
}

static void idle_remove(struct dm_http_connection *n)
{
    dm_list_remove(&n->idle_link);
    dm_list_remove(&n->lru_link);
    n->client->n_idle--;
    dm_http_count(n->client, n->client->idle_now, -1);
}

static bool is_idle(const struct dm_http_connection *n)
{
    return n->idle_link.next != &n->idle_link;
}

static bool expired(const struct dm_http_connection *n)
{
    return n->idle_since + n->client->config.keepalive_expiry <= dm_loop_now(n->client->loop);
}

static void close_oldest(struct dm_http_client *client)
{
    dm_http_pool_close(DM_CONTAINER_OF(client->idle.prev, struct dm_http_connection, lru_link));
}

static bool oldest_rested(const struct dm_http_client *client)
{
    const struct dm_http_connection *oldest =
        DM_CONTAINER_OF(client->idle.prev, struct dm_http_connection, lru_link);

    return oldest->idle_since + rest_allowed(client) <= dm_loop_now(client->loop);
}

static void on_idle_timer(struct dm_timer *t)
{
    struct dm_http_client *client = DM_CONTAINER_OF(t, struct dm_http_client, idle_timer);
    while (!dm_list_empty(&client->idle) && oldest_rested(client))
        close_oldest(client);
    idle_arm(client);
}

static void idle_event(struct dm_http_connection *n)
{
    size_t len;
    enum dm_code rc = dm_stream_read(&n->stream, dm_loop_scratch(n->client->loop), 1, &len);
    if (rc != DM_AGAIN || n->stream.fin_) /* bytes nobody asked for, or the end */
        dm_http_pool_close(n);
}

void dm_http_connection_event(struct dm_io *io, uint32_t events)
{
    struct dm_http_connection *n = DM_CONTAINER_OF(io, struct dm_http_connection, stream.io);
    dm_stream_note(&n->stream, events);
    if (n->call == NULL)
        idle_event(n);
    else if (n->call->state == DM_CALL_DIALING)
        dm_http_dial_event(n->call);
    else
        dm_http_call_run(n->call);
}

/* --- taking and giving --- */

struct dm_http_connection *dm_http_pool_take(struct dm_http_client *client, dm_view key)
{
    struct dm_http_upstream *u = dm_map_get(client->upstreams, key);
    if (u == NULL || dm_list_empty(&u->idle))
        return NULL;
    struct dm_http_connection *n =
        DM_CONTAINER_OF(u->idle.next, struct dm_http_connection, idle_link);
    if (expired(n)) /* the timer of this turn comes after its events */
        return NULL;
    idle_remove(n);
    dm_http_count(client, client->reused, 1);
    return n;
}

struct dm_http_connection *dm_http_pool_open(struct dm_http_client *client, dm_view key)
{
    if (client->n_connections >= client->config.max_connections && !dm_list_empty(&client->idle))
        close_oldest(client);
    if (client->n_connections >= client->config.max_connections)
        return NULL;
    struct dm_http_connection *n = DM_NEW(struct dm_http_connection);
    n->client = client;
    n->upstream = upstream_get(client, key);
    n->upstream->n_connections++;
    n->stream.io.fd = -1;
    dm_list_init(&n->idle_link);
    dm_list_init(&n->lru_link);
    client->n_connections++;
    dm_http_count(client, client->open_now, 1);
    return n;
}

/* A place or a kept connection became free: who waits longest is served in this turn's tasks. */
static void wake_waiters(struct dm_http_client *client)
{
    if (!dm_list_empty(&client->waiting))
        dm_loop_post(client->loop, &client->waiters_task);
}

void dm_http_pool_keep(struct dm_http_connection *n)
{
    struct dm_http_client *client = n->client;
    const struct dm_http_client_config *config = &client->config;
    bool over = client->n_connections > config->max_connections;
    if (over || config->max_keepalive == 0 || config->keepalive_expiry <= 0) {
        dm_http_pool_close(n);
        return;
    }
    n->used = true;
    n->idle_since = dm_loop_now(client->loop);
    dm_list_add_head(&n->upstream->idle, &n->idle_link);
    dm_list_add_head(&client->idle, &n->lru_link);
    client->n_idle++;
    dm_http_count(client, client->idle_now, 1);
    if (client->n_idle == config->max_keepalive + 1)
        dm_timer_stop(&client->idle_timer); /* from here on the oldest's time is the grace */
    idle_arm(client);
    wake_waiters(client);
}

void dm_http_pool_close(struct dm_http_connection *n)
{
    struct dm_http_client *client = n->client;
    struct dm_http_upstream *u = n->upstream;
    if (is_idle(n))
        idle_remove(n);
    dm_stream_close(&n->stream);
    dm_mem_free(n);
    client->n_connections--;
    dm_http_count(client, client->open_now, -1);
    if (--u->n_connections == 0)
        dm_map_remove(client->upstreams, dm_view_make(u->key, u->key_len));
    wake_waiters(client);
}

static void on_waiters(struct dm_task *t)
{
    struct dm_http_client *client = DM_CONTAINER_OF(t, struct dm_http_client, waiters_task);
    while (!dm_list_empty(&client->waiting) &&
           (client->n_connections < client->config.max_connections || client->n_idle > 0)) {
        struct dm_link *l = dm_list_pop(&client->waiting);
        dm_http_call_start(DM_CONTAINER_OF(l, struct dm_http_call, wait_link), true);
    }
}

void dm_http_pool_trim(struct dm_http_client *client)
{
    const struct dm_http_client_config *config = &client->config;
    while (client->n_idle > 0 && (client->n_idle > config->max_keepalive ||
                                  client->n_connections > config->max_connections))
        close_oldest(client);
    dm_timer_stop(&client->idle_timer);
    idle_arm(client);
    wake_waiters(client);
}

void dm_http_pool_init(struct dm_http_client *client)
{
    dm_list_init(&client->idle);
    dm_timer_init(&client->idle_timer, on_idle_timer);
    dm_task_init(&client->waiters_task, on_waiters);
    client->upstreams = dm_map_new(dm_mem_free);
}

void dm_http_pool_done(struct dm_http_client *client)
{
    while (!dm_list_empty(&client->idle))
        close_oldest(client);
    DM_ASSERT(client->n_connections == 0);
    dm_timer_stop(&client->idle_timer);
    dm_loop_unpost(&client->waiters_task);
    dm_map_free(client->upstreams);
}
