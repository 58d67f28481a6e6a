#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "store/redis/live_redis_publish.h"

#include "base/poison.h"

/* Everything, as one generation: only what differs where the store still knows what it was told,
 * every object where it does not. A sidecar sees the old whole until it sees the new one. */

enum {
    PIECE = 256,       /* objects of one round */
    SCAN_ROUNDS = 256, /* then the lease is renewed */
    KEYS_CAP = 512 * 1024 * 1024,
    /* Objects on demand that differ wait here until their names are announced, and sidecars hold
     * those names while they read them (some 300 bytes each). As many make a generation of their
     * own: each object stands for itself, so that nothing is half in force. */
    ON_DEMAND_MAX = 4 * 1024,
    ON_DEMAND_BYTES = 16 * 1024 * 1024
};

struct kept { /* a change that waits for the end; one allocation */
    struct dm_live_change change;
    char text[];
};

struct live_session {
    bool anew; /* nothing there can be relied on */
    uint64_t target;
    struct dm_policy_table names; /* of the delta */
    uint64_t *seen;               /* hashes of the names that were put */
    size_t n_seen, room_seen;
    struct kept **kept;
    size_t n_kept, room_kept;
    size_t n_on_demand, bytes_on_demand; /* of those kept */
};

void live_session_free(struct live_session *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->n_kept; i++)
        dm_mem_free(s->kept[i]);
    dm_mem_free(s->kept);
    dm_mem_free(s->seen);
    dm_policy_table_done(&s->names);
    dm_mem_free(s);
}

/* --- begin --- */

static void start_anew(struct live_publisher *p, struct live_session *s, uint64_t floor)
{
    s->anew = true;
    if (floor >= s->target)
        s->target = floor + 1;
    dm_policy_table_done(&p->table);
    p->manifest = p->manifest_before = 0;
    p->lost = true; /* until the end: nobody publishes single changes into the half of it */
}

static enum dm_code begin(struct live_publisher *p, uint64_t floor, struct dm_error *err)
{
    enum dm_code rc;
    if (!p->held)
        return DM_FAIL(err, DM_BUG, ERR_NONE, "could not publish everything: no lease");
    rc = live_publisher_renew(p, err);
    if (rc == DM_OK)
        rc = live_publisher_look(p, err);
    if (rc != DM_OK)
        return rc;
    struct live_session *s = DM_NEW(struct live_session);
    p->session = s;
    s->target = p->highest + 1;
    if (p->lost || p->current.len == 0)
        start_anew(p, s, floor);
    else
        rc = live_publisher_adopt(p, &s->names, err);
    return rc;
}

enum dm_code live_redis_republish_begin(struct dm_live_admin *a, uint64_t floor,
                                        struct dm_error *err)
{
    struct live_publisher *p = live_redis_admin_of(a)->publisher;
    (void)pthread_mutex_lock(&p->lock);
    live_session_free(DM_TAKE(p->session));
    enum dm_code rc = begin(p, floor, err);
    (void)pthread_mutex_unlock(&p->lock);
    return rc;
}

/* --- put --- */

static uint64_t name_hash(dm_view kind, dm_view id)
{
    return dm_view_hash(id, dm_view_hash(kind, 1));
}

static void note_seen(struct live_session *s, const struct dm_live_change *c)
{
    if (s->n_seen == s->room_seen) {
        s->room_seen = s->room_seen == 0 ? 1024 : 2 * s->room_seen;
        s->seen = dm_mem_grow(s->seen, s->room_seen, sizeof *s->seen);
    }
    s->seen[s->n_seen++] = name_hash(c->kind, c->id);
}

static dm_view copy(char **at, dm_view v)
{
    char *to = *at;
    if (v.len > 0)
        memcpy(to, v.ptr, v.len);
    *at += v.len;
    return dm_view_make(v.ptr == NULL ? NULL : to, v.len);
}

