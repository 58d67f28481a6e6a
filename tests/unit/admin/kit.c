#include "kit.h"

#include "admin/services/seed.h"
#include "store/documents_backend.h"

static const dm_time START = 1700000000 * DM_SEC;

struct dm_settings *kit_settings(const char *const *env)
{
    const char *environ_[32] = {"ENV=test", "JWT_SECRET_KEY=0123456789abcdef0123456789abcdef",
                                "DOORMAN_ADMIN_PASSWORD=Not-a-Secret-1"};
    const struct dm_settings_input in = {
        .role = DM_ROLE_ALL, .environ_ = environ_, .no_files = true};
    struct dm_settings *s = NULL;
    struct dm_buf faults, warnings;

    for (size_t n = 3; env != NULL && *env != NULL; env++)
        environ_[n++] = *env;
    dm_buf_init(&faults, 65536);
    dm_buf_init(&warnings, 65536);
    if (dm_settings_load(&in, &s, &faults, &warnings) != DM_OK)
        fail_msg("%.*s", DM_FMT(dm_buf_view(&faults)));
    dm_buf_done(&faults);
    dm_buf_done(&warnings);
    return s;
}

/* --- a call --- */

void kit_call_init(struct kit_call *k, struct adm_app *app, struct dm_settings *s)
{
    memset(k, 0, sizeof *k);
    k->pool = dm_arena_pool_new(8 * 1024, 4);
    dm_arena_init(&k->arena, k->pool, 1024 * 1024);
    k->rq.fields = &k->fields;
    k->rq.arena = &k->arena;
    k->rq.host = DM_LIT("localhost:5001");
    k->c.app = app;
    if (app != NULL) {
        struct dm_settings *of_app;
        adm_app_pin(app, &of_app, &k->c.keys);
        dm_settings_unref(of_app);
    }
    k->c.settings = s;
    k->c.rq = &k->rq;
    k->c.rs = &k->rs;
    k->c.arena = &k->arena;
}

void kit_call_done(struct kit_call *k)
{
    dm_json_free(k->c.body);
    dm_json_free(k->c.result.response);
    dm_json_free(k->c.audit.details);
    dm_keyset_unref(k->c.keys);
    dm_buf_done(&k->rs.body);
    dm_arena_reset(&k->arena);
    dm_arena_pool_free(k->pool);
}

void kit_field(struct kit_call *k, const char *name, const char *value)
{
    const dm_view n = dm_view_of(name);

    assert_true(dm_fields_add(&k->fields, &k->arena, dm_header_find(n), n, dm_view_of(value)));
}

dm_view kit_answer_field(const struct kit_call *k, const char *name)
{
    return dm_fields_get_name(&k->rs.fields, dm_view_of(name));
}

/* --- an admin part --- */

static void *run_loop(void *arg)
{
    dm_loop_run(arg);
    return NULL;
}

static void on_change(struct dm_live_subscriber *s, uint64_t generation,
                      const struct dm_live_change *c, size_t n)
{
    struct kit_app *k = DM_CONTAINER_OF(s, struct kit_app, ear);

    (void)generation;
    pthread_mutex_lock(&k->lock);
    for (size_t i = 0; i < n; i++) {
        if (dm_view_eq(c[i].kind, DM_LIT("api")) && dm_view_eq(c[i].id, DM_LIT("a1")))
            snprintf(k->heard, sizeof k->heard, "%.*s", DM_FMT(c[i].bytes));
        k->n_markers += dm_view_eq(c[i].kind, DM_LIT("marker"));
    }
    pthread_cond_broadcast(&k->changed);
    pthread_mutex_unlock(&k->lock);
}

/* News come in order: behind a marker there is nothing older. */
const char *kit_heard(struct kit_app *k)
{
    const struct dm_live_change marker = {DM_LIT("marker"), DM_LIT("m"), DM_LIT("{}")};

    pthread_mutex_lock(&k->lock);
    const size_t before = k->n_markers;
    pthread_mutex_unlock(&k->lock);
    assert_int_equal(dm_live_publish(k->live, &marker, 1, NULL, NULL), DM_OK);
    pthread_mutex_lock(&k->lock);
    while (k->n_markers == before)
        pthread_cond_wait(&k->changed, &k->lock);
    pthread_mutex_unlock(&k->lock);
    return k->heard;
}

static void make_keys(struct kit_app *k)
{
    const struct dm_keyset_source source = {.secret = dm_secret_view(&k->settings->jwt_secret_key)};
    struct dm_buf faults;

    dm_buf_init(&faults, 4096);
    assert_int_equal(dm_keyset_build(&source, &k->keys, &faults), DM_OK);
    dm_buf_done(&faults);
}

