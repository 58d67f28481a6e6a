#include "store/redis/live_redis_publish.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/fault.h"
#include "base/log.h"
#include "store/redis/live_redis_admin.h"
#include "embedded/store_redis_scripts.h"

#include "base/poison.h"

/* A generation comes in force in this order: its delta, its objects, now and then a manifest, and
 * then `current`, by a script that asks whether the lease is still ours and nobody was faster.
 * Until then no sidecar looks at any of it. */

enum {
    BRIDGE_MAX = 512,    /* deltas that are read rather than a manifest: two of its periods */
    MANIFEST_EVERY = 256 /* generations: a manifest costs what all names cost */
};

static struct live_cmd get_cmd(dm_view key)
{
    return (struct live_cmd){.key = key, .argv = {DM_LIT("GET"), key}, .argc = 2, .ours = true};
}

static struct live_cmd set_cmd(dm_view key, dm_view value)
{
    return (struct live_cmd){.key = key, .argv = {DM_LIT("SET"), key, value}, .argc = 3};
}

/* --- what stands in Redis --- */

static void keep_current(struct live_publisher *p, dm_view bytes)
{
    char *copy = dm_mem_alloc(bytes.len + 1);
    if (bytes.len > 0)
        memcpy(copy, bytes.ptr, bytes.len);
    dm_mem_free((char *)(uintptr_t)p->current.ptr);
    p->current = dm_view_make(copy, bytes.len);
}

static void is_lost(struct live_publisher *p, const char *why)
{
    if (!p->lost)
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "policy.store.lost", DM_FC("reason", why),
               DM_FI("generation", p->generation));
    p->lost = true;
}

static bool merge_list(struct live_publisher *p, struct dm_policy_table *t,
                       const struct live_cmd *answer, enum dm_policy_form form, dm_view key,
                       uint64_t *ret_version)
{
    struct dm_policy_value v;
    struct dm_buf list = {0};
    if (answer->text == NULL ||
        dm_policy_open(live_cmd_text(answer), form, key, p->verifier, &v) != DM_POLICY_GOOD)
        return false;
    *ret_version = v.version;
    if (form == DM_POLICY_DELTA)
        return dm_policy_table_merge(t, v.payload);
    bool good =
        dm_policy_list_unpack(v.payload, &list) && dm_policy_table_merge(t, dm_buf_view(&list));
    dm_buf_done(&list);
    return good;
}

/* Deltas from+1..to onto t, the manifest of `from` before them where asked. */
static enum dm_code read_lists(struct live_publisher *p, uint64_t from, uint64_t to, bool manifest,
                               struct dm_policy_table *t, bool *ret_good, struct dm_error *err)
{
    size_t n = (size_t)(to - from) + 1; /* the first is the manifest's place */
    struct live_cmd *cmds = dm_mem_array(n, sizeof *cmds);
    struct dm_live_key *keys = dm_mem_array(n, sizeof *keys);
    size_t first = manifest ? 0 : 1;
    dm_policy_key_manifest(&keys[0], from);
    for (size_t i = 1; i < n; i++)
        dm_policy_key_delta(&keys[i], from + i);
    for (size_t i = 0; i < n; i++)
        cmds[i] = get_cmd(dm_live_key_view(&keys[i]));
    enum dm_code rc =
        live_publisher_round(p, cmds + first, n - first, "read what is published", err);
    bool good = rc == DM_OK;
    for (size_t i = first; good && i < n; i++) {
        uint64_t version = 0;
        good = merge_list(p, t, &cmds[i], i == 0 ? DM_POLICY_MANIFEST : DM_POLICY_DELTA,
                          dm_live_key_view(&keys[i]), &version);
        if (i == 0)
            p->manifest_before = version;
    }
    live_publisher_round_done(cmds, n);
    dm_mem_free(cmds);
    dm_mem_free(keys);
    *ret_good = good;
    return rc;
}

/* Only what is of the snapshot, and there. */
static void adopt_table(struct dm_policy_table *to, const struct dm_policy_table *from)
{
    struct dm_policy_record **all = dm_policy_table_all(from);
    for (size_t i = 0; i < dm_policy_table_count(from); i++) {
        struct dm_policy_entry e = dm_policy_record_entry(all[i]);
        if (dm_live_kind_on_demand(e.kind))
            continue;
        if (e.deleted)
            dm_policy_table_remove(to, e.kind, e.id);
        else
            dm_policy_table_put(to, dm_policy_record_ref(all[i]));
    }
    dm_mem_free(all);
}