static void keep(struct live_session *s, const struct dm_live_change *c)
{
    struct kept *k = dm_mem_alloc(sizeof *k + c->kind.len + c->id.len + c->bytes.len + 1);
    char *at = k->text;
    k->change.kind = copy(&at, c->kind);
    k->change.id = copy(&at, c->id);
    k->change.bytes = copy(&at, c->bytes);
    if (s->n_kept == s->room_kept) {
        s->room_kept = s->room_kept == 0 ? 64 : 2 * s->room_kept;
        s->kept = dm_mem_grow(s->kept, s->room_kept, sizeof(struct kept *));
    }
    s->kept[s->n_kept++] = k;
    if (dm_live_kind_on_demand(c->kind)) {
        s->n_on_demand++;
        s->bytes_on_demand += c->bytes.len;
    }
}

/* --- writing what was kept --- */

static enum dm_code write_kept(struct live_publisher *p, size_t from, struct dm_error *err)
{
    const struct live_session *s = p->session;
    struct dm_live_change piece[PIECE];
    enum dm_code rc = DM_OK;
    for (size_t at = from; rc == DM_OK && at < s->n_kept; at += PIECE) {
        size_t n = s->n_kept - at < PIECE ? s->n_kept - at : PIECE;
        for (size_t i = 0; i < n; i++)
            piece[i] = s->kept[at + i]->change;
        rc = live_publisher_renew(p, err);
        if (rc == DM_OK)
            rc = live_publisher_write(p, s->target, piece, n, err);
    }
    return rc;
}

static void name_kept(struct live_session *s, size_t from)
{
    for (size_t i = from; i < s->n_kept; i++)
        dm_policy_table_put(&s->names, live_publisher_record(&s->kept[i]->change, s->target));
}

/* Those of the snapshot first, in their order; gives how many. */
static size_t part_kept(struct live_session *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_kept; i++) {
        struct kept *k = s->kept[i];
        if (dm_live_kind_on_demand(k->change.kind))
            continue;
        s->kept[i] = s->kept[n];
        s->kept[n++] = k;
    }
    return n;
}

/* Enough objects on demand are waiting: a generation of theirs, and room for more. */
static enum dm_code make_room(struct live_publisher *p, struct dm_error *err)
{
    struct live_session *s = p->session;
    size_t set = p->admin->config.policy_batch, most = set != 0 ? set : ON_DEMAND_MAX;
    if (s->anew || (s->n_on_demand < most && s->bytes_on_demand < ON_DEMAND_BYTES))
        return DM_OK;
    size_t from = part_kept(s);
    /* with a manifest: whoever starts later need not read the list of these names */
    struct live_generation g = {.number = s->target, .names = &s->names, .manifest = true};
    name_kept(s, from);
    enum dm_code rc = live_generation_announce(p, &g, err);
    if (rc == DM_OK)
        rc = write_kept(p, from, err);
    if (rc == DM_OK)
        rc = live_generation_raise(p, &g, err);
    dm_policy_table_done(&s->names);
    while (s->n_kept > from)
        dm_mem_free(s->kept[--s->n_kept]);
    s->n_on_demand = s->bytes_on_demand = 0;
    s->target = p->highest + 1;
    return rc;
}

static bool in_table(const struct live_publisher *p, const struct dm_live_change *c)
{
    const struct dm_policy_record *r = dm_policy_table_get(&p->table, c->kind, c->id);
    unsigned char sha256[DM_SHA256_LEN];
    if (r == NULL || r->deleted)
        return false;
    dm_sha256(c->bytes, sha256);
    return memcmp(sha256, r->sha256, sizeof sha256) == 0;
}

