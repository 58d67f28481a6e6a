#include "store/redis/redis_internal.h"

#include "base/assert.h"

#include "base/poison.h"

enum {
    COMMANDS_KEPT = 1024, /* structures, about 150 bytes each: a burst may allocate, a flow not */
    BLOCKS_KEPT = 256,
    ARENA_CHUNK = 16 * 1024,
    ARENAS_KEPT = 4,
    SCRIPT_TRIES = 3,
    FREE_ROUNDS = 16
};

/* --- asking --- */

static void wait_for_conn(struct dm_redis_command *m)
{
    struct dm_redis *r = m->redis;
    m->conn = NULL;
    if (r->n_waiting == DM_REDIS_WAITING_MAX || r->waiting_bytes + m->kept_len > DM_REDIS_OUT_MAX) {
        dm_redis_command_refuse(m);
        return;
    }
    dm_list_add_tail(&r->waiting, &m->link);
    r->n_waiting++;
    r->waiting_bytes += m->kept_len;
}

void dm_redis_send_kept(struct dm_redis_command *m)
{
    bool hopeless = false;
    struct dm_redis_conn *c = m->redis->way->find(m->redis, m, &hopeless);
    if (c != NULL)
        dm_redis_resend(c, m);
    else if (hopeless)
        dm_redis_command_refuse(m);
    else
        wait_for_conn(m);
}

static void send_first(struct dm_redis_command *m, const dm_view *argv, size_t argc, bool again)
{
    struct dm_redis *r = m->redis;
    bool hopeless = false;
    struct dm_redis_conn *c = r->way->find(r, m, &hopeless);
    bool full = c == NULL && (hopeless || r->n_waiting == DM_REDIS_WAITING_MAX);
    if (c != NULL && !again) {
        if (!dm_redis_pipe_add(c, m, argv, argc))
            dm_redis_command_refuse(m);
    } else if (full) { /* asked before it is copied */
        dm_redis_command_refuse(m);
    } else {
        dm_redis_command_keep(m, argv, argc);
        dm_redis_send_kept(m);
    }
}

void dm_redis_resend(struct dm_redis_conn *c, struct dm_redis_command *m)
{
    const dm_view asking[] = {DM_LIT("ASKING")};
    if (m->asking) {
        struct dm_redis_command *skipped = dm_redis_command_blank(m->redis);
        if (!dm_redis_pipe_add(c, skipped, asking, 1)) {
            dm_redis_command_free(skipped);
            dm_redis_command_refuse(m);
            return;
        }
        m->asking = false;
        m->only = NULL;
    }
    if (!dm_redis_pipe_add_kept(c, m))
        dm_redis_command_refuse(m);
}

void dm_redis_send_waiting(struct dm_redis *r)
{
    struct dm_link now;
    dm_list_init(&now);
    for (struct dm_link *l; (l = dm_list_pop(&r->waiting)) != NULL;)
        dm_list_add_tail(&now, l);
    r->n_waiting = r->waiting_bytes = 0;
    for (struct dm_link *l; (l = dm_list_pop(&now)) != NULL;)
        dm_redis_send_kept(DM_CONTAINER_OF(l, struct dm_redis_command, link));
}

void dm_redis_send(struct dm_redis *r, dm_view key, const dm_view *argv, size_t argc,
                   dm_time deadline, struct dm_redis_ask *a, dm_redis_fn fn)
{
    DM_REQUIRE(argc > 0 && argc <= DM_REDIS_ARGS_MAX);
    struct dm_redis_command *m = dm_redis_command_new(r, a, fn, deadline);
    bool cluster = dm_redis_is_cluster(r);
    if (cluster && key.len > 0)
        m->slot = (int)dm_redis_slot(key);
    send_first(m, argv, argc, cluster); /* in a cluster it may be sent on */
}

void dm_redis_send_node(struct dm_redis *r, size_t node, const dm_view *argv, size_t argc,
                        dm_time deadline, struct dm_redis_ask *a, dm_redis_fn fn)
{
    DM_REQUIRE(argc > 0 && argc <= DM_REDIS_ARGS_MAX);
    struct dm_redis_command *m = dm_redis_command_new(r, a, fn, deadline);
    if (dm_redis_is_cluster(r)) {
        m->only = dm_redis_cluster_node(r, node);
        if (m->only == NULL) {
            dm_redis_command_refuse(m);
            return;
        }
    }
    send_first(m, argv, argc, false);
}