static enum dm_code catch_up(struct live_publisher *p, const struct dm_policy_value *current,
                             struct dm_error *err)
{
    struct dm_policy_table read = {0};
    bool bridge = p->generation != 0 && current->generation - p->generation <= BRIDGE_MAX;
    bool good = false;
    enum dm_code rc = DM_OK;
    if (bridge)
        rc = read_lists(p, p->generation, current->generation, false, &read, &good, err);
    if (rc == DM_OK && !good && current->generation - current->version <= BRIDGE_MAX) {
        dm_policy_table_done(&read);
        bridge = false;
        rc = read_lists(p, current->version, current->generation, true, &read, &good, err);
    }
    if (rc == DM_OK && good) {
        if (!bridge)
            dm_policy_table_done(&p->table);
        adopt_table(&p->table, &read);
        if (p->manifest != current->version && bridge)
            p->manifest_before = p->manifest;
        p->manifest = current->version;
        p->generation = p->highest = current->generation;
        atomic_store(&p->published, true);
    } else if (rc == DM_OK) {
        is_lost(p, "a list of objects is missing or not signed");
    }
    dm_policy_table_done(&read);
    return rc;
}

static enum dm_code look_at(struct live_publisher *p, const struct live_cmd *answer, dm_view key,
                            struct dm_error *err)
{
    struct dm_policy_value v;
    dm_view bytes = live_cmd_text(answer);
    if (p->current.ptr != NULL && answer->text != NULL && dm_view_eq(bytes, p->current))
        return DM_OK;
    if (answer->text == NULL && p->highest == 0) {
        keep_current(p, DM_VIEW_NONE);
        return DM_OK; /* nothing was ever published, as far as we know */
    }
    keep_current(p, bytes);
    if (answer->text == NULL)
        is_lost(p, "nothing is published");
    else if (dm_policy_open(bytes, DM_POLICY_CURRENT, key, p->verifier, &v) != DM_POLICY_GOOD)
        is_lost(p, "its generation is not signed by us");
    else if (v.generation < p->highest)
        is_lost(p, "its generation is older than ours");
    else if (v.generation == p->generation)
        is_lost(p, "its generation is not ours"); /* same number, other content */
    else
        return catch_up(p, &v, err);
    return DM_OK;
}

enum dm_code live_publisher_look(struct live_publisher *p, struct dm_error *err)
{
    struct dm_live_key key;
    dm_policy_key_current(&key);
    struct live_cmd cmd = get_cmd(dm_live_key_view(&key));
    enum dm_code rc = live_publisher_round(p, &cmd, 1, "read what is published", err);
    if (rc == DM_OK)
        rc = look_at(p, &cmd, dm_live_key_view(&key), err);
    live_publisher_round_done(&cmd, 1);
    return rc;
}

/* --- what a crash left --- */

static void adopt_one(struct live_publisher *p, struct dm_policy_table *names,
                      const struct dm_policy_entry *e, dm_view key, const struct live_cmd *answer)
{
    struct dm_policy_value v;
    if (answer->text == NULL ||
        dm_policy_open(live_cmd_text(answer), DM_POLICY_OBJECT, key, p->verifier, &v) !=
            DM_POLICY_GOOD ||
        v.version != e->version)
        return; /* it was not written */
    struct dm_policy_entry found = *e;
    found.deleted = v.deleted;
    memset(found.sha256, 0, sizeof found.sha256);
    if (!v.deleted)
        dm_sha256(v.payload, found.sha256);
    dm_policy_table_put(names, dm_policy_record_new(&found, DM_VIEW_NONE));
}

