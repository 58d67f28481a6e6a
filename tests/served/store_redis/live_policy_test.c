#include "live_served.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "io/resolver.h"
#include "store/live.h"
#include "store/policy_envelope.h"

/* Published policy on a real Redis: what a hostile or broken store can do to it, and what admins
 * that crash or race leave behind. Started by tests/integration/store_redis/test_policy.py. */

#define SEED "TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs="
#define OTHER_SEED "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
#define CURRENT "doorman:policy:current"
#define API_A "doorman:policy:obj:api:a"

enum { TURNS = 4000, TURN_MS = 5 };
static const dm_time PATIENCE = 20 * DM_SEC;

struct rig {
    struct dm_loop *loop;   /* the follower's */
    struct dm_loop *beside; /* of the test's own hand in the store: the follower stands still */
    struct dm_resolver *resolver;
    struct dm_redis *redis;
    struct dm_live_redis_config config;
    struct dm_metrics *metrics;
    char public_half[64], file[64];
    struct dm_ed25519_signer *signer, *other;
    struct dm_live_redis *hub;
    struct dm_live *live;
    struct dm_live_admin *admin;
    /* what a subscriber heard */
    struct dm_live_subscriber subscriber;
    uint64_t generation;
    size_t heard, forgot, named_ann;
    char a[64], b[64]; /* objects api/a and api/b; "-": deleted */
    size_t n_apis;
};

/* --- the store, by hand --- */

struct hand {
    struct dm_redis_ask ask;
    bool done;
    enum dm_code rc;
    char bytes[8192];
    size_t len;
    bool nil;
};

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

static void by_hand(struct rig *r, struct hand *h, const dm_view *argv, size_t n)
{
    *h = (struct hand){.done = false};
    dm_redis_send(r->redis, n > 1 ? argv[1] : DM_VIEW_NONE, argv, n,
                  dm_clock_mono(&dm_clock_system) + PATIENCE, &h->ask, on_hand);
    for (int i = 0; i < TURNS && !h->done; i++)
        (void)dm_loop_turn(r->beside, TURN_MS * DM_MS);
    assert_true(h->done);
    assert_int_equal(h->rc, DM_OK);
}

static void get(struct rig *r, const char *key, struct hand *h)
{
    const dm_view argv[] = {DM_LIT("GET"), dm_view_of(key)};
    by_hand(r, h, argv, 2);
}

static void set(struct rig *r, const char *key, dm_view value)
{
    struct hand h;
    const dm_view argv[] = {DM_LIT("SET"), dm_view_of(key), value};
    by_hand(r, &h, argv, 3);
}

static void del(struct rig *r, const char *key)
{
    struct hand h;
    const dm_view argv[] = {DM_LIT("DEL"), dm_view_of(key)};
    by_hand(r, &h, argv, 2);
}

static dm_view bytes_of(const struct hand *h)
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

static void follow(struct rig *r)
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

static void unfollow(struct rig *r)
{
    if (r->live != NULL)
        dm_live_unsubscribe(&r->subscriber);
    dm_live_free(DM_TAKE(r->live));
    dm_live_redis_free(DM_TAKE(r->hub));
}

static void until_generation(struct rig *r, uint64_t generation)
{
    for (int i = 0; i < TURNS && (r->heard == 0 || r->generation < generation); i++)
        (void)dm_loop_turn(r->loop, TURN_MS * DM_MS);
    assert_int_equal(r->generation, generation);
}

static int64_t refused(struct rig *r, const char *reason)
{
    char labels[64];
    (void)snprintf(labels, sizeof labels, "reason=\"%s\"", reason);
    return dm_metric_value(dm_metric_get(r->metrics, DM_COUNTER, "doorman_policy_rejected_total",
                                         labels, "", NULL, 0));
}

static void until_refused(struct rig *r, const char *reason, int64_t more_than)
{
    for (int i = 0; i < TURNS && refused(r, reason) <= more_than; i++)
        (void)dm_loop_turn(r->loop, TURN_MS * DM_MS);
    assert_true(refused(r, reason) > more_than);
}

