/* Redis Cluster: the map of slots, one connection per master, MOVED and ASK. The map comes from
 * CLUSTER SLOTS over a connection of its own, to a seed or to any node that is known: at first,
 * every few seconds, and when an answer or a lost node says that it is old. */
#include "store/redis/redis_internal.h"

#include <string.h>

#include "base/assert.h"

#include "base/poison.h"

enum {
    NODES_MAX = 256, /* a map that names more is not believed */
    NOBODY = NODES_MAX,
    REDIRECTS_MAX = 5 /* of one command */
};
/* Often enough to see a new master before callers do, rarely enough to cost nothing. */
static const dm_time LOOK_EVERY = 5 * DM_SEC, LOOK_SOON = 50 * DM_MS, ANSWER_IN = DM_SEC;

struct node {
    struct dm_redis_conn conn;
    bool listed; /* the map names it as a master */
};
struct dm_redis_cluster {
    struct dm_redis_conn map_conn;
    struct dm_redis_own question;
    struct dm_timer look;
    bool soon; /* the timer is set for LOOK_SOON */
    size_t next_seed;
    bool known; /* there is a map */
    struct node *nodes[NODES_MAX];
    size_t n_nodes;
    uint16_t owner[DM_REDIS_SLOTS]; /* index into nodes, or NOBODY */
};

bool dm_redis_is_cluster(const struct dm_redis *r)
{
    return r->cluster != NULL;
}

/* --- nodes --- */

static void look_soon(struct dm_redis *r)
{
    struct dm_redis_cluster *k = r->cluster;
    if (k->soon)
        return;
    k->soon = true;
    dm_timer_start(r->loop, &k->look, LOOK_SOON);
}

static void node_aim(struct dm_redis_conn *c)
{
    dm_redis_conn_dial(c);
}

static void node_lost(struct dm_redis_conn *c)
{
    look_soon(c->redis);
    dm_redis_state_changed(c->redis);
}

static const struct dm_redis_conn_kind node_kind = {
    .aim = node_aim, .on_ready = dm_redis_on_main_ready, .on_lost = node_lost};

/* NOBODY: there are too many. */
static uint16_t node_of(struct dm_redis *r, const struct dm_redis_address *a)
{
    struct dm_redis_cluster *k = r->cluster;
    for (size_t i = 0; i < k->n_nodes; i++) {
        if (dm_redis_address_eq(&k->nodes[i]->conn.address, a))
            return (uint16_t)i;
    }
    if (k->n_nodes == NODES_MAX)
        return NOBODY;
    struct node *n = DM_NEW(struct node);
    dm_redis_conn_init(&n->conn, r, &node_kind);
    n->conn.address = *a;
    k->nodes[k->n_nodes] = n;
    dm_redis_conn_start(&n->conn, 0);
    return (uint16_t)k->n_nodes++;
}

static void refuse_those_for(struct dm_redis *r, const struct dm_redis_conn *c)
{
    DM_LIST_EACH_SAFE(&r->waiting, l, tmp)
    {
        struct dm_redis_command *m = DM_CONTAINER_OF(l, struct dm_redis_command, link);
        if (m->only == c)
            dm_redis_command_refuse(m); /* calls nobody now */
    }
}

static void node_free(struct node *n)
{
    refuse_those_for(n->conn.redis, &n->conn);
    dm_redis_conn_done(&n->conn);
    dm_mem_free(n);
}

/* Nodes that the map no longer names. Called where no connection but the map's own is being
 * read. */
static void drop_unlisted(struct dm_redis *r)
{
    struct dm_redis_cluster *k = r->cluster;
    uint16_t moved[NODES_MAX + 1];
    struct node *dropped[NODES_MAX];
    size_t kept = 0, n_dropped = 0;
    moved[NOBODY] = NOBODY;
    for (size_t i = 0; i < k->n_nodes; i++) {
        struct node *n = k->nodes[i];
        moved[i] = n->listed ? (uint16_t)kept : NOBODY;
        if (n->listed)
            k->nodes[kept++] = n;
        else
            dropped[n_dropped++] = n;
    }
    k->n_nodes = kept;
    for (size_t slot = 0; slot < DM_REDIS_SLOTS; slot++)
        k->owner[slot] = moved[k->owner[slot]];
    for (size_t i = 0; i < n_dropped; i++) /* their askers are told, and may ask again */
        node_free(dropped[i]);
}

/* --- the map --- */

static bool range_of(const struct dm_redis_reply *range, const struct dm_redis_conn *from,
                     int64_t *ret_first, int64_t *ret_last, struct dm_redis_address *ret)
{
    const struct dm_redis_reply *master = dm_redis_at(range, 2);
    dm_view host = dm_redis_text(dm_redis_at(master, 0));
    if (host.len == 0) /* the one that was asked does not know its own name */
        host = dm_view_of(from->address.host);
    *ret_first = dm_redis_int(dm_redis_at(range, 0));
    *ret_last = dm_redis_int(dm_redis_at(range, 1));
    return *ret_first >= 0 && *ret_first <= *ret_last && *ret_last < DM_REDIS_SLOTS &&
           dm_redis_type(dm_redis_at(range, 0)) == DM_REDIS_INT &&
           dm_redis_address_set(host, dm_redis_int(dm_redis_at(master, 1)), ret);
}