static enum dm_code adopt_named(struct live_publisher *p, const struct dm_policy_table *left,
                                struct dm_policy_table *names, struct dm_error *err)
{
    size_t n = dm_policy_table_count(left);
    struct dm_policy_record **all = dm_policy_table_all(left);
    struct live_cmd *cmds = dm_mem_array(n + 1, sizeof *cmds);
    struct dm_live_key *keys = dm_mem_array(n + 1, sizeof *keys);
    for (size_t i = 0; i < n; i++) {
        struct dm_policy_entry e = dm_policy_record_entry(all[i]);
        dm_live_key_object(&keys[i], e.kind, e.id);
        cmds[i] = get_cmd(dm_live_key_view(&keys[i]));
    }
    enum dm_code rc = live_publisher_round(p, cmds, n, "read what a crash left", err);
    for (size_t i = 0; rc == DM_OK && i < n; i++) {
        struct dm_policy_entry e = dm_policy_record_entry(all[i]);
        adopt_one(p, names, &e, dm_live_key_view(&keys[i]), &cmds[i]);
    }
    live_publisher_round_done(cmds, n);
    dm_mem_free(cmds);
    dm_mem_free(keys);
    dm_mem_free(all);
    return rc;
}

enum dm_code live_publisher_adopt(struct live_publisher *p, struct dm_policy_table *names,
                                  struct dm_error *err)
{
    struct dm_policy_table left = {0};
    struct dm_live_key key;
    uint64_t version;
    dm_policy_key_delta(&key, p->generation + 1);
    struct live_cmd cmd = get_cmd(dm_live_key_view(&key));
    enum dm_code rc = live_publisher_round(p, &cmd, 1, "read what a crash left", err);
    if (rc == DM_OK &&
        merge_list(p, &left, &cmd, DM_POLICY_DELTA, dm_live_key_view(&key), &version))
        rc = adopt_named(p, &left, names, err);
    live_publisher_round_done(&cmd, 1);
    dm_policy_table_done(&left);
    return rc;
}

/* --- one generation --- */

static void list_of(const struct dm_policy_table *t, struct dm_buf *ret)
{
    struct dm_policy_record **all = dm_policy_table_all(t);
    dm_buf_init(ret, DM_POLICY_LIST_MAX);
    for (size_t i = 0; i < dm_policy_table_count(t); i++) {
        struct dm_policy_entry e = dm_policy_record_entry(all[i]);
        dm_policy_entry_add(ret, &e);
    }
    dm_mem_free(all);
}

static enum dm_code write_value(struct live_publisher *p, const struct dm_policy_value *v,
                                struct dm_error *err)
{
    struct dm_live_key key;
    struct dm_buf value;
    enum dm_code rc;
    dm_buf_init(&value, DM_POLICY_VALUE_MAX);
    dm_policy_build(v, p->signer, &value);
    dm_policy_key(&key, v);
    if (dm_buf_ok(&value)) {
        struct live_cmd cmd = set_cmd(dm_live_key_view(&key), dm_buf_view(&value));
        rc = live_publisher_round(p, &cmd, 1, "publish", err);
        live_publisher_round_done(&cmd, 1);
        (void)dm_fault(DM_FAULT_STORE_WRITE_EXIT);
    } else {
        rc = DM_FAIL(err, DM_LIMIT, ERR_NONE, "could not publish: too many objects at once");
    }
    dm_buf_done(&value);
    return rc;
}

enum dm_code live_generation_announce(struct live_publisher *p, const struct live_generation *g,
                                      struct dm_error *err)
{
    struct dm_buf list;
    list_of(g->names, &list);
    const struct dm_policy_value v = {.form = DM_POLICY_DELTA,
                                      .forget = g->forget,
                                      .generation = g->number,
                                      .version = g->number,
                                      .payload = dm_buf_view(&list)};
    enum dm_code rc = write_value(p, &v, err);
    dm_buf_done(&list);
    return rc;
}

static enum dm_code write_manifest(struct live_publisher *p, uint64_t generation,
                                   struct dm_error *err)
{
    struct dm_buf list, packed;
    list_of(&p->table, &list);
    dm_buf_init(&packed, DM_POLICY_VALUE_MAX);
    dm_policy_list_pack(dm_buf_view(&list), &packed);
    dm_buf_done(&list);
    enum dm_code rc;
    const struct dm_policy_value v = {.form = DM_POLICY_MANIFEST,
                                      .generation = generation,
                                      .version = p->manifest != 0 ? p->manifest : generation,
                                      .payload = dm_buf_view(&packed)};
    if (dm_buf_ok(&packed))
        rc = write_value(p, &v, err);
    else
        rc = DM_FAIL(err, DM_LIMIT, ERR_NONE, "could not publish: too many objects");
    dm_buf_done(&packed);
    return rc;
}

/* Two manifests are kept, and every delta since the older one. Best effort: what stays is only
 * never read. */
