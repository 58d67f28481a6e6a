#include "io/http_client.h"

#include <string.h>

#include "base/assert.h"
#include "base/map.h"
#include "io/http_internal.h"

enum {
    SPARE_CALLS = 256, /* about 2 KB each: what a busy worker has in flight */
    SPARE_BLOCKS = 4   /* 64 KB each: streams that wait are few, and each may allocate its own */
};

void dm_http_count(struct dm_http_client *client, struct dm_metric *m, int64_t by)
{
    if (m != NULL)
        dm_metric_add(m, client->config.shard, by);
}

/* --- memory --- */

struct dm_http_block *dm_http_block_take(struct dm_http_client *client)
{
    struct dm_link *l = dm_list_pop(&client->spare_blocks);
    if (l == NULL) {
        struct dm_http_block *b = DM_NEW(struct dm_http_block);
        dm_list_init(&b->link);
        return b;
    }
    client->n_spare_blocks--;
    struct dm_http_block *b = DM_CONTAINER_OF(l, struct dm_http_block, link);
    b->start = b->end = 0;
    return b;
}

void dm_http_block_give(struct dm_http_client *client, struct dm_http_block **b)
{
    struct dm_http_block *block = DM_TAKE(*b);
    if (block == NULL)
        return;
    if (client->n_spare_blocks == SPARE_BLOCKS) {
        dm_mem_free(block);
        return;
    }
    dm_list_add_head(&client->spare_blocks, &block->link);
    client->n_spare_blocks++;
}

static void on_timer(struct dm_timer *t);
static void on_task(struct dm_task *t);

static struct dm_http_call *call_take(struct dm_http_client *client)
{
    struct dm_link *l = dm_list_pop(&client->spare_calls);
    struct dm_http_response *answer = NULL;
    struct dm_http_call *c;
    if (l != NULL) {
        client->n_spare_calls--;
        c = dm_http_call_of(l);
        answer = c->answer;
    } else {
        c = DM_NEW(struct dm_http_call);
        answer = dm_http_response_new(client->config.max_head);
    }
    *c = (struct dm_http_call){.client = client, .answer = answer, .total_at = DM_NEVER};
    c->info.why = "";
    dm_list_add_tail(&client->calls, &c->link);
    dm_list_init(&c->wait_link);
    dm_task_init(&c->task, on_task);
    dm_timer_init(&c->timer, on_timer);
    dm_resolve_init(&c->resolve);
    return c;
}

static void call_free(struct dm_http_call *c)
{
    dm_http_response_free(c->answer);
    dm_mem_free(c);
}

static void call_release(struct dm_http_call *c)
{
    if (c->depth > 0)
        return; /* the last callback on the stack does it */
    struct dm_http_client *client = c->client;
    dm_mem_free(DM_TAKE(c->tls_error));
    if (client->n_spare_calls == SPARE_CALLS) {
        call_free(c);
        return;
    }
    dm_list_add_head(&client->spare_calls, &c->link);
    client->n_spare_calls++;
}

/* --- the end of a call --- */

/* Takes everything from the call but its memory and its answer. */
static void call_stop(struct dm_http_call *c)
{
    struct dm_http_connection *n = DM_TAKE(c->connection);
    dm_http_dial_done(c);
    dm_list_remove(&c->wait_link);
    dm_list_remove(&c->link);
    dm_timer_stop(&c->timer);
    dm_loop_unpost(&c->task);
    dm_http_block_give(c->client, &c->in);
    dm_http_block_give(c->client, &c->out);
    c->state = DM_CALL_ENDED;
    if (n == NULL)
        return;
    n->call = NULL;
    if (c->reusable)
        dm_http_pool_keep(n);
    else
        dm_http_pool_close(n);
}

static void call_end(struct dm_http_call *c)
{
    call_stop(c);
    c->depth++;
    c->handler->on_end(c, c->ctx, &c->info);
    c->depth--;
    call_release(c);
}

