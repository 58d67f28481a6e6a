#include "policy_rig.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/resolver.h"

/* --- the store, by hand --- */

static void on_hand(struct dm_redis_ask *a, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct hand *h = DM_CONTAINER_OF(a, struct hand, ask);
    dm_view text = dm_redis_text(reply);
    h->rc = rc;
    h->nil = dm_redis_type(reply) == DM_REDIS_NIL;
    h->len = text.len < sizeof h->bytes ? text.len : sizeof h->bytes;
    if (h->len > 0)
        memcpy(h->bytes, text.ptr, h->len);
    h->done = true;
}

void pr_by_hand(struct rig *r, struct hand *h, const dm_view *argv, size_t n)
{
    *h = (struct hand){.done = false};
    dm_redis_send(r->redis, n > 1 ? argv[1] : DM_VIEW_NONE, argv, n,
                  dm_clock_mono(&dm_clock_system) + PATIENCE, &h->ask, on_hand);
    for (int i = 0; i < TURNS && !h->done; i++)
        (void)dm_loop_turn(r->beside, TURN_MS * DM_MS);
    assert_true(h->done);
    assert_int_equal(h->rc, DM_OK);
}

void pr_get(struct rig *r, const char *key, struct hand *h)
{
    const dm_view argv[] = {DM_LIT("GET"), dm_view_of(key)};
    pr_by_hand(r, h, argv, 2);
}

void pr_set(struct rig *r, const char *key, dm_view value)
{
    struct hand h;
    const dm_view argv[] = {DM_LIT("SET"), dm_view_of(key), value};
    pr_by_hand(r, &h, argv, 3);
}

void pr_del(struct rig *r, const char *key)
{
    struct hand h;
    const dm_view argv[] = {DM_LIT("DEL"), dm_view_of(key)};
    pr_by_hand(r, &h, argv, 2);
}

dm_view pr_bytes_of(const struct hand *h)
{
    return dm_view_make(h->bytes, h->len);
}

/* --- a subscriber --- */

static void keep(char to[64], const struct dm_live_change *c)
{
    if (c->bytes.ptr == NULL)
        (void)snprintf(to, 64, "-");
    else
        (void)snprintf(to, 64, "%.*s", DM_FMT(c->bytes));
}

static void on_change(struct dm_live_subscriber *s, uint64_t generation,
                      const struct dm_live_change *c, size_t n)
{
    struct rig *r = DM_CONTAINER_OF(s, struct rig, subscriber);
    r->heard++;
    r->generation = generation;
    for (size_t i = 0; i < n; i++) {
        bool api = dm_view_eq(c[i].kind, DM_LIT("api"));
        if (api && dm_view_eq(c[i].id, DM_LIT("a")))
            keep(r->a, &c[i]);
        if (api && dm_view_eq(c[i].id, DM_LIT("b")))
            keep(r->b, &c[i]);
        r->n_apis += api && c[i].bytes.ptr != NULL;
        r->named_ann += dm_view_eq(c[i].kind, DM_LIT("user")) && dm_view_eq(c[i].id, DM_LIT("ann"));
    }
}

static void on_forget(struct dm_live_subscriber *s)
{
    DM_CONTAINER_OF(s, struct rig, subscriber)->forgot++;
}

void pr_follow(struct rig *r)
{
    struct dm_error err;
    if (dm_live_redis_new(&r->config, &r->hub, &err) != DM_OK)
        fail_msg("%s", err.text);
    r->live = dm_live_redis_handle(r->hub, r->loop);
    r->subscriber = (struct dm_live_subscriber){.on_change = on_change, .on_forget = on_forget};
    r->generation = r->heard = r->forgot = r->named_ann = r->n_apis = 0;
    r->a[0] = r->b[0] = '\0';
    dm_live_subscribe(r->live, &r->subscriber);
}