static bool in_store(const struct live_publisher *p, const struct dm_live_change *c,
                     const struct live_cmd *answer, dm_view key)
{
    struct dm_policy_value v;
    if (answer->text == NULL || dm_policy_open(live_cmd_text(answer), DM_POLICY_OBJECT, key,
                                               p->verifier, &v) != DM_POLICY_GOOD)
        return false;
    return v.deleted == (c->bytes.ptr == NULL) && dm_view_eq(v.payload, c->bytes);
}

static bool listed(const struct live_publisher *p, const struct dm_live_change *c)
{
    return dm_live_kind_on_demand(c->kind) || c->bytes.ptr == NULL || in_table(p, c);
}

/* What stands there is read and compared, also where a list promises that it is right: an object
 * that was evicted or overwritten would keep every new sidecar from starting. */
static enum dm_code compare_piece(struct live_publisher *p, const struct dm_live_change **changes,
                                  size_t n, struct dm_error *err)
{
    struct live_cmd *cmds = dm_mem_array(n + 1, sizeof *cmds);
    struct dm_live_key *keys = dm_mem_array(n + 1, sizeof *keys);
    for (size_t i = 0; i < n; i++) {
        dm_live_key_object(&keys[i], changes[i]->kind, changes[i]->id);
        dm_view key = dm_live_key_view(&keys[i]);
        cmds[i] =
            (struct live_cmd){.key = key, .argv = {DM_LIT("GET"), key}, .argc = 2, .ours = true};
    }
    enum dm_code rc = live_publisher_round(p, cmds, n, "read what is published", err);
    for (size_t i = 0; rc == DM_OK && i < n; i++) {
        if (!listed(p, changes[i]) ||
            !in_store(p, changes[i], &cmds[i], dm_live_key_view(&keys[i])))
            keep(p->session, changes[i]);
    }
    live_publisher_round_done(cmds, n);
    dm_mem_free(cmds);
    dm_mem_free(keys);
    return rc;
}

static enum dm_code put_piece(struct live_publisher *p, const struct dm_live_change *changes,
                              size_t n, struct dm_error *err)
{
    const struct dm_live_change *all[PIECE];
    struct live_session *s = p->session;
    enum dm_code rc = live_publisher_renew(p, err);
    for (size_t i = 0; i < n; i++)
        note_seen(s, &changes[i]);
    if (rc != DM_OK)
        return rc;
    if (s->anew) {
        rc = live_publisher_write(p, s->target, changes, n, err);
        for (size_t i = 0; rc == DM_OK && i < n; i++) {
            if (!dm_live_kind_on_demand(changes[i].kind))
                dm_policy_table_put(&s->names, live_publisher_record(&changes[i], s->target));
        }
        return rc;
    }
    for (size_t i = 0; i < n; i++)
        all[i] = &changes[i];
    rc = compare_piece(p, all, n, err);
    return rc == DM_OK ? make_room(p, err) : rc;
}

enum dm_code live_redis_republish_put(struct dm_live_admin *a, const struct dm_live_change *changes,
                                      size_t n, struct dm_error *err)
{
    struct live_publisher *p = live_redis_admin_of(a)->publisher;
    enum dm_code rc = live_publisher_check(changes, n, err);
    (void)pthread_mutex_lock(&p->lock);
    if (rc == DM_OK && p->session == NULL)
        rc = DM_FAIL(err, DM_BUG, ERR_NONE, "could not publish everything: not begun");
    for (size_t at = 0; rc == DM_OK && at < n; at += PIECE)
        rc = put_piece(p, changes + at, n - at < PIECE ? n - at : PIECE, err);
    (void)pthread_mutex_unlock(&p->lock);
    return rc;
}

/* --- end: what was not put is gone --- */

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static bool was_put(const struct live_session *s, dm_view kind, dm_view id)
{
    uint64_t hash = name_hash(kind, id);
    return s->n_seen > 0 && bsearch(&hash, s->seen, s->n_seen, sizeof hash, by_number) != NULL;
}