void dm_http_call_finish(struct dm_http_call *c, enum dm_http_end end, const char *why)
{
    DM_REQUIRE(c->state != DM_CALL_ENDING && c->state != DM_CALL_ENDED);
    c->info.end = end;
    c->info.why = why;
    if (end >= DM_HTTP_CONNECT_TIMEOUT)
        dm_http_count(c->client, c->client->timeouts, 1);
    if (c->asking) { /* the asker has no handle yet */
        c->state = DM_CALL_ENDING;
        dm_http_call_post(c);
        return;
    }
    call_end(c);
}

void dm_http_call_lost(struct dm_http_call *c, const char *why)
{
    struct dm_http_connection *n = c->connection;
    bool untouched = !c->info.sent_any;
    bool whole = !c->streams || c->pushed == 0;
    bool again = n->used && !dm_http_response_started(c->answer) && !c->fresh_only && whole &&
                 (untouched || c->ask.safe_to_resend);
    if (!again) {
        dm_http_call_finish(c, DM_HTTP_UNREACHABLE, why);
        return;
    }
    c->connection = NULL;
    n->call = NULL;
    dm_http_pool_close(n);
    c->fresh_only = true;
    dm_http_call_start(c, true);
}

bool dm_http_sent_any(const struct dm_http_call *c)
{
    return c->info.sent_any;
}

void dm_http_cancel(struct dm_http_call *c)
{
    if (c == NULL || c->state == DM_CALL_ENDED)
        return;
    c->reusable = false;
    call_stop(c);
    call_release(c);
}

/* --- deadlines --- */

static void arm(struct dm_http_call *c)
{
    dm_time at = c->phase_at < c->total_at ? c->phase_at : c->total_at;
    if (at == DM_NEVER || (dm_timer_running(&c->timer) && c->timer.at_ <= at))
        return; /* fires too early at worst, and looks again */
    dm_timer_start(c->client->loop, &c->timer, at - dm_loop_now(c->client->loop));
}

void dm_http_call_deadline(struct dm_http_call *c, enum dm_http_end phase, dm_time after)
{
    c->phase = phase;
    dm_http_call_progress(c, after);
    arm(c);
}

static const char *timeout_text(enum dm_http_end phase)
{
    switch (phase) {
    case DM_HTTP_CONNECT_TIMEOUT:
        return "connecting took too long";
    case DM_HTTP_READ_TIMEOUT:
        return "no byte of the answer in time";
    case DM_HTTP_WRITE_TIMEOUT:
        return "the request was not taken in time";
    case DM_HTTP_POOL_TIMEOUT:
        return "no connection became free in time";
    default:
        return "the whole call took too long";
    }
}

static void on_timer(struct dm_timer *t)
{
    struct dm_http_call *c = DM_CONTAINER_OF(t, struct dm_http_call, timer);
    dm_time now = dm_loop_now(c->client->loop);
    if (c->state == DM_CALL_ENDING)
        return;
    if (c->total_at <= now)
        dm_http_call_finish(c, DM_HTTP_TOTAL_TIMEOUT, timeout_text(DM_HTTP_TOTAL_TIMEOUT));
    else if (c->phase_at > now)
        arm(c);
    else if (c->phase == DM_HTTP_CONNECT_TIMEOUT && now < c->dial_until)
        dm_http_dial_timeout(c); /* of one address: there is time for the next */
    else
        dm_http_call_finish(c, c->phase, timeout_text(c->phase));
}

/* --- running --- */

void dm_http_call_post(struct dm_http_call *c)
{
    dm_loop_post(c->client->loop, &c->task);
}

/* Everything that can go on does: bytes out, room offered, bytes in. */
void dm_http_call_run(struct dm_http_call *c)
{
    c->depth++;
    if (c->state == DM_CALL_RUNNING)
        dm_http_send(c);
    if (c->state == DM_CALL_RUNNING)
        dm_http_offer_room(c);
    if (c->state == DM_CALL_RUNNING)
        dm_http_receive(c);
    c->depth--;
    if (c->state == DM_CALL_ENDED)
        call_release(c);
}

static void on_task(struct dm_task *t)
{
    struct dm_http_call *c = DM_CONTAINER_OF(t, struct dm_http_call, task);
    if (c->state == DM_CALL_ENDING)
        call_end(c);
    else
        dm_http_call_run(c);
}