static bool map_is_sound(const struct dm_redis_reply *reply, const struct dm_redis_conn *from)
{
    int64_t first, last;
    struct dm_redis_address a;
    for (size_t i = 0; i < dm_redis_len(reply); i++) {
        if (!range_of(dm_redis_at(reply, i), from, &first, &last, &a))
            return false;
    }
    return dm_redis_type(reply) == DM_REDIS_ARRAY;
}

static void take_map(struct dm_redis *r, const struct dm_redis_reply *reply)
{
    struct dm_redis_cluster *k = r->cluster;
    for (size_t i = 0; i < k->n_nodes; i++)
        k->nodes[i]->listed = false;
    for (size_t slot = 0; slot < DM_REDIS_SLOTS; slot++)
        k->owner[slot] = NOBODY;
    for (size_t i = 0; i < dm_redis_len(reply); i++) {
        int64_t first, last;
        struct dm_redis_address a;
        if (!range_of(dm_redis_at(reply, i), &k->map_conn, &first, &last, &a))
            continue; /* cannot be: it was looked at before */
        uint16_t owner = node_of(r, &a);
        if (owner != NOBODY)
            k->nodes[owner]->listed = true;
        for (int64_t slot = first; slot <= last; slot++)
            k->owner[slot] = owner;
    }
    k->known = true;
    drop_unlisted(r);
    dm_redis_send_waiting(r);
    dm_redis_state_changed(r);
}

static void on_map(struct dm_redis_ask *a, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct dm_redis_conn *c = DM_CONTAINER_OF(a, struct dm_redis_own, ask)->conn;
    if (c->state != DM_REDIS_READY)
        return;
    if (rc == DM_OK && map_is_sound(reply, c))
        take_map(c->redis, reply);
    else
        dm_redis_conn_fail(c,
                           rc == DM_PROTOCOL ? "the server is in no cluster" : "no map of slots");
}

static void ask_map(struct dm_redis *r)
{
    struct dm_redis_cluster *k = r->cluster;
    const dm_view argv[] = {DM_LIT("CLUSTER"), DM_LIT("SLOTS")};
    if (k->question.ask.pending || k->map_conn.state != DM_REDIS_READY)
        return; /* asked, or asked as soon as there is somebody to ask */
    dm_time deadline = dm_loop_now(r->loop) + ANSWER_IN;
    if (!dm_redis_pipe_ask(&k->map_conn, argv, 2, deadline, &k->question, on_map))
        dm_redis_conn_fail(&k->map_conn, "no room for a question");
}

static void on_look(struct dm_timer *t)
{
    struct dm_redis_cluster *k = DM_CONTAINER_OF(t, struct dm_redis_cluster, look);
    struct dm_redis *r = k->map_conn.redis;
    k->soon = false;
    dm_timer_start(r->loop, &k->look, LOOK_EVERY);
    ask_map(r);
}

static void map_aim(struct dm_redis_conn *c)
{
    struct dm_redis *r = c->redis;
    struct dm_redis_cluster *k = r->cluster;
    size_t i = k->next_seed++ % (r->config.n_hosts + k->n_nodes);
    c->address =
        i < r->config.n_hosts ? r->hosts[i] : k->nodes[i - r->config.n_hosts]->conn.address;
    dm_redis_conn_dial(c);
}

static void map_ready(struct dm_redis_conn *c)
{
    ask_map(c->redis);
}

static void map_lost(struct dm_redis_conn *c)
{
    (void)c; /* the next attempt takes the next seed */
}

static const struct dm_redis_conn_kind map_kind = {
    .aim = map_aim, .on_ready = map_ready, .on_lost = map_lost};

/* --- where a command goes --- */

static bool is_ready(const struct dm_redis_conn *c)
{
    return c->state == DM_REDIS_READY;
}

static struct dm_redis_conn *any_ready(const struct dm_redis_cluster *k)
{
    for (size_t i = 0; i < k->n_nodes; i++) {
        if (k->nodes[i]->listed && is_ready(&k->nodes[i]->conn))
            return &k->nodes[i]->conn;
    }
    return NULL;
}

static struct dm_redis_conn *find(struct dm_redis *r, const struct dm_redis_command *m,
                                  bool *ret_hopeless)
{
    struct dm_redis_cluster *k = r->cluster;
    if (m->only != NULL)
        return is_ready(m->only) ? m->only : NULL;
    if (m->slot == DM_REDIS_ANY_SLOT)
        return any_ready(k);
    unsigned owner = k->owner[m->slot];
    if (owner == NOBODY) {
        *ret_hopeless = k->known;
        return NULL;
    }
    struct dm_redis_conn *c = &k->nodes[owner]->conn;
    return is_ready(c) ? c : NULL;
}