static void drop_from_snapshot(struct live_publisher *p)
{
    struct dm_policy_record **all = dm_policy_table_all(&p->table);
    for (size_t i = 0; i < dm_policy_table_count(&p->table); i++) {
        struct dm_policy_entry e = dm_policy_record_entry(all[i]);
        const struct dm_live_change gone = {.kind = e.kind, .id = e.id};
        if (!was_put(p->session, e.kind, e.id))
            keep(p->session, &gone);
    }
    dm_mem_free(all);
}

struct scan_call {
    struct live_redis_call call;
    struct dm_redis_ask ask;
    const struct live_session *session; /* the caller waits */
    size_t node, rounds;
    char cursor[24];
    bool done;
    struct dm_buf *keys; /* names of objects on demand that were not put: u16, key */
};

static void scan_next(struct scan_call *c);

static bool split_key(dm_view key, dm_view *kind, dm_view *id)
{
    const dm_view prefix = DM_LIT("doorman:policy:obj:");
    if (!dm_view_starts(key, prefix))
        return false;
    *id = dm_view_sub(key, prefix.len, SIZE_MAX);
    return dm_view_split(id, ':', kind) && id->len > 0 && id->len <= DM_LIVE_ID_MAX;
}

static void take_key(struct scan_call *c, dm_view key)
{
    dm_view kind, id;
    if (!split_key(key, &kind, &id) || !dm_live_kind_on_demand(kind) ||
        was_put(c->session, kind, id))
        return;
    dm_buf_add_byte(c->keys, (char)(unsigned char)(key.len >> 8));
    dm_buf_add_byte(c->keys, (char)(unsigned char)key.len);
    dm_buf_add(c->keys, key);
}

static void on_scanned(struct dm_redis_ask *a, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct scan_call *c = DM_CONTAINER_OF(a, struct scan_call, ask);
    const struct dm_redis_reply *keys = dm_redis_at(reply, 1);
    dm_view cursor = dm_redis_text(dm_redis_at(reply, 0));
    if (rc == DM_OK && (cursor.len == 0 || cursor.len >= sizeof c->cursor))
        rc = DM_PROTOCOL;
    if (rc != DM_OK) {
        live_redis_call_end(&c->call, rc);
        return;
    }
    for (size_t i = 0; i < dm_redis_len(keys); i++)
        take_key(c, dm_redis_text(dm_redis_at(keys, i)));
    memcpy(c->cursor, cursor.ptr, cursor.len);
    c->cursor[cursor.len] = '\0';
    if (dm_view_eq(cursor, DM_LIT("0"))) {
        c->node++;
        c->done = c->node >= dm_redis_nodes(c->call.admin->redis);
    }
    if (c->done || ++c->rounds % SCAN_ROUNDS == 0)
        live_redis_call_end(&c->call, DM_OK);
    else
        scan_next(c);
}

static void scan_next(struct scan_call *c)
{
    struct live_redis_admin *a = c->call.admin;
    const dm_view argv[] = {DM_LIT("SCAN"),  dm_view_of(c->cursor),
                            DM_LIT("MATCH"), DM_LIT("doorman:policy:obj:*"),
                            DM_LIT("COUNT"), DM_LIT("1000")};
    dm_redis_send_node(a->redis, c->node, argv, DM_COUNT_OF(argv),
                       dm_loop_now(a->loop) + a->timeout, &c->ask, on_scanned);
}

static void start_scan(struct live_redis_call *call)
{
    scan_next(DM_CONTAINER_OF(call, struct scan_call, call));
}

static enum dm_code scan(struct live_publisher *p, struct dm_buf *keys, struct dm_error *err)
{
    struct scan_call c = {.session = p->session, .cursor = "0", .keys = keys};
    enum dm_code rc = DM_OK;
    while (rc == DM_OK && !c.done) {
        rc = live_publisher_renew(p, err);
        if (rc == DM_OK)
            rc = live_redis_call(&p->admin->base, &c.call, start_scan, "read what is published",
                                 err);
    }
    return rc;
}