struct dm_http_call *dm_http_ask(struct dm_http_client *client, const struct dm_http_ask *ask,
                                 const struct dm_http_handler *h, void *ctx)
{
    DM_REQUIRE(ask->body.len == 0 || (int64_t)ask->body.len == ask->body_length);
    struct dm_http_call *c = call_take(client);
    c->ask = *ask;
    c->handler = h;
    c->ctx = ctx;
    c->streams = ask->body_length != 0 && ask->body.len == 0;
    if (ask->timeouts.total > 0)
        c->total_at = dm_loop_now(client->loop) + ask->timeouts.total;
    c->asking = true;
    dm_http_call_start(c, false);
    c->asking = false;
    return c;
}

void dm_http_resume(struct dm_http_call *c)
{
    if (!c->paused)
        return;
    c->paused = false;
    dm_http_call_wait(c, true);
    dm_http_call_post(c);
}

const struct dm_fields *dm_http_trailers(struct dm_http_call *c)
{
    return dm_http_response_trailers(c->answer);
}

/* --- the client --- */

static void metrics_init(struct dm_http_client *c)
{
    struct dm_metrics *m = c->config.metrics;
    if (m == NULL)
        return;
    c->opened = dm_metric_get(m, DM_COUNTER, "doorman_upstream_connections_opened_total", "",
                              "Connections to upstreams that were opened.", NULL, 0);
    c->reused = dm_metric_get(m, DM_COUNTER, "doorman_upstream_connections_reused_total", "",
                              "Calls over a kept connection.", NULL, 0);
    c->open_now = dm_metric_get(m, DM_GAUGE, "doorman_upstream_connections", "",
                                "Connections to upstreams, idle ones included.", NULL, 0);
    c->idle_now = dm_metric_get(m, DM_GAUGE, "doorman_upstream_connections_idle", "",
                                "Idle connections kept for the next call.", NULL, 0);
    c->timeouts = dm_metric_get(m, DM_COUNTER, "doorman_upstream_timeouts_total", "",
                                "Upstream time-outs, also when a retry follows.", NULL, 0);
}

enum dm_code dm_http_client_new(const struct dm_http_client_config *config,
                                struct dm_http_client **ret, struct dm_error *err)
{
    if (config->max_connections == 0 || config->max_head == 0)
        return DM_FAIL(err, DM_INVALID, ERR_INTERNAL,
                       "upstream client without connections or head");
    struct dm_http_client *c = DM_NEW(struct dm_http_client);
    c->config = *config;
    c->loop = config->loop;
    dm_list_init(&c->calls);
    dm_list_init(&c->waiting);
    dm_list_init(&c->spare_calls);
    dm_list_init(&c->spare_blocks);
    metrics_init(c);
    dm_http_pool_init(c);
    *ret = c;
    return DM_OK;
}

void dm_http_client_free(struct dm_http_client *c)
{
    if (c == NULL)
        return;
    DM_LIST_EACH_SAFE(&c->calls, l, tmp) {
        DM_REQUIRE(dm_http_call_of(l)->depth == 0); /* not from a callback */
        dm_http_cancel(dm_http_call_of(l));
    }
    dm_http_pool_done(c);
    dm_resolver_free(c->resolver);
    for (struct dm_link *l; (l = dm_list_pop(&c->spare_calls)) != NULL;)
        call_free(dm_http_call_of(l));
    for (struct dm_link *l; (l = dm_list_pop(&c->spare_blocks)) != NULL;)
        dm_mem_free(DM_CONTAINER_OF(l, struct dm_http_block, link));
    dm_mem_free(c);
}

void dm_http_client_limit(struct dm_http_client *c, size_t max_connections, size_t max_keepalive,
                          dm_time keepalive_expiry)
{
    DM_REQUIRE(max_connections > 0);
    c->config.max_connections = max_connections;
    c->config.max_keepalive = max_keepalive;
    c->config.keepalive_expiry = keepalive_expiry;
    dm_http_pool_trim(c);
}