static bool connected(const struct dm_redis *r)
{
    const struct dm_redis_cluster *k = r->cluster;
    bool any = false;
    for (size_t i = 0; i < k->n_nodes; i++) {
        if (k->nodes[i]->listed && !is_ready(&k->nodes[i]->conn))
            return false;
        any = any || k->nodes[i]->listed;
    }
    return k->known && any;
}

/* "MOVED 3999 127.0.0.1:6381", "ASK ...": no host means that of the server that says it. */
static bool target_of(dm_view said, const struct dm_redis_conn *from, uint64_t *ret_slot,
                      struct dm_redis_address *ret)
{
    dm_view word, slot, rest = said;
    if (!dm_view_split(&rest, ' ', &word) || !dm_view_split(&rest, ' ', &slot))
        return false;
    size_t colon = rest.len;
    while (colon > 0 && rest.ptr[colon - 1] != ':')
        colon--;
    uint64_t port;
    if (colon == 0 || !dm_parse_u64(dm_view_sub(rest, colon, rest.len), UINT16_MAX, &port) ||
        !dm_parse_u64(slot, DM_REDIS_SLOTS - 1, ret_slot))
        return false;
    dm_view host = colon > 1 ? dm_view_sub(rest, 0, colon - 1) : dm_view_of(from->address.host);
    return dm_redis_address_set(host, (int64_t)port, ret);
}

static bool redirect(struct dm_redis_command *m, const struct dm_redis_reply *reply)
{
    struct dm_redis *r = m->redis;
    struct dm_redis_cluster *k = r->cluster;
    enum dm_redis_fault fault = dm_redis_fault_of(dm_redis_text(reply));
    struct dm_redis_address to;
    uint64_t slot;
    if (fault != DM_REDIS_FAULT_OTHER && fault != DM_REDIS_FAULT_NOSCRIPT)
        look_soon(r);
    if (fault != DM_REDIS_FAULT_MOVED && fault != DM_REDIS_FAULT_ASK)
        return false;
    if (m->kept == NULL || m->redirects == REDIRECTS_MAX ||
        !target_of(dm_redis_text(reply), m->conn, &slot, &to))
        return false;
    uint16_t node = node_of(r, &to);
    if (node == NOBODY)
        return false;
    m->redirects++;
    if (fault == DM_REDIS_FAULT_MOVED) {
        k->owner[slot] = node;
        k->nodes[node]->listed = true;
    } else {
        m->asking = true;
        m->only = &k->nodes[node]->conn;
    }
    dm_redis_send_kept(m);
    return true;
}

static void aim_channels(struct dm_redis_conn *c)
{
    const struct dm_redis_conn *node = any_ready(c->redis->cluster);
    if (node == NULL) {
        dm_redis_conn_fail(c, NULL); /* why is told where nodes are looked for */
        return;
    }
    c->address = node->address;
    dm_redis_conn_dial(c);
}

size_t dm_redis_nodes(const struct dm_redis *r)
{
    return r->cluster == NULL ? 1 : r->cluster->n_nodes;
}

bool dm_redis_node_slot(const struct dm_redis *r, size_t node, unsigned *ret_slot)
{
    for (unsigned slot = 0; r->cluster != NULL && slot < DM_REDIS_SLOTS; slot++) {
        if (r->cluster->owner[slot] == node) {
            *ret_slot = slot;
            return true;
        }
    }
    return false;
}

struct dm_redis_conn *dm_redis_cluster_node(struct dm_redis *r, size_t i)
{
    return i < r->cluster->n_nodes ? &r->cluster->nodes[i]->conn : NULL;
}

static void start(struct dm_redis *r)
{
    struct dm_redis_cluster *k = r->cluster = DM_NEW(struct dm_redis_cluster);
    for (size_t slot = 0; slot < DM_REDIS_SLOTS; slot++)
        k->owner[slot] = NOBODY;
    dm_timer_init(&k->look, on_look);
    dm_timer_start(r->loop, &k->look, LOOK_EVERY);
    dm_redis_conn_init(&k->map_conn, r, &map_kind);
    dm_redis_conn_start(&k->map_conn, 0);
}

static void stop(struct dm_redis *r)
{
    struct dm_redis_cluster *k = r->cluster;
    dm_timer_stop(&k->look);
    dm_redis_conn_done(&k->map_conn);
    for (size_t i = 0; i < k->n_nodes; i++)
        dm_redis_conn_stop(&k->nodes[i]->conn);
    for (size_t slot = 0; slot < DM_REDIS_SLOTS; slot++)
        k->owner[slot] = NOBODY;
    k->known = true; /* so that nothing waits any more */
    for (size_t i = 0; i < k->n_nodes; i++)
        node_free(k->nodes[i]);
    k->n_nodes = 0;
}

const struct dm_redis_way dm_redis_by_slots = {
    .start = start,
    .stop = stop,
    .find = find,
    .connected = connected,
    .aim_channels = aim_channels,
    .redirect = redirect,
};