static enum dm_code drop_piece(struct live_publisher *p, const struct dm_live_change *gone,
                               size_t n, struct dm_error *err)
{
    const struct dm_live_change *all[PIECE];
    if (n == 0)
        return DM_OK;
    for (size_t i = 0; i < n; i++)
        all[i] = &gone[i];
    enum dm_code rc = live_publisher_renew(p, err);
    if (rc == DM_OK)
        rc = compare_piece(p, all, n, err); /* keeps those that are not deleted yet */
    return rc == DM_OK ? make_room(p, err) : rc;
}

static enum dm_code drop_on_demand(struct live_publisher *p, struct dm_error *err)
{
    struct dm_live_change gone[PIECE];
    struct dm_buf keys;
    size_t n = 0;
    dm_buf_init(&keys, KEYS_CAP);
    enum dm_code rc = scan(p, &keys, err);
    dm_view rest = dm_buf_view(&keys);
    while (rc == DM_OK && rest.len > 2) {
        size_t len = (size_t)(unsigned char)rest.ptr[0] << 8 | (unsigned char)rest.ptr[1];
        dm_view key = dm_view_sub(rest, 2, len);
        rest = dm_view_sub(rest, 2 + len, SIZE_MAX);
        gone[n] = (struct dm_live_change){0};
        DM_ASSERT(split_key(key, &gone[n].kind, &gone[n].id));
        if (++n == PIECE || rest.len <= 2) {
            rc = drop_piece(p, gone, n, err);
            n = 0;
        }
    }
    dm_buf_done(&keys);
    return rc;
}

/* A delta of that number could only be a leftover: the manifest is what counts. */
static enum dm_code delete_delta(struct live_publisher *p, struct dm_error *err)
{
    struct dm_live_key key;
    dm_policy_key_delta(&key, p->session->target);
    dm_view name = dm_live_key_view(&key);
    struct live_cmd cmd = {.key = name, .argv = {DM_LIT("DEL"), name}, .argc = 2};
    enum dm_code rc = live_publisher_round(p, &cmd, 1, "publish", err);
    live_publisher_round_done(&cmd, 1);
    return rc;
}

static enum dm_code finish(struct live_publisher *p, bool forget, struct dm_error *err)
{
    struct live_session *s = p->session;
    enum dm_code rc = DM_OK;
    if (s->n_seen > 0)
        qsort(s->seen, s->n_seen, sizeof *s->seen, by_number);
    if (!s->anew)
        drop_from_snapshot(p);
    rc = drop_on_demand(p, err);
    if (!s->anew)
        name_kept(s, 0);
    if (rc != DM_OK || (!s->anew && !forget && dm_policy_table_count(&s->names) == 0))
        return rc;
    struct live_generation g = {
        .number = s->target, .names = &s->names, .forget = forget, .manifest = s->anew};
    rc = s->anew ? delete_delta(p, err) : live_generation_announce(p, &g, err);
    if (rc == DM_OK)
        rc = write_kept(p, 0, err);
    return rc == DM_OK ? live_generation_raise(p, &g, err) : rc;
}

enum dm_code live_redis_republish_end(struct dm_live_admin *a, bool forget,
                                      uint64_t *ret_generation, struct dm_error *err)
{
    struct live_publisher *p = live_redis_admin_of(a)->publisher;
    enum dm_code rc = DM_OK;
    (void)pthread_mutex_lock(&p->lock);
    if (p->session == NULL)
        rc = DM_FAIL(err, DM_BUG, ERR_NONE, "could not publish everything: not begun");
    if (rc == DM_OK)
        rc = finish(p, forget, err);
    if (rc == DM_OK && ret_generation != NULL)
        *ret_generation = p->generation;
    live_session_free(DM_TAKE(p->session));
    (void)pthread_mutex_unlock(&p->lock);
    return rc;
}
