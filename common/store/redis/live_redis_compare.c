#include <string.h>

#include "base/assert.h"
#include "store/redis/live_redis_publish.h"

#include "base/poison.h"

/* What is published, compared with what should be; and the names of all objects on demand. */

enum {
    PIECE = LIVE_COMPARE_MAX,
    SCAN_ROUNDS = 256, /* then the lease is renewed, where it is held */
    KEYS_CAP = 512 * 1024 * 1024
};

/* --- comparing --- */

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

enum dm_code live_publisher_compare(struct live_publisher *p, const struct dm_live_change *changes,
                                    size_t n, bool *ret_differs, struct dm_error *err)
{
    DM_ASSERT(n <= PIECE);
    struct live_cmd *cmds = dm_mem_array(n + 1, sizeof *cmds);
    struct dm_live_key *keys = dm_mem_array(n + 1, sizeof *keys);
    for (size_t i = 0; i < n; i++) {
        dm_live_key_object(&keys[i], changes[i].kind, changes[i].id);
        dm_view key = dm_live_key_view(&keys[i]);
        cmds[i] =
            (struct live_cmd){.key = key, .argv = {DM_LIT("GET"), key}, .argc = 2, .ours = true};
    }
    enum dm_code rc = live_publisher_round(p, cmds, n, "read what is published", err);
    for (size_t i = 0; rc == DM_OK && i < n; i++)
        ret_differs[i] = !listed(p, &changes[i]) ||
                         !in_store(p, &changes[i], &cmds[i], dm_live_key_view(&keys[i]));
    live_publisher_round_done(cmds, n);
    dm_mem_free(cmds);
    dm_mem_free(keys);
    return rc;
}

enum dm_code live_redis_compare(struct dm_live_admin *a, const struct dm_live_change *changes,
                                size_t n, bool *ret_differs, struct dm_error *err)
{
    struct live_publisher *p = live_redis_admin_of(a)->publisher;
    enum dm_code rc = live_publisher_check(changes, n, err);
    for (size_t at = 0; rc == DM_OK && at < n; at += PIECE) {
        (void)pthread_mutex_lock(&p->lock);
        rc = live_publisher_compare(p, changes + at, n - at < PIECE ? n - at : PIECE,
                                    ret_differs + at, err);
        (void)pthread_mutex_unlock(&p->lock);
    }
    return rc;
}

/* --- names --- */

struct scan_call {
    struct live_redis_call call;
    struct dm_redis_ask ask;
    size_t node, rounds;
    char cursor[24];
    bool done;
    struct dm_buf *keys; /* of objects on demand: u16, key */
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
    if (!split_key(key, &kind, &id) || !dm_live_kind_on_demand(kind))
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

static enum dm_code scan(struct live_publisher *p, bool leased, struct dm_buf *keys,
                         struct dm_error *err)
{
    struct scan_call c = {.cursor = "0", .keys = keys};
    enum dm_code rc = DM_OK;
    while (rc == DM_OK && !c.done) {
        if (leased)
            rc = live_publisher_renew(p, err);
        if (rc == DM_OK)
            rc = live_redis_call(&p->admin->base, &c.call, start_scan, "read what is published",
                                 err);
    }
    if (rc == DM_OK && !dm_buf_ok(keys))
        rc = DM_FAIL(err, DM_LIMIT, ERR_NONE, "could not publish everything: too many objects");
    return rc;
}

static enum dm_code each_on_demand(struct live_publisher *p, bool leased, dm_live_names_fn fn,
                                   void *ctx, struct dm_error *err)
{
    struct dm_live_change names[PIECE];
    struct dm_buf keys;
    size_t n = 0;
    dm_buf_init(&keys, KEYS_CAP);
    enum dm_code rc = scan(p, leased, &keys, err);
    dm_view rest = dm_buf_view(&keys);
    while (rc == DM_OK && rest.len > 2) {
        size_t len = (size_t)(unsigned char)rest.ptr[0] << 8 | (unsigned char)rest.ptr[1];
        dm_view key = dm_view_sub(rest, 2, len);
        rest = dm_view_sub(rest, 2 + len, SIZE_MAX);
        names[n] = (struct dm_live_change){0};
        DM_ASSERT(split_key(key, &names[n].kind, &names[n].id));
        if (++n == PIECE || rest.len <= 2) {
            rc = fn(ctx, names, n, err);
            n = 0;
        }
    }
    dm_buf_done(&keys);
    return rc;
}

enum dm_code live_publisher_each_on_demand(struct live_publisher *p, dm_live_names_fn fn, void *ctx,
                                           struct dm_error *err)
{
    return each_on_demand(p, true, fn, ctx, err);
}

enum dm_code live_redis_names(struct dm_live_admin *a, dm_live_names_fn fn, void *ctx,
                              struct dm_error *err)
{
    return each_on_demand(live_redis_admin_of(a)->publisher, false, fn, ctx, err);
}