/* --- admins --- */

static struct dm_live_admin *new_admin(struct rig *r)
{
    struct dm_live_admin *admin = NULL;
    struct dm_error err;
    if (dm_live_redis_admin(&r->config, 10 * DM_SEC, &admin, &err) != DM_OK)
        fail_msg("%s", err.text);
    return admin;
}

static struct dm_live_change change(const char *kind, const char *id, const char *bytes)
{
    return (struct dm_live_change){dm_view_of(kind), dm_view_of(id), dm_view_of(bytes)};
}

static uint64_t publish(struct dm_live_admin *admin, const char *kind, const char *id,
                        const char *bytes)
{
    const struct dm_live_change c = change(kind, id, bytes);
    struct dm_error err;
    uint64_t generation = 0;
    if (dm_live_publish(admin, &c, 1, &generation, &err) != DM_OK)
        fail_msg("%s", err.text);
    return generation;
}

static uint64_t republish(struct dm_live_admin *admin, uint64_t floor,
                          const struct dm_live_change *all, size_t n)
{
    struct dm_error err = {0};
    uint64_t generation = 0;
    if (dm_live_publish_lock(admin, &err) != DM_OK ||
        dm_live_republish_begin(admin, floor, &err) != DM_OK ||
        dm_live_republish_put(admin, all, n, &err) != DM_OK ||
        dm_live_republish_end(admin, false, &generation, &err) != DM_OK)
        fail_msg("%s", err.text);
    dm_live_publish_unlock(admin);
    return generation;
}

/* --- the stage --- */

static int open_rig(void **state)
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
    r->admin = new_admin(r);
    (void)snprintf(r->file, sizeof r->file, "/tmp/live_policy_%d.snapshot", (int)getpid());
    *state = r;
    return 0;
}