void pr_unfollow(struct rig *r)
{
    if (r->live != NULL)
        dm_live_unsubscribe(&r->subscriber);
    dm_live_free(DM_TAKE(r->live));
    dm_live_redis_free(DM_TAKE(r->hub));
}

void pr_until_generation(struct rig *r, uint64_t generation)
{
    for (int i = 0; i < TURNS && (r->heard == 0 || r->generation < generation); i++)
        (void)dm_loop_turn(r->loop, TURN_MS * DM_MS);
    assert_int_equal(r->generation, generation);
    if (dm_live_redis_connected(r->hub)) /* what it asks for is believed only then */
        served_until_trusted(r->live, r->loop);
}

int64_t pr_refused(struct rig *r, const char *reason)
{
    char labels[64];
    (void)snprintf(labels, sizeof labels, "reason=\"%s\"", reason);
    return dm_metric_value(dm_metric_get(r->metrics, DM_COUNTER, "doorman_policy_rejected_total",
                                         labels, "", NULL, 0));
}

void pr_until_refused(struct rig *r, const char *reason, int64_t more_than)
{
    for (int i = 0; i < TURNS && pr_refused(r, reason) <= more_than; i++)
        (void)dm_loop_turn(r->loop, TURN_MS * DM_MS);
    assert_true(pr_refused(r, reason) > more_than);
}

/* --- admins --- */

struct dm_live_admin *pr_new_admin(struct rig *r)
{
    struct dm_live_admin *admin = NULL;
    struct dm_error err;
    if (dm_live_redis_admin(&r->config, 10 * DM_SEC, &admin, &err) != DM_OK)
        fail_msg("%s", err.text);
    return admin;
}

struct dm_live_change pr_change(const char *kind, const char *id, const char *bytes)
{
    return (struct dm_live_change){dm_view_of(kind), dm_view_of(id), dm_view_of(bytes)};
}

uint64_t pr_publish(struct dm_live_admin *admin, const char *kind, const char *id,
                    const char *bytes)
{
    const struct dm_live_change c = pr_change(kind, id, bytes);
    struct dm_error err;
    uint64_t generation = 0;
    if (dm_live_publish(admin, &c, 1, &generation, &err) != DM_OK)
        fail_msg("%s", err.text);
    return generation;
}

/* --- everything, as admin/services/republish.c does it --- */

struct mending {
    struct dm_live_admin *admin;
    struct dm_live_names wanted;
};

static void publish_what_differs(struct dm_live_admin *admin, const struct dm_live_change *all,
                                 size_t n)
{
    struct dm_error err;
    for (size_t i = 0; i < n; i++) {
        bool differs = false;
        if (!dm_live_kind_on_demand(all[i].kind))
            continue;
        assert_int_equal(dm_live_compare(admin, &all[i], 1, &differs, &err), DM_OK);
        if (differs)
            assert_int_equal(dm_live_publish(admin, &all[i], 1, NULL, &err), DM_OK);
    }
}

static enum dm_code publish_gone(void *ctx, const struct dm_live_change *names, size_t n,
                                 struct dm_error *err)
{
    struct mending *m = ctx;
    (void)err;
    for (size_t i = 0; i < n; i++) {
        assert_null(names[i].bytes.ptr);
        if (!dm_live_names_has(&m->wanted, names[i].kind, names[i].id))
            publish_what_differs(m->admin, &names[i], 1);
    }
    return DM_OK;
}