static void clean_up(struct live_publisher *p)
{
    uint64_t before = p->manifest_before, keep = p->manifest;
    if (before == 0 || before >= keep)
        return;
    uint64_t from = keep - before > BRIDGE_MAX ? keep - BRIDGE_MAX : before;
    size_t n = (size_t)(keep - from) + 1;
    struct live_cmd *cmds = dm_mem_array(n, sizeof *cmds);
    struct dm_live_key *keys = dm_mem_array(n, sizeof *keys);
    dm_policy_key_manifest(&keys[0], before);
    for (size_t i = 1; i < n; i++)
        dm_policy_key_delta(&keys[i], from + i);
    for (size_t i = 0; i < n; i++)
        cmds[i] = (struct live_cmd){.key = dm_live_key_view(&keys[i]),
                                    .argv = {DM_LIT("DEL"), dm_live_key_view(&keys[i])},
                                    .argc = 2};
    enum dm_code rc = live_publisher_round(p, cmds, n, "delete what is no longer read", NULL);
    (void)rc;
    live_publisher_round_done(cmds, n);
    dm_mem_free(cmds);
    dm_mem_free(keys);
}

static enum dm_code raise_current(struct live_publisher *p, const struct dm_policy_value *v,
                                  struct dm_error *err)
{
    struct dm_live_key key;
    struct dm_buf value;
    dm_policy_key_current(&key);
    dm_buf_init(&value, DM_POLICY_VALUE_MAX);
    dm_policy_build(v, p->signer, &value);
    struct live_script c = {.script = &p->raise,
                            .keys = {LIVE_LEASE_KEY, dm_live_key_view(&key)},
                            .n_keys = 2,
                            .args = {live_publisher_token(p), p->current, dm_buf_view(&value)},
                            .n_args = 3};
    enum dm_code rc = live_publisher_script(p, &c, "publish", err);
    if (rc == DM_OK && strcmp(c.word, "raised") != 0)
        rc = DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_LIVE_AWAY,
                     "could not publish: another admin was faster (%s)", c.word);
    if (rc == DM_OK)
        keep_current(p, dm_buf_view(&value));
    dm_buf_done(&value);
    (void)dm_fault(DM_FAULT_STORE_WRITE_EXIT);
    return rc;
}

static void tell(struct live_publisher *p, uint64_t generation)
{
    char text[24];
    int len = snprintf(text, sizeof text, "%llu", (unsigned long long)generation);
    struct live_cmd cmd = {.argv = {DM_LIT("PUBLISH"), DM_LIT("doorman:policy:events"),
                                    dm_view_make(text, (size_t)len)},
                           .argc = 3};
    enum dm_code rc = live_publisher_round(p, &cmd, 1, "announce", NULL);
    (void)rc; /* else the poll notices */
    live_publisher_round_done(&cmd, 1);
    (void)dm_fault(DM_FAULT_STORE_WRITE_EXIT);
}

enum dm_code live_generation_raise(struct live_publisher *p, const struct live_generation *g,
                                   struct dm_error *err)
{
    bool manifest = g->manifest || p->manifest == 0 || g->number - p->manifest >= MANIFEST_EVERY;
    struct dm_policy_value v = {.form = DM_POLICY_CURRENT,
                                .generation = g->number,
                                .version = manifest ? g->number : p->manifest};
    enum dm_code rc = DM_OK;
    adopt_table(&p->table, g->names);
    if (manifest)
        rc = write_manifest(p, g->number, err);
    if (rc == DM_OK)
        rc = raise_current(p, &v, err);
    if (rc != DM_OK) { /* what stands there is read anew next time */
        p->generation = 0;
        keep_current(p, DM_VIEW_NONE);
        dm_policy_table_done(&p->table);
        return rc;
    }
    p->generation = p->highest = g->number;
    atomic_store(&p->published, true);
    p->lost = false;
    if (manifest) {
        uint64_t before = p->manifest;
        clean_up(p);
        p->manifest_before = before;
        p->manifest = g->number;
    }
    tell(p, g->number);
    return DM_OK;
}

struct dm_policy_record *live_publisher_record(const struct dm_live_change *c, uint64_t generation)
{
    struct dm_policy_entry e = {
        .kind = c->kind, .id = c->id, .version = generation, .deleted = c->bytes.ptr == NULL};
    if (!e.deleted)
        dm_sha256(c->bytes, e.sha256);
    return dm_policy_record_new(&e, DM_VIEW_NONE);
}