void dm_redis_eval(struct dm_redis *r, const struct dm_redis_script *s, const dm_view *keys,
                   size_t n_keys, const dm_view *args, size_t n_args, dm_time deadline,
                   struct dm_redis_ask *a, dm_redis_fn fn)
{
    DM_REQUIRE(n_keys + n_args + 3 <= DM_REDIS_ARGS_MAX);
    dm_view argv[DM_REDIS_ARGS_MAX];
    _Static_assert(DM_REDIS_ARGS_MAX <= 100, "two digits for any number of keys");
    const char count[2] = {(char)('0' + n_keys / 10), (char)('0' + n_keys % 10)};
    const size_t skip = n_keys < 10 ? 1 : 0;
    size_t argc = 0;
    argv[argc++] = DM_LIT("EVALSHA");
    argv[argc++] = dm_view_make(s->sha1, sizeof s->sha1 - 1);
    argv[argc++] = dm_view_make(count + skip, sizeof count - skip);
    for (size_t i = 0; i < n_keys; i++)
        argv[argc++] = keys[i];
    for (size_t i = 0; i < n_args; i++)
        argv[argc++] = args[i];
    struct dm_redis_command *m = dm_redis_command_new(r, a, fn, deadline);
    m->script = s;
    if (n_keys > 0 && dm_redis_is_cluster(r))
        m->slot = (int)dm_redis_slot(keys[0]);
    send_first(m, argv, argc, true);
}

void dm_redis_cancel(struct dm_redis *r, struct dm_redis_ask *a)
{
    (void)r;
    if (!a->pending)
        return;
    struct dm_redis_command *m = a->state_;
    a->pending = false;
    a->state_ = NULL;
    if (m == NULL) {
        dm_list_remove(&a->link_); /* was going to be refused */
        return;
    }
    m->ask = NULL;
    if (m->conn == NULL)
        dm_redis_command_free(m);
    else
        dm_timer_stop(&m->timer); /* its reply is passed over */
}

/* --- answering --- */

static void answer_error(struct dm_redis_command *m, const struct dm_redis_reply *reply)
{
    struct dm_redis_conn *c = m->conn;
    enum dm_redis_fault fault = dm_redis_fault_of(dm_redis_text(reply));
    bool again = fault == DM_REDIS_FAULT_NOSCRIPT && m->script != NULL && m->reloads < SCRIPT_TRIES;
    if (again && dm_redis_script_reload(c, m))
        return;
    if (m->redis->way->redirect(m, reply))
        return;
    unsigned epoch = c->epoch;
    bool unavailable = fault == DM_REDIS_FAULT_UNAVAILABLE || fault == DM_REDIS_FAULT_READONLY ||
                       fault == DM_REDIS_FAULT_MOVED || fault == DM_REDIS_FAULT_ASK;
    if (unavailable)
        dm_redis_log_error(m->redis, &c->address, dm_redis_text(reply));
    dm_redis_command_answer(m, unavailable ? DM_UNAVAILABLE : DM_PROTOCOL, reply);
    if (fault == DM_REDIS_FAULT_READONLY && c->kind->master && c->epoch == epoch)
        dm_redis_conn_fail(c, "the server became a replica");
}

void dm_redis_replied(struct dm_redis_command *m, const struct dm_redis_reply *reply)
{
    bool error = dm_redis_type(reply) == DM_REDIS_ERROR;
    if (!error || m->ask == NULL || m->own)
        dm_redis_command_answer(m, error ? DM_PROTOCOL : DM_OK, reply);
    else
        answer_error(m, reply);
}

static void on_refuse(struct dm_task *t)
{
    struct dm_redis *r = DM_CONTAINER_OF(t, struct dm_redis, refuse);
    struct dm_link now;
    dm_list_init(&now);
    for (struct dm_link *l; (l = dm_list_pop(&r->refused)) != NULL;)
        dm_list_add_tail(&now, l);
    for (struct dm_link *l; (l = dm_list_pop(&now)) != NULL;) {
        struct dm_redis_ask *a = DM_CONTAINER_OF(l, struct dm_redis_ask, link_);
        a->pending = false;
        a->fn(a, DM_UNAVAILABLE, NULL);
    }
}

/* --- state --- */

bool dm_redis_connected(const struct dm_redis *r)
{
    return r->way->connected(r);
}

