#include "redis_rig.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/resolver.h"

extern char **environ;

void rr_open(struct rr *g)
{
    struct dm_error err;
    struct dm_redis_config config;
    struct dm_buf faults, warnings;
    dm_buf_init(&faults, 65536);
    dm_buf_init(&warnings, 65536);
    struct dm_settings_input in = {
        .role = DM_ROLE_GATEWAY, .environ_ = (const char *const *)environ, .no_files = true};
    if (dm_settings_load(&in, &g->settings, &faults, &warnings) != DM_OK)
        fail_msg("%.*s", DM_FMT(dm_buf_view(&faults)));
    dm_buf_done(&faults);
    dm_buf_done(&warnings);
    if (dm_redis_config_of(g->settings, &config, &err) != DM_OK)
        fail_msg("%s", err.text);
    g->loop = dm_loop_new(&dm_clock_system);
    const struct dm_resolver_config resolver = {.loop = g->loop};
    assert_int_equal(dm_resolver_new(&resolver, &g->resolver, &err), DM_OK);
    assert_int_equal(dm_redis_new(g->loop, g->resolver, &config, &g->redis, &err), DM_OK);
}

void rr_close(struct rr *g)
{
    dm_redis_free(g->redis);
    dm_resolver_free(g->resolver);
    dm_loop_free(g->loop);
    dm_settings_unref(g->settings);
}

void rr_turn_until(struct rr *g, bool (*done)(void *ctx), void *ctx)
{
    dm_time end = dm_clock_mono(&dm_clock_system) + 20 * DM_SEC;
    while (!done(ctx)) {
        if (dm_clock_mono(&dm_clock_system) > end)
            fail_msg("it did not happen within 20 s");
        (void)dm_loop_turn(g->loop, 20 * DM_MS);
    }
}

static bool connected(void *ctx)
{
    return dm_redis_connected(((struct rr *)ctx)->redis);
}

void rr_connect(struct rr *g)
{
    rr_turn_until(g, connected, g);
}

int rr_set_up(void **state)
{
    struct rr *g = *state;
    *g = (struct rr){0};
    rr_open(g);
    return 0;
}

int rr_set_up_connected(void **state)
{
    (void)rr_set_up(state);
    rr_connect(*state);
    return 0;
}

int rr_tear_down(void **state)
{
    rr_close(*state);
    return 0;
}

void rr_note(struct dm_redis_ask *a, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct rr_ask *n = DM_CONTAINER_OF(a, struct rr_ask, ask);
    dm_view text = dm_redis_text(reply);
    n->answers++;
    n->rc = rc;
    n->type = dm_redis_type(reply);
    n->number = dm_redis_int(reply);
    n->len = dm_redis_len(reply);
    (void)snprintf(n->text, sizeof n->text, "%.*s", DM_FMT(text));
}

dm_time rr_in(const struct rr *g, dm_time after)
{
    (void)g;
    return dm_clock_mono(&dm_clock_system) + after;
}

void rr_ask(struct rr *g, const char *command, dm_time after, struct rr_ask *a)
{
    dm_view argv[DM_REDIS_ARGS_MAX], rest = dm_view_of(command), word;
    size_t argc = 0;
    while (dm_view_split(&rest, ' ', &word))
        argv[argc++] = word;
    *a = (struct rr_ask){.answers = 0};
    dm_redis_send(g->redis, argc > 1 ? argv[1] : DM_VIEW_NONE, argv, argc, rr_in(g, after), &a->ask,
                  rr_note);
}

static bool answered(void *ctx)
{
    return ((struct rr_ask *)ctx)->answers > 0;
}

void rr_wait(struct rr *g, struct rr_ask *a)
{
    rr_turn_until(g, answered, a);
    assert_int_equal(a->answers, 1);
}

void rr_do(struct rr *g, const char *command, struct rr_ask *a)
{
    rr_ask(g, command, 10 * DM_SEC, a);
    rr_wait(g, a);
    if (a->rc != DM_OK)
        fail_msg("%s: %s %s", command, dm_code_name(a->rc), a->text);
}

void rr_order(struct rr *g, const char *word)
{
    char line[64];
    printf("\n>> %s\n", word);
    fflush(stdout);
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    while (poll(&in, 1, 0) == 0)
        (void)dm_loop_turn(g->loop, 5 * DM_MS);
    assert_true(read(STDIN_FILENO, line, sizeof line) > 0);
}

void rr_on_message(struct dm_redis_channel *c, dm_view payload)
{
    (void)payload;
    DM_CONTAINER_OF(c, struct rr_ear, channel)->messages++;
}

void rr_on_subscribed(struct dm_redis_channel *c)
{
    DM_CONTAINER_OF(c, struct rr_ear, channel)->subscribed++;
}