enum dm_code live_publisher_write(struct live_publisher *p, uint64_t generation,
                                  const struct dm_live_change *changes, size_t n,
                                  struct dm_error *err)
{
    struct live_cmd *cmds = dm_mem_array(n + 1, sizeof *cmds);
    struct dm_live_key *keys = dm_mem_array(n + 1, sizeof *keys);
    struct dm_buf *values = dm_mem_array(n + 1, sizeof *values);
    for (size_t i = 0; i < n; i++) {
        const struct dm_policy_value v = {.form = DM_POLICY_OBJECT,
                                          .deleted = changes[i].bytes.ptr == NULL,
                                          .generation = generation,
                                          .version = generation,
                                          .kind = changes[i].kind,
                                          .id = changes[i].id,
                                          .payload = changes[i].bytes};
        dm_buf_init(&values[i], DM_POLICY_VALUE_MAX);
        dm_policy_build(&v, p->signer, &values[i]);
        dm_policy_key(&keys[i], &v);
        cmds[i] = set_cmd(dm_live_key_view(&keys[i]), dm_buf_view(&values[i]));
    }
    enum dm_code rc = live_publisher_round(p, cmds, n, "publish", err);
    (void)dm_fault(DM_FAULT_STORE_WRITE_EXIT);
    for (size_t i = 0; i < n; i++)
        dm_buf_done(&values[i]);
    live_publisher_round_done(cmds, n);
    dm_mem_free(values);
    dm_mem_free(keys);
    dm_mem_free(cmds);
    return rc;
}

enum dm_code live_publisher_check(const struct dm_live_change *changes, size_t n,
                                  struct dm_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (changes[i].kind.len == 0 || changes[i].kind.len > DM_LIVE_KIND_MAX ||
            changes[i].id.len == 0 || changes[i].id.len > DM_LIVE_ID_MAX)
            return DM_FAIL(err, DM_INVALID, ERR_NONE,
                           "could not publish: name of object %zu empty or too long", i);
        if (changes[i].bytes.len > DM_POLICY_OBJECT_MAX)
            return DM_FAIL(err, DM_INVALID, ERR_NONE, "could not publish: object %zu too large", i);
    }
    return DM_OK;
}

static enum dm_code publish_leased(struct live_publisher *p, const struct dm_live_change *changes,
                                   size_t n, struct dm_error *err)
{
    struct dm_policy_table names = {0};
    enum dm_code rc = live_publisher_look(p, err);
    if (rc == DM_OK && p->lost)
        rc = DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_LIVE_AWAY,
                     "could not publish: the store lost what was published");
    struct live_generation g = {.number = p->generation + 1, .names = &names};
    if (rc == DM_OK)
        rc = live_publisher_adopt(p, &names, err);
    for (size_t i = 0; rc == DM_OK && i < n; i++)
        dm_policy_table_put(&names, live_publisher_record(&changes[i], g.number));
    if (rc == DM_OK)
        rc = live_generation_announce(p, &g, err);
    if (rc == DM_OK)
        rc = live_publisher_write(p, g.number, changes, n, err);
    if (rc == DM_OK)
        rc = live_generation_raise(p, &g, err);
    dm_policy_table_done(&names);
    return rc;
}

enum dm_code live_redis_publish(struct dm_live_admin *a, const struct dm_live_change *changes,
                                size_t n, uint64_t *ret_generation, struct dm_error *err)
{
    struct live_publisher *p = live_redis_admin_of(a)->publisher;
    enum dm_code rc = live_publisher_check(changes, n, err);
    if (rc != DM_OK)
        return rc;
    (void)pthread_mutex_lock(&p->lock);
    bool passing = !p->held;
    if (passing)
        rc = live_publisher_lease(p, err);
    else
        rc = live_publisher_renew(p, err);
    if (rc == DM_OK)
        rc = publish_leased(p, changes, n, err);
    if (rc == DM_OK && ret_generation != NULL)
        *ret_generation = p->generation;
    if (passing)
        live_publisher_release(p);
    (void)pthread_mutex_unlock(&p->lock);
    return rc;
}