uint64_t pr_republish(struct dm_live_admin *admin, uint64_t floor, const struct dm_live_change *all,
                      size_t n)
{
    struct mending m = {.admin = admin};
    struct dm_error err = {0};
    struct dm_live_published published;
    uint64_t generation = 0;
    bool whole;
    assert_int_equal(dm_live_publish_lock(admin, &err), DM_OK);
    dm_live_published(admin, &published);
    for (size_t i = 0; i < n; i++)
        dm_live_names_add(&m.wanted, all[i].kind, all[i].id);
    if (!published.lost && published.generation != 0) {
        publish_what_differs(admin, all, n);
        assert_int_equal(dm_live_names(admin, publish_gone, &m, &err), DM_OK);
    }
    dm_live_names_done(&m.wanted);
    assert_int_equal(dm_live_republish_begin(admin, floor, &whole, &err), DM_OK);
    for (size_t i = 0; i < n; i++) {
        if (whole || !dm_live_kind_on_demand(all[i].kind))
            assert_int_equal(dm_live_republish_put(admin, &all[i], 1, &err), DM_OK);
    }
    if (dm_live_republish_end(admin, false, &generation, &err) != DM_OK)
        fail_msg("%s", err.text);
    dm_live_publish_unlock(admin);
    return generation;
}

/* --- the stage --- */

int pr_open(void **state)
{
    struct rig *r = DM_NEW(struct rig);
    struct dm_buf public_half;
    struct dm_error err;
    served_config(&r->config);
    served_command_all("FLUSHALL");
    assert_int_equal(dm_ed25519_signer_new(DM_LIT(SEED), &r->signer, NULL), DM_OK);
    assert_int_equal(dm_ed25519_signer_new(DM_LIT(OTHER_SEED), &r->other, NULL), DM_OK);
    dm_buf_init(&public_half, 60);
    dm_ed25519_public(r->signer, &public_half);
    (void)snprintf(r->public_half, sizeof r->public_half, "%s", dm_buf_cstr(&public_half));
    dm_buf_done(&public_half);
    r->metrics = dm_metrics_new(1);
    r->config.policy_signing_key = DM_LIT(SEED);
    r->config.policy_verify_keys = dm_view_of(r->public_half);
    r->config.policy_poll = 20 * DM_MS;
    r->config.metrics = r->metrics;
    r->loop = dm_loop_new(&dm_clock_system);
    r->beside = dm_loop_new(&dm_clock_system);
    const struct dm_resolver_config names = {.loop = r->beside};
    assert_int_equal(dm_resolver_new(&names, &r->resolver, &err), DM_OK);
    assert_int_equal(dm_redis_new(r->beside, r->resolver, &r->config.redis, &r->redis, &err),
                     DM_OK);
    r->admin = pr_new_admin(r);
    (void)snprintf(r->file, sizeof r->file, "/tmp/live_policy_%d.snapshot", (int)getpid());
    *state = r;
    return 0;
}

int pr_close(void **state)
{
    struct rig *r = *state;
    pr_unfollow(r);
    dm_live_admin_free(r->admin);
    dm_redis_free(r->redis);
    dm_resolver_free(r->resolver);
    dm_loop_free(r->beside);
    dm_loop_free(r->loop);
    dm_metrics_free(r->metrics);
    dm_ed25519_signer_free(r->signer);
    dm_ed25519_signer_free(r->other);
    (void)unlink(r->file);
    dm_mem_free(r);
    return 0;
}

static void on_objects(struct dm_live_wait *w, const struct dm_live_object *o, size_t n)
{
    struct asked *a = DM_CONTAINER_OF(w, struct asked, wait);
    assert_int_equal(n, 1);
    a->object = o[0];
    (void)snprintf(a->bytes, sizeof a->bytes, "%.*s", DM_FMT(o[0].bytes));
    a->done = true;
}

enum dm_code pr_ask_ann(struct rig *r, char bytes[64])
{
    const dm_view names[][2] = {{DM_LIT("user"), DM_LIT("ann")}};
    struct asked a = {.done = false};
    dm_live_ask_objects(r->live, names, 1, dm_clock_mono(&dm_clock_system) + PATIENCE, &a.wait,
                        on_objects);
    for (int i = 0; i < TURNS && !a.done; i++)
        (void)dm_loop_turn(r->loop, TURN_MS * DM_MS);
    assert_true(a.done);
    if (bytes != NULL)
        memcpy(bytes, a.bytes, 64);
    return a.object.code;
}