void kit_app_init_tapped(struct kit_app *k, const char *const *env, void (*tap)(struct kit_app *k))
{
    size_t n_uniques;
    const struct dm_documents_unique *uniques = adm_uniques(&n_uniques);
    struct dm_error err = {0};

    memset(k, 0, sizeof *k);
    dm_clock_manual_init(&k->clock, 1000 * DM_SEC, START);
    k->settings = kit_settings(env);
    make_keys(k);
    k->loop = dm_loop_new(&k->clock.clock);
    k->memory = dm_live_memory_new(k->loop);
    k->live = dm_live_memory_admin(k->memory);
    k->documents = dm_documents_memory_new(uniques, n_uniques);
    k->metrics = dm_metrics_new(1);
    if (tap != NULL)
        tap(k);
    k->handle = dm_live_memory_handle(k->memory, k->loop);
    k->ear.on_change = on_change;
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->changed, NULL);
    dm_live_subscribe(k->handle, &k->ear);
    assert_int_equal(pthread_create(&k->thread, NULL, run_loop, k->loop), 0);
    const struct adm_app_config config = {.settings = k->settings,
                                          .keys = k->keys,
                                          .documents = k->documents,
                                          .live = k->live,
                                          .clock = &k->clock.clock,
                                          .metrics = k->metrics,
                                          .memory_mode = true};
    if (adm_app_start(&config, &k->app, &err) != DM_OK)
        fail_msg("%s", err.text);
}

void kit_app_init(struct kit_app *k, const char *const *env)
{
    kit_app_init_tapped(k, env, NULL);
}

void kit_app_done(struct kit_app *k)
{
    adm_app_stop(k->app);
    dm_loop_stop(k->loop);
    pthread_join(k->thread, NULL);
    dm_live_unsubscribe(&k->ear);
    dm_live_free(k->handle);
    pthread_mutex_destroy(&k->lock);
    pthread_cond_destroy(&k->changed);
    dm_live_admin_free(k->live);
    dm_live_memory_free(k->memory);
    dm_documents_free(k->documents);
    dm_loop_free(k->loop);
    dm_metrics_free(k->metrics);
    dm_keyset_unref(k->keys);
    dm_settings_unref(k->settings);
}

const struct dm_documents_ops *kit_tap_documents(struct kit_app *k, struct dm_documents_ops *own)
{
    const struct dm_documents_ops *real = k->documents->ops;

    *own = *real;
    k->documents->ops = own;
    return real;
}

int kit_setup_with(void **state, const char *const *env, void (*tap)(struct kit_app *k))
{
    struct kit_app *k = test_calloc(1, sizeof *k);

    kit_app_init_tapped(k, env, tap);
    *state = k;
    return 0;
}

int kit_setup(void **state)
{
    return kit_setup_with(state, NULL, NULL);
}

int kit_teardown(void **state)
{
    kit_app_done(*state);
    test_free(*state);
    return 0;
}

/* --- two at once --- */

struct racer {
    struct kit_app *app;
    pthread_barrier_t *line;
    kit_step_fn step;
    int rounds;
    bool failed;
};

static void *run_racer(void *arg)
{
    struct racer *r = arg;

    for (int round = 0; round < r->rounds; round++) {
        pthread_barrier_wait(r->line);
        r->failed = !r->step(r->app, round) || r->failed;
        pthread_barrier_wait(r->line); /* now the test's own thread looks */
        pthread_barrier_wait(r->line);
    }
    return NULL;
}

void kit_race(struct kit_app *k, int rounds, kit_step_fn a, kit_step_fn b, kit_step_fn agrees)
{
    pthread_barrier_t line;
    struct racer racers[] = {{.app = k, .line = &line, .step = a, .rounds = rounds},
                             {.app = k, .line = &line, .step = b, .rounds = rounds}};
    pthread_t ids[DM_COUNT_OF(racers)];
    int disagreed = 0;

    pthread_barrier_init(&line, NULL, DM_COUNT_OF(racers) + 1);
    for (size_t i = 0; i < DM_COUNT_OF(racers); i++)
        assert_int_equal(pthread_create(&ids[i], NULL, run_racer, &racers[i]), 0);
    for (int round = 0; round < rounds; round++) {
        pthread_barrier_wait(&line);
        pthread_barrier_wait(&line);
        disagreed += !agrees(k, round);
        pthread_barrier_wait(&line);
    }
    for (size_t i = 0; i < DM_COUNT_OF(racers); i++) {
        pthread_join(ids[i], NULL);
        assert_false(racers[i].failed);
    }
    pthread_barrier_destroy(&line);
    assert_int_equal(disagreed, 0);
}

void assert_view_(dm_view got, const char *want, const char *file, int line)
{
    if (dm_view_eq(got, dm_view_of(want)))
        return;
    print_error("got \"%.*s\", want \"%s\"\n", DM_FMT(got), want);
    _fail(file, line);
}