enum dm_code live_redis_publish_lock(struct dm_live_admin *a, struct dm_error *err)
{
    struct live_publisher *p = live_redis_admin_of(a)->publisher;
    (void)pthread_mutex_lock(&p->lock);
    enum dm_code rc = live_publisher_lease(p, err);
    if (rc == DM_OK)
        rc = live_publisher_look(p, err);
    if (rc != DM_OK)
        live_publisher_release(p);
    (void)pthread_mutex_unlock(&p->lock);
    return rc;
}

void live_redis_publish_unlock(struct dm_live_admin *a)
{
    struct live_publisher *p = live_redis_admin_of(a)->publisher;
    (void)pthread_mutex_lock(&p->lock);
    live_publisher_release(p);
    (void)pthread_mutex_unlock(&p->lock);
}

void live_redis_published(struct dm_live_admin *a, struct dm_live_published *ret)
{
    struct live_publisher *p = live_redis_admin_of(a)->publisher;
    (void)pthread_mutex_lock(&p->lock);
    *ret = (struct dm_live_published){.generation = p->highest, .lost = p->lost};
    (void)pthread_mutex_unlock(&p->lock);
}

void live_redis_on_reach(struct dm_live_admin *a, void (*fn)(void *ctx), void *ctx)
{
    struct live_publisher *p = live_redis_admin_of(a)->publisher;
    (void)pthread_mutex_lock(&p->reach_lock);
    p->on_reach = fn;
    p->reach_ctx = ctx;
    (void)pthread_mutex_unlock(&p->reach_lock);
}

void live_publisher_reached(struct live_publisher *p)
{
    (void)pthread_mutex_lock(&p->reach_lock);
    if (p->on_reach != NULL)
        p->on_reach(p->reach_ctx);
    (void)pthread_mutex_unlock(&p->reach_lock);
}

bool live_publisher_published(const struct live_publisher *p)
{
    return atomic_load_explicit(&p->published, memory_order_relaxed);
}

static void on_state(struct dm_redis_watcher *w, bool connected)
{
    struct live_publisher *p = DM_CONTAINER_OF(w, struct live_publisher, watcher);
    if (!connected)
        return;
    live_redis_trust_again(p->admin);
    live_publisher_reached(p);
}

/* --- birth and end --- */

static enum dm_code read_keys(struct live_publisher *p, const struct dm_live_redis_config *c,
                              struct dm_error *err)
{
    struct dm_buf keys;
    if (c->policy_signing_key.len == 0)
        return DM_OK;
    enum dm_code rc = dm_ed25519_signer_new(c->policy_signing_key, &p->signer, err);
    if (rc != DM_OK)
        return rc;
    dm_buf_init(&keys, c->policy_verify_keys.len + 128);
    dm_ed25519_public(p->signer, &keys);
    rc = dm_ed25519_verifier_new(dm_buf_view(&keys), &p->verifier, err);
    dm_buf_done(&keys);
    return rc;
}

enum dm_code live_publisher_new(struct live_redis_admin *a, struct live_publisher **ret,
                                struct dm_error *err)
{
    struct live_publisher *p = DM_NEW(struct live_publisher);
    p->admin = a;
    DM_REQUIRE(pthread_mutex_init(&p->lock, NULL) == 0);
    DM_REQUIRE(pthread_mutex_init(&p->reach_lock, NULL) == 0);
    p->watcher.on_state = on_state;
    dm_redis_watch(a->redis, &p->watcher); /* its loop does not run yet */
    dm_redis_script_init(&p->raise, DM_SCRIPT_POLICY_RAISE);
    dm_redis_script_init(&p->lease_script, DM_SCRIPT_POLICY_LEASE);
    enum dm_code rc = read_keys(p, &a->config, err);
    if (rc != DM_OK) {
        live_publisher_free(p);
        return rc;
    }
    *ret = p;
    return DM_OK;
}

void live_publisher_free(struct live_publisher *p)
{
    if (p == NULL)
        return;
    dm_redis_unwatch(&p->watcher);
    live_session_free(p->session);
    dm_policy_table_done(&p->table);
    dm_mem_free((char *)(uintptr_t)p->current.ptr);
    dm_ed25519_signer_free(p->signer);
    dm_ed25519_verifier_free(p->verifier);
    (void)pthread_mutex_destroy(&p->lock);
    (void)pthread_mutex_destroy(&p->reach_lock);
    dm_mem_free(p);
}