static int close_rig(void **state)
{
    struct rig *r = *state;
    unfollow(r);
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

/* --- forged, moved, rolled back, cut, gone --- */

struct spoil {
    const char *reason;
    void (*spoil)(struct rig *r, const struct hand *first, const struct hand *second);
};

static void build_a(struct rig *r, const struct dm_ed25519_signer *signer)
{
    const struct dm_policy_value v = {.form = DM_POLICY_OBJECT,
                                      .generation = 9,
                                      .version = 9,
                                      .kind = DM_LIT("api"),
                                      .id = DM_LIT("a"),
                                      .payload = DM_LIT("\"evil\"")};
    struct dm_buf b;
    dm_buf_init(&b, 4096);
    dm_policy_build(&v, signer, &b);
    set(r, API_A, dm_buf_view(&b));
    dm_buf_done(&b);
}

static void forge(struct rig *r, const struct hand *first, const struct hand *second)
{
    (void)first;
    (void)second;
    build_a(r, r->other);
}

static void forge_unsigned(struct rig *r, const struct hand *first, const struct hand *second)
{
    (void)first;
    (void)second;
    build_a(r, NULL);
}

static void roll_back(struct rig *r, const struct hand *first, const struct hand *second)
{
    (void)second;
    set(r, API_A, bytes_of(first));
}

static void swap_names(struct rig *r, const struct hand *first, const struct hand *second)
{
    struct hand b;
    (void)first;
    (void)second;
    get(r, "doorman:policy:obj:api:b", &b);
    set(r, API_A, bytes_of(&b));
}

static void cut(struct rig *r, const struct hand *first, const struct hand *second)
{
    (void)first;
    set(r, API_A, dm_view_sub(bytes_of(second), 0, second->len - 70));
}

static void lose(struct rig *r, const struct hand *first, const struct hand *second)
{
    (void)first;
    (void)second;
    del(r, API_A);
}

static void spoilt_object_is_refused_and_the_old_policy_stays(void **state)
{
    static const struct spoil spoils[] = {
        {"signature", forge},    {"signature", forge_unsigned},
        {"rollback", roll_back}, {"name", swap_names},
        {"malformed", cut},      {"missing", lose},
    };
    struct rig *r = *state;
    struct hand first, second, before, now;
    uint64_t generation = publish(r->admin, "api", "b", "\"b\"");
    for (size_t i = 0; i < DM_COUNT_OF(spoils); i++) {
        generation = publish(r->admin, "api", "a", "\"old\"");
        get(r, API_A, &first);
        get(r, CURRENT, &before);
        uint64_t next = publish(r->admin, "api", "a", "\"new\"");
        get(r, API_A, &second);
        get(r, CURRENT, &now);
        set(r, CURRENT, bytes_of(&before)); /* the follower begins with the old one */
        set(r, API_A, bytes_of(&first));
        follow(r);
        until_generation(r, generation);
        assert_string_equal(r->a, "\"old\"");
        int64_t count = refused(r, spoils[i].reason);
        spoils[i].spoil(r, &first, &second);
        set(r, CURRENT, bytes_of(&now));
        until_refused(r, spoils[i].reason, count);
        assert_string_equal(r->a, "\"old\"");
        assert_int_equal(r->generation, generation);
        set(r, API_A, bytes_of(&second));
        until_generation(r, next);
        assert_string_equal(r->a, "\"new\"");
        unfollow(r);
    }
}

static void spoilt_current_is_refused_and_the_old_policy_stays(void **state)
{
    struct rig *r = *state;
    struct hand before, now;
    struct dm_buf forged;
    (void)publish(r->admin, "api", "a", "\"1\"");
    get(r, CURRENT, &before);
    uint64_t generation = publish(r->admin, "api", "a", "\"2\"");
    get(r, CURRENT, &now);
    follow(r);
    until_generation(r, generation);
    set(r, CURRENT, bytes_of(&before));
    until_refused(r, "rollback", 0);
    const struct dm_policy_value v = {.form = DM_POLICY_CURRENT, .generation = 99, .version = 1};
    dm_buf_init(&forged, 4096);
    dm_policy_build(&v, r->other, &forged);
    set(r, CURRENT, dm_buf_view(&forged));
    until_refused(r, "signature", 0);
    set(r, CURRENT, DM_LIT("99"));
    until_refused(r, "malformed", 0);
    get(r, API_A, &before);
    set(r, CURRENT, bytes_of(&before)); /* signed, but something else */
    until_refused(r, "name", 0);
    assert_int_equal(r->generation, generation);
    assert_string_equal(r->a, "\"2\"");
    set(r, CURRENT, bytes_of(&now));
    uint64_t next = publish(r->admin, "api", "a", "\"3\"");
    until_generation(r, next);
    dm_buf_done(&forged);
}

static void spoilt_lists_are_refused_and_the_old_policy_stays(void **state)
{
    struct rig *r = *state;
    struct hand before, now, delta;
    char key[64];
    uint64_t generation = publish(r->admin, "api", "a", "\"1\"");
    get(r, CURRENT, &before);
    uint64_t next = publish(r->admin, "api", "a", "\"2\"");
    get(r, CURRENT, &now);
    (void)snprintf(key, sizeof key, "doorman:policy:delta:%llu", (unsigned long long)next);
    get(r, key, &delta);
    set(r, CURRENT, bytes_of(&before));
    follow(r);
    until_generation(r, generation);
    delta.bytes[delta.len - 1] ^= 1;
    set(r, key, bytes_of(&delta));
    set(r, CURRENT, bytes_of(&now));
    until_refused(r, "signature", 0);
    del(r, key); /* a gap, and the manifest does not bridge it without that delta */
    until_refused(r, "missing", 0);
    assert_int_equal(r->generation, generation);
    delta.bytes[delta.len - 1] ^= 1;
    set(r, key, bytes_of(&delta));
    until_generation(r, next);
    assert_string_equal(r->a, "\"2\"");
}

struct asked {
    struct dm_live_wait wait;
    bool done;
    struct dm_live_object object;
    char bytes[64];
};

static void on_objects(struct dm_live_wait *w, const struct dm_live_object *o, size_t n)
{
    struct asked *a = DM_CONTAINER_OF(w, struct asked, wait);
    assert_int_equal(n, 1);
    a->object = o[0];
    (void)snprintf(a->bytes, sizeof a->bytes, "%.*s", DM_FMT(o[0].bytes));
    a->done = true;
}

static enum dm_code ask_ann(struct rig *r, char bytes[64])
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

static void spoilt_user_is_no_verdict(void **state)
{
    struct rig *r = *state;
    struct hand first, second;
    char text[64];
    (void)publish(r->admin, "user", "ann", "\"old\"");
    get(r, "doorman:policy:obj:user:ann", &first);
    uint64_t generation = publish(r->admin, "user", "ann", "\"new\"");
    get(r, "doorman:policy:obj:user:ann", &second);
    follow(r);
    until_generation(r, generation);
    assert_int_equal(ask_ann(r, text), DM_OK);
    assert_string_equal(text, "\"new\"");
    set(r, "doorman:policy:obj:user:ann", bytes_of(&first));
    assert_int_equal(ask_ann(r, NULL), DM_UNAVAILABLE);
    assert_int_equal(refused(r, "rollback"), 1);
    second.bytes[second.len - 1] ^= 1;
    set(r, "doorman:policy:obj:user:ann", bytes_of(&second));
    assert_int_equal(ask_ann(r, NULL), DM_UNAVAILABLE);
    assert_int_equal(refused(r, "signature"), 1);
    assert_int_equal(publish(r->admin, "user", "ann", NULL), generation + 1);
    assert_int_equal(ask_ann(r, NULL), DM_NOT_FOUND);
}

/* --- what was not heard --- */

static void missed_announcement_is_caught_by_the_poll(void **state)
{
    struct rig *r = *state;
    struct hand before, now;
    uint64_t generation = publish(r->admin, "api", "a", "\"1\"");
    get(r, CURRENT, &before);
    uint64_t next = publish(r->admin, "api", "a", "\"2\"");
    get(r, CURRENT, &now);
    set(r, CURRENT, bytes_of(&before));
    follow(r);
    until_generation(r, generation);
    set(r, CURRENT, bytes_of(&now)); /* and nothing is announced */
    until_generation(r, next);
    assert_string_equal(r->a, "\"2\"");
    assert_int_equal(r->forgot, 0);
}

/* While our loop does not turn, the follower stands still: hundreds of generations pass it by. */
static void gap_is_bridged_by_the_manifest(void **state)
{
    enum { MANY = 300, LOST = 100 };
    struct rig *r = *state;
    char text[64];
    uint64_t next = 0;
    (void)publish(r->admin, "api", "b", "\"b\"");
    uint64_t generation = publish(r->admin, "api", "a", "\"0\"");
    follow(r);
    until_generation(r, generation);
    (void)publish(r->admin, "api", "b", NULL);
    for (int i = 1; i <= MANY; i++) {
        (void)snprintf(text, sizeof text, "\"%d\"", i);
        next = publish(r->admin, "api", i % 2 == 0 ? "a" : "c", text);
    }
    (void)snprintf(text, sizeof text, "doorman:policy:delta:%d", (int)LOST);
    del(r, text);
    r->heard = 0;
    until_generation(r, next);
    assert_int_equal(r->heard, 1); /* at once, never half of it */
    assert_string_equal(r->a, "\"300\"");
    assert_string_equal(r->b, "-");
    assert_int_equal(r->forgot, 1); /* nobody knows which users changed */
    assert_int_equal(refused(r, "missing"), 0);
}

static void generation_rises_when_the_store_was_emptied(void **state)
{
    const struct dm_live_change all[] = {{DM_LIT("api"), DM_LIT("a"), DM_LIT("\"again\"")},
                                         {DM_LIT("user"), DM_LIT("ann"), DM_LIT("\"u\"")}};
    const struct dm_live_change one = change("api", "b", "\"b\"");
    struct rig *r = *state;
    struct dm_live_published published;
    (void)publish(r->admin, "user", "ann", "\"u\"");
    (void)publish(r->admin, "api", "b", "\"b\"");
    uint64_t generation = publish(r->admin, "api", "a", "\"1\"");
    follow(r);
    until_generation(r, generation);
    served_command_all("FLUSHALL");
    assert_int_equal(ask_ann(r, NULL), DM_UNAVAILABLE); /* and not "no such user" */
    assert_int_equal(dm_live_publish(r->admin, &one, 1, NULL, NULL), DM_UNAVAILABLE);
    dm_live_published(r->admin, &published);
    assert_true(published.lost);
    assert_int_equal(r->generation, generation); /* what was in force stays */
    assert_int_equal(republish(r->admin, 1000, all, 2), 1001);
    until_generation(r, 1001);
    assert_string_equal(r->a, "\"again\"");
    assert_string_equal(r->b, "-");
    assert_int_equal(r->forgot, 1);
    assert_int_equal(ask_ann(r, NULL), DM_OK);
    dm_live_published(r->admin, &published);
    assert_false(published.lost);
}

static void republication_writes_only_what_differs(void **state)
{
    struct dm_live_change all[] = {{DM_LIT("api"), DM_LIT("a"), DM_LIT("\"1\"")},
                                   {DM_LIT("role"), DM_LIT("r"), DM_LIT("{}")},
                                   {DM_LIT("user"), DM_LIT("ann"), DM_LIT("\"u\"")}};
    struct rig *r = *state;
    assert_int_equal(republish(r->admin, 0, all, 3), 1);
    assert_int_equal(republish(r->admin, 0, all, 3), 1); /* nothing to say */
    struct dm_live_admin *second = new_admin(r);
    assert_int_equal(republish(second, 5000, all, 3), 1);
    follow(r);
    until_generation(r, 1);
    all[0].bytes = DM_LIT("\"2\"");
    assert_int_equal(republish(second, 0, all, 2), 2); /* without ann */
    until_generation(r, 2);
    assert_string_equal(r->a, "\"2\"");
    assert_int_equal(r->n_apis, 2);
    assert_int_equal(r->named_ann, 1);
    assert_int_equal(r->forgot, 0);
    assert_int_equal(ask_ann(r, NULL), DM_NOT_FOUND);
    dm_live_admin_free(second);
}

/* --- other loops of the process --- */

struct worker { /* on a thread of its own; what it heard is read after its end */
    pthread_t thread;
    struct rig *rig;
    struct dm_live_subscriber subscriber;
    uint64_t generations[64], until;
    size_t n, n_objects;
    bool forgot, ann_found;
};

static void on_worker_change(struct dm_live_subscriber *s, uint64_t generation,
                             const struct dm_live_change *c, size_t n)
{
    struct worker *w = DM_CONTAINER_OF(s, struct worker, subscriber);
    (void)c;
    if (w->n < DM_COUNT_OF(w->generations))
        w->generations[w->n++] = generation;
    w->n_objects += n;
}

static void on_worker_forget(struct dm_live_subscriber *s)
{
    DM_CONTAINER_OF(s, struct worker, subscriber)->forgot = true;
}

static void on_worker_objects(struct dm_live_wait *wait, const struct dm_live_object *o, size_t n)
{
    struct asked *a = DM_CONTAINER_OF(wait, struct asked, wait);
    a->object = o[n - 1];
    a->done = true;
}

static void *work(void *arg)
{
    static const dm_view names[][2] = {{DM_LIT("user"), DM_LIT("ann")}};
    struct worker *w = arg;
    struct asked a = {.done = false};
    struct dm_loop *loop = dm_loop_new(&dm_clock_system);
    struct dm_live *live = dm_live_redis_handle(w->rig->hub, loop);
    w->subscriber =
        (struct dm_live_subscriber){.on_change = on_worker_change, .on_forget = on_worker_forget};
    dm_live_subscribe(live, &w->subscriber);
    dm_live_ask_objects(live, names, 1, dm_clock_mono(&dm_clock_system) + PATIENCE, &a.wait,
                        on_worker_objects);
    for (int i = 0; i < TURNS && !(a.done && w->n > 0 && w->generations[w->n - 1] == w->until); i++)
        (void)dm_loop_turn(loop, TURN_MS * DM_MS);
    w->ann_found = a.done && a.object.code == DM_OK;
    dm_live_unsubscribe(&w->subscriber);
    dm_live_free(live);
    dm_loop_free(loop);
    return NULL;
}

static void every_loop_of_the_process_hears_of_it_in_order(void **state)
{
    enum { WORKERS = 3, CHANGES = 30 };
    struct rig *r = *state;
    struct worker workers[WORKERS] = {{.n = 0}};
    const struct dm_live_change all[] = {change("api", "a", "\"0\""), change("user", "ann", "{}")};
    uint64_t generation = republish(r->admin, 0, all, 2);
    follow(r);
    until_generation(r, generation);
    for (int i = 0; i < WORKERS; i++) {
        workers[i].rig = r;
        workers[i].until = generation + CHANGES + 1;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (uint64_t i = 1; i <= CHANGES; i++) {
        assert_int_equal(publish(r->admin, "api", "a", "\"1\""), generation + i);
        (void)dm_loop_turn(r->loop, TURN_MS * DM_MS);
    }
    struct dm_error err;
    uint64_t last = 0;
    assert_int_equal(dm_live_publish_lock(r->admin, &err), DM_OK);
    assert_int_equal(dm_live_republish_begin(r->admin, 0, &err), DM_OK);
    assert_int_equal(dm_live_republish_put(r->admin, all, 2, &err), DM_OK);
    assert_int_equal(dm_live_republish_end(r->admin, true, &last, &err), DM_OK);
    dm_live_publish_unlock(r->admin);
    until_generation(r, last);
    assert_int_equal(r->forgot, 1);
    for (int i = 0; i < WORKERS; i++) {
        struct worker *w = &workers[i];
        for (int t = 0; t < TURNS && pthread_tryjoin_np(w->thread, NULL) != 0; t++)
            (void)dm_loop_turn(r->loop, TURN_MS * DM_MS); /* the owner tells, and answers asks */
        assert_true(w->n > 0 && w->ann_found);
        assert_int_equal(w->generations[w->n - 1], last);
        for (size_t g = 1; g < w->n; g++)
            assert_true(w->generations[g] > w->generations[g - 1]);
    }
}

/* --- several admins, crashes --- */

struct racer {
    pthread_t thread;
    struct dm_live_admin *admin;
    const char *id;
    uint64_t last;
};

enum { RACE = 40 };

static void *race(void *arg)
{
    struct racer *me = arg;
    char text[16];
    for (int i = 1; i <= RACE; i++) {
        (void)snprintf(text, sizeof text, "\"%d\"", i);
        const struct dm_live_change c = change("api", me->id, text);
        uint64_t generation = 0;
        if (dm_live_publish(me->admin, &c, 1, &generation, NULL) != DM_OK || generation <= me->last)
            return me;
        me->last = generation;
    }
    return NULL;
}

static void two_admins_share_one_row_of_generations(void **state)
{
    struct rig *r = *state;
    struct racer racers[2] = {{.admin = r->admin, .id = "a"}, {.admin = new_admin(r), .id = "b"}};
    void *failed;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(racers[i].thread, &failed), 0);
        assert_null(failed);
    }
    follow(r);
    until_generation(r, 2 * RACE); /* none was used twice, none left out */
    assert_string_equal(r->a, "\"40\"");
    assert_string_equal(r->b, "\"40\"");
    dm_live_admin_free(racers[1].admin);
}