static void on_state(struct dm_task *t)
{
    struct dm_redis *r = DM_CONTAINER_OF(t, struct dm_redis, state_task);
    bool connected = dm_redis_connected(r);
    if (connected == r->told)
        return;
    r->told = connected;
    struct dm_link tell;
    dm_list_init(&tell);
    for (struct dm_link *l; (l = dm_list_pop(&r->watchers)) != NULL;)
        dm_list_add_tail(&tell, l);
    for (struct dm_link *l; (l = dm_list_pop(&tell)) != NULL;) {
        struct dm_redis_watcher *w = DM_CONTAINER_OF(l, struct dm_redis_watcher, link_);
        dm_list_add_tail(&r->watchers, l); /* it may take itself or others out */
        w->on_state(w, connected);
    }
}

unsigned dm_redis_connections(const struct dm_redis *r)
{
    return r->connections;
}

void dm_redis_state_changed(struct dm_redis *r)
{
    dm_loop_post(r->loop, &r->state_task);
}

void dm_redis_watch(struct dm_redis *r, struct dm_redis_watcher *w)
{
    dm_list_add_tail(&r->watchers, &w->link_);
}

void dm_redis_unwatch(struct dm_redis_watcher *w)
{
    dm_list_remove(&w->link_);
}

/* --- life --- */

static void on_wake(struct dm_task *t)
{
    (void)t; /* that there is a turn is all: its end writes */
}

static void init_lists(struct dm_redis *r)
{
    dm_list_init(&r->dirty);
    dm_list_init(&r->waiting);
    dm_list_init(&r->refused);
    dm_list_init(&r->watchers);
    dm_list_init(&r->channels);
    dm_task_init(&r->wake, on_wake);
    dm_task_init(&r->refuse, on_refuse);
    dm_task_init(&r->state_task, on_state);
    dm_slab_init(&r->commands, sizeof(struct dm_redis_command), COMMANDS_KEPT);
    dm_slab_init(&r->blocks, DM_REDIS_BLOCK, BLOCKS_KEPT);
    r->arenas = dm_arena_pool_new(ARENA_CHUNK, ARENAS_KEPT);
}

static const struct dm_redis_way *way_of(enum dm_redis_mode mode)
{
    switch (mode) {
    case DM_REDIS_STANDALONE:
        return &dm_redis_single;
    case DM_REDIS_SENTINEL:
        return &dm_redis_by_sentinel;
    case DM_REDIS_CLUSTER:
        return &dm_redis_by_slots;
    }
    DM_UNREACHABLE();
}

enum dm_code dm_redis_new(struct dm_loop *loop, struct dm_resolver *resolver,
                          const struct dm_redis_config *c, struct dm_redis **ret,
                          struct dm_error *err)
{
    struct dm_redis *r = DM_NEW(struct dm_redis);
    enum dm_code rc = dm_redis_config_copy(r, c, err);
    if (rc != DM_OK) {
        dm_redis_config_done(r);
        dm_mem_free(r);
        return rc;
    }
    r->loop = loop;
    r->resolver = resolver;
    r->way = way_of(r->config.mode);
    init_lists(r);
    dm_loop_at_end(loop, dm_redis_pipe_end, r);
    dm_redis_conn_init(&r->channels_conn, r, &dm_redis_channels_kind);
    r->way->start(r);
    *ret = r;
    return DM_OK;
}

static bool idle(const struct dm_redis *r)
{
    return dm_list_empty(&r->waiting) && dm_list_empty(&r->refused);
}

static void answer_waiting(struct dm_redis *r)
{
    for (struct dm_link *l; (l = dm_list_pop(&r->waiting)) != NULL;) {
        struct dm_redis_command *m = DM_CONTAINER_OF(l, struct dm_redis_command, link);
        dm_redis_command_answer(m, DM_UNAVAILABLE, NULL);
    }
    on_refuse(&r->refuse);
}

void dm_redis_free(struct dm_redis *r)
{
    if (r == NULL)
        return;
    dm_loop_drop_end(r->loop, dm_redis_pipe_end, r);
    dm_redis_conn_done(&r->channels_conn);
    r->way->stop(r);
    /* Who is told may ask once more, say by another way; who does so for ever is wrong. */
    for (int i = 0; i < FREE_ROUNDS && !idle(r); i++)
        answer_waiting(r);
    DM_REQUIRE(idle(r));
    dm_loop_unpost(&r->wake);
    dm_loop_unpost(&r->refuse);
    dm_loop_unpost(&r->state_task);
    dm_slab_done(&r->commands);
    dm_slab_done(&r->blocks);
    dm_arena_pool_free(r->arenas);
    dm_redis_config_done(r);
    dm_mem_free(r->sentinel);
    dm_mem_free(r->cluster);
    dm_mem_free(r);
}