static void admin_that_lost_its_lease_publishes_nothing(void **state)
{
    struct rig *r = *state;
    struct dm_live_admin *second = new_admin(r);
    const struct dm_live_change late = change("api", "a", "\"late\"");
    uint64_t generation = publish(r->admin, "api", "a", "\"1\"");
    assert_int_equal(dm_live_publish_lock(r->admin, NULL), DM_OK);
    del(r, "{doorman:policy:current}:lease"); /* it stood still for too long */
    assert_int_equal(publish(second, "api", "b", "\"b\""), generation + 1);
    assert_int_equal(dm_live_publish(r->admin, &late, 1, NULL, NULL), DM_UNAVAILABLE);
    dm_live_publish_unlock(r->admin);
    follow(r);
    until_generation(r, generation + 1);
    assert_int_equal(publish(r->admin, "api", "a", "\"again\""), generation + 2);
    until_generation(r, generation + 2);
    assert_string_equal(r->a, "\"again\"");
    assert_string_equal(r->b, "\"b\"");
    dm_live_admin_free(second);
}

static const struct dm_live_change pair[] = {{DM_LIT("api"), DM_LIT("a"), DM_LIT("\"new\"")},
                                             {DM_LIT("user"), DM_LIT("ann"), DM_LIT("\"new\"")}};

/* In a process of its own, ended after its n-th write. True: it came to its end. */
static bool publish_and_die(struct rig *r, uint64_t nth)
{
    pid_t child = fork();
    int status;
    assert_true(child >= 0);
    if (child == 0) {
        struct dm_live_admin *admin = NULL;
        bool good = dm_live_redis_admin(&r->config, 10 * DM_SEC, &admin, NULL) == DM_OK;
        dm_fault_set(DM_FAULT_STORE_WRITE_EXIT, nth);
        good = good && dm_live_publish(admin, pair, 2, NULL, NULL) == DM_OK;
        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_true(WEXITSTATUS(status) == 137 || WEXITSTATUS(status) == 0);
    return WEXITSTATUS(status) == 0;
}

static void crash_after_any_write_is_repaired_by_the_next_start(void **state)
{
    struct rig *r = *state;
    char text[64];
    bool whole = false;
    uint64_t n;
    for (n = 1; !whole; n++) {
        const struct dm_live_change old[] = {{DM_LIT("api"), DM_LIT("a"), DM_LIT("\"old\"")},
                                             {DM_LIT("user"), DM_LIT("ann"), DM_LIT("\"old\"")}};
        struct dm_live_admin *next = new_admin(r);
        until_generation((follow(r), r), republish(next, 0, old, 2));
        assert_int_equal(ask_ann(r, text), DM_OK);
        assert_string_equal(text, "\"old\"");
        size_t named = r->named_ann + r->forgot;
        dm_live_admin_free(next);
        whole = publish_and_die(r, n);
        del(r, "{doorman:policy:current}:lease"); /* else it ends by itself, seconds later */
        next = new_admin(r);                      /* the next start, with what was stored */
        until_generation(r, republish(next, 0, pair, 2));
        assert_string_equal(r->a, "\"new\"");
        assert_int_equal(ask_ann(r, text), DM_OK);
        assert_string_equal(text, "\"new\"");
        assert_true(r->named_ann + r->forgot > named); /* who had read ann heard of it */
        unfollow(r);
        dm_live_admin_free(next);
    }
    assert_true(n > 5); /* delta, objects, current, announcement, and the run without a crash */
}

/* --- the copy on disk --- */

static void restarted_sidecar_serves_from_its_copy_while_the_store_is_away(void **state)
{
    struct rig *r = *state;
    r->config.snapshot_file = dm_view_of(r->file);
    (void)publish(r->admin, "api", "b", "\"b\"");
    uint64_t generation = publish(r->admin, "api", "a", "\"1\"");
    follow(r);
    until_generation(r, generation);
    for (int i = 0; i < TURNS && access(r->file, R_OK) != 0; i++)
        (void)dm_loop_turn(r->loop, TURN_MS * DM_MS);
    unfollow(r);
    struct dm_redis_config there = r->config.redis;
    r->config.redis.mode = DM_REDIS_STANDALONE;
    r->config.redis.hosts[0] = DM_LIT("127.0.0.1:1"); /* nobody listens */
    r->config.redis.n_hosts = 1;
    follow(r);
    until_generation(r, generation);
    assert_string_equal(r->a, "\"1\"");
    assert_string_equal(r->b, "\"b\"");
    unfollow(r);
    assert_int_equal(truncate(r->file, 100), 0); /* spoilt: nothing rather than half */
    follow(r);
    for (int i = 0; i < 300; i++)
        (void)dm_loop_turn(r->loop, TURN_MS * DM_MS);
    assert_int_equal(r->heard, 0);
    unfollow(r);
    r->config.redis = there;
    follow(r);
    until_generation(r, generation);
}

/* --- as large as it gets --- */

static void eleven_thousand_objects_come_in_force(void **state)
{
    enum { APIS = 1000, ENDPOINTS = 10, PIECE = 500 };
    struct rig *r = *state;
    static char names[APIS * ENDPOINTS + APIS][40], texts[APIS * ENDPOINTS + APIS][300];
    struct dm_live_change *all = dm_mem_array(APIS * ENDPOINTS + APIS, sizeof *all);
    size_t n = 0;
    for (size_t i = 0; i < APIS * ENDPOINTS + APIS; i++, n++) {
        bool api = i < APIS;
        (void)snprintf(names[i], sizeof names[i], "6f1e0b52-3c1f-4a4e-9c55-%012zu", i);
        (void)snprintf(
            texts[i], sizeof texts[i],
            "{\"%s_id\":\"%s\",\"api_name\":\"n%zu\",\"endpoint_uri\":\"/v1/things/%zu\","
            "\"endpoint_method\":\"GET\"}",
            api ? "api" : "endpoint", names[i], i % APIS, i);
        all[i] = change(api ? "api" : "endpoint", names[i], texts[i]);
    }
    dm_time begin = dm_clock_mono(&dm_clock_system);
    uint64_t generation = republish(r->admin, 0, all, n);
    dm_time published = dm_clock_mono(&dm_clock_system);
    follow(r);
    until_generation(r, generation);
    dm_time ended = dm_clock_mono(&dm_clock_system);
    assert_int_equal(r->n_apis, APIS);
    print_message("%zu objects: published in %d ms, in force in %d ms\n", n,
                  (int)((published - begin) / DM_MS), (int)((ended - published) / DM_MS));
    dm_mem_free(all);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, open_rig, close_rig)
    const struct CMUnitTest tests[] = {
        CASE(spoilt_object_is_refused_and_the_old_policy_stays),
        CASE(spoilt_current_is_refused_and_the_old_policy_stays),
        CASE(spoilt_lists_are_refused_and_the_old_policy_stays),
        CASE(spoilt_user_is_no_verdict),
        CASE(missed_announcement_is_caught_by_the_poll),
        CASE(gap_is_bridged_by_the_manifest),
        CASE(generation_rises_when_the_store_was_emptied),
        CASE(republication_writes_only_what_differs),
        CASE(every_loop_of_the_process_hears_of_it_in_order),
        CASE(two_admins_share_one_row_of_generations),
        CASE(admin_that_lost_its_lease_publishes_nothing),
        CASE(crash_after_any_write_is_repaired_by_the_next_start),
        CASE(restarted_sidecar_serves_from_its_copy_while_the_store_is_away),
        CASE(eleven_thousand_objects_come_in_force),
    };
    return cmocka_run_group_tests_name("live_policy", tests, NULL, NULL);
}
