/* What a worker counts for the admin: records add up to the calls, whatever comes together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "codec/json.h"
#include "gateway/tally.h"
#include "io/loop.h"
#include "store/live_memory.h"

enum { START = 1700000040 }; /* a minute begins */
#define FLUSH (DM_SEC)

struct rig {
    struct dm_clock_manual clock;
    struct dm_loop *loop;
    struct dm_live_memory *memory;
    struct dm_live *live;
    struct dm_live_admin *admin;
    struct gw_tally *tally;
    size_t lost[DM_STREAMS];
};

static void on_lost(void *ctx, enum dm_stream s, size_t n)
{
    ((struct rig *)ctx)->lost[s] += n;
}

static int setup(void **state)
{
    struct rig *r = test_calloc(1, sizeof *r);

    dm_clock_manual_init(&r->clock, 1000 * DM_SEC, START * DM_SEC);
    r->loop = dm_loop_new(&r->clock.clock);
    r->memory = dm_live_memory_new(r->loop);
    r->live = dm_live_memory_handle(r->memory, r->loop);
    r->admin = dm_live_memory_admin(r->memory);
    r->tally = gw_tally_new(
        &(struct gw_tally_config){.loop = r->loop, .live = r->live, .on_lost = on_lost, .ctx = r});
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;

    gw_tally_free(r->tally);
    dm_live_admin_free(r->admin);
    dm_live_free(r->live);
    dm_live_memory_free(r->memory);
    dm_loop_free(r->loop);
    test_free(r);
    return 0;
}

static void step(struct rig *r, dm_time by)
{
    dm_clock_manual_step(&r->clock, by);
    (void)dm_loop_turn(r->loop, 0);
}

static struct gw_tally_call call(const char *api, uint32_t slot, const char *user)
{
    return (struct gw_tally_call){.protocol = DM_LIT("rest"),
                                  .api = dm_view_of(api),
                                  .api_slot = slot,
                                  .user = dm_view_of(user),
                                  .status = 200,
                                  .took = 3 * DM_MS,
                                  .bytes_in = 10,
                                  .bytes_out = 100};
}

static void add(struct rig *r, const struct gw_tally_call *c)
{
    gw_tally_add(r->tally, c, FLUSH);
}

/* All records there are, as an array. */
static struct dm_json *records(struct rig *r)
{
    struct dm_json *list = dm_json_new_array();
    struct dm_live_batch *b;

    for (;;) {
        assert_int_equal(dm_live_take(r->admin, DM_STREAM_METRICS, &b, NULL), DM_OK);
        if (b == NULL)
            return list;
        for (size_t i = 0; i < b->n; i++) {
            struct dm_json *j;
            assert_int_equal(dm_json_parse(b->entries[i].record, &dm_json_default, &j, NULL),
                             DM_OK);
            dm_json_push(list, j);
        }
        assert_int_equal(dm_live_done(r->admin, DM_STREAM_METRICS, b, NULL), DM_OK);
        dm_live_batch_free(b);
    }
}

static int64_t figure(const struct dm_json *record, const char *name)
{
    return dm_json_i64(dm_json_get(record, dm_view_of(name)), -1);
}

static int64_t member(const struct dm_json *record, const char *map, const char *name)
{
    return figure(dm_json_get(record, dm_view_of(map)), name);
}

static int64_t sum(const struct dm_json *list, const char *name)
{
    int64_t n = 0;

    for (struct dm_json *j = dm_json_first(list); j != NULL; j = dm_json_next(j))
        n += figure(j, name);
    return n;
}

static void calls_leave_as_one_record_after_the_flush_time(void **state)
{
    struct rig *r = *state;
    struct gw_tally_call c = call("orders/v1", 3, "ann");

    add(r, &c);
    c.status = 504;
    c.refusal = ERR_UPSTREAM_TIMEOUT;
    c.upstream_timeout = true;
    c.retries = 2;
    c.test = true;
    add(r, &c);
    step(r, FLUSH / 2);
    DM_DEFER(dm_json_freep) struct dm_json *none = records(r);
    assert_int_equal(dm_json_len(none), 0);
    step(r, FLUSH);
    DM_DEFER(dm_json_freep) struct dm_json *list = records(r);
    const struct dm_json *one = dm_json_at(list, 0);
    assert_int_equal(dm_json_len(list), 1);
    assert_int_equal(figure(one, "minute"), START / 60);
    assert_int_equal(figure(one, "count"), 2);
    assert_int_equal(figure(one, "errors"), 1);
    assert_int_equal(figure(one, "us"), 6000);
    assert_int_equal(figure(one, "tests"), 1);
    assert_int_equal(figure(one, "bytes_in"), 20);
    assert_int_equal(figure(one, "bytes_out"), 200);
    assert_int_equal(figure(one, "timeouts"), 1);
    assert_int_equal(figure(one, "retries"), 2);
    assert_int_equal(member(one, "statuses", "200"), 1);
    assert_int_equal(member(one, "statuses", "504"), 1);
    assert_int_equal(member(one, "codes", "UPSTREAM_TIMEOUT"), 1);
    assert_int_equal(member(one, "users", "ann"), 2);
    const struct dm_json *api =
        dm_json_get(dm_json_get(one, DM_LIT("apis")), DM_LIT("rest:orders/v1"));
    assert_int_equal(dm_json_i64(dm_json_at(api, 0), 0), 2);
    assert_int_equal(dm_json_i64(dm_json_at(api, 1), 0), 1);
}

static void nothing_is_sent_where_nothing_was_called(void **state)
{
    struct rig *r = *state;

    gw_tally_flush(r->tally);
    step(r, 10 * FLUSH);
    DM_DEFER(dm_json_freep) struct dm_json *list = records(r);
    assert_int_equal(dm_json_len(list), 0);
}

static void a_record_is_of_one_minute(void **state)
{
    struct rig *r = *state;
    const struct gw_tally_call c = call("orders/v1", 0, "ann");

    add(r, &c);
    dm_clock_manual_step(&r->clock, 60 * DM_SEC);
    (void)dm_loop_turn(r->loop, 0);
    add(r, &c);
    gw_tally_flush(r->tally);
    DM_DEFER(dm_json_freep) struct dm_json *list = records(r);
    assert_int_equal(dm_json_len(list), 2);
    assert_int_equal(figure(dm_json_at(list, 0), "minute"), START / 60);
    assert_int_equal(figure(dm_json_at(list, 1), "minute"), START / 60 + 1);
}

static void more_apis_and_users_than_the_tables_hold_lose_no_call(void **state)
{
    enum { MANY = 500 };
    struct rig *r = *state;
    int64_t apis = 0, users = 0;
    char api[32], user[32];

    for (unsigned i = 0; i < MANY; i++) {
        snprintf(api, sizeof api, "a%u/v1", i);
        snprintf(user, sizeof user, "u%u", i);
        const struct gw_tally_call c = call(api, i * 128, user); /* all in one place of the table */
        add(r, &c);
        add(r, &c);
    }
    gw_tally_flush(r->tally);
    DM_DEFER(dm_json_freep) struct dm_json *list = records(r);
    assert_true(dm_json_len(list) > 1);
    for (struct dm_json *j = dm_json_first(list); j != NULL; j = dm_json_next(j)) {
        const struct dm_json *map = dm_json_get(j, DM_LIT("apis"));
        for (struct dm_json *a = dm_json_first(map); a != NULL; a = dm_json_next(a))
            apis += dm_json_i64(dm_json_at(a, 0), 0);
        map = dm_json_get(j, DM_LIT("users"));
        for (struct dm_json *u = dm_json_first(map); u != NULL; u = dm_json_next(u))
            users += dm_json_i64(u, 0);
    }
    assert_int_equal(sum(list, "count"), 2 * MANY);
    assert_int_equal(apis, 2 * MANY);
    assert_int_equal(users + sum(list, "other_users"), 2 * MANY);
    assert_int_equal(r->lost[DM_STREAM_METRICS], 0);
}

static void names_are_written_as_they_are(void **state)
{
    struct rig *r = *state;
    const struct gw_tally_call c = call("a\"\\\n/v1", 0, "\xff\x01\"");

    add(r, &c);
    gw_tally_flush(r->tally);
    DM_DEFER(dm_json_freep) struct dm_json *list = records(r);
    assert_int_equal(dm_json_len(list), 1);
    assert_non_null(
        dm_json_get(dm_json_get(dm_json_at(list, 0), DM_LIT("apis")), DM_LIT("rest:a\"\\\n/v1")));
}

static void ids_are_numbered_and_differ_between_workers(void **state)
{
    struct rig *r = *state;
    const struct gw_tally_call c = call("orders/v1", 0, "ann");
    struct gw_tally *other = gw_tally_new(
        &(struct gw_tally_config){.loop = r->loop, .live = r->live, .on_lost = on_lost, .ctx = r});
    struct dm_live_batch *b;

    for (int i = 0; i < 2; i++) {
        add(r, &c);
        gw_tally_flush(r->tally);
    }
    gw_tally_add(other, &c, FLUSH);
    gw_tally_flush(other);
    gw_tally_free(other);
    assert_int_equal(dm_live_take(r->admin, DM_STREAM_METRICS, &b, NULL), DM_OK);
    assert_int_equal(b->n, 3);
    const dm_view first = b->entries[0].id, second = b->entries[1].id, third = b->entries[2].id;
    assert_true(first.len == 18 && second.len == 18 && third.len == 18);
    assert_memory_equal(first.ptr, second.ptr, 17);
    assert_memory_equal(first.ptr + 16, "-1", 2);
    assert_memory_equal(second.ptr + 16, "-2", 2);
    assert_memory_not_equal(first.ptr, third.ptr, 16);
    dm_live_batch_free(b);
}

/* Nobody takes: the line is bounded, what is lost is told. */
static void an_admin_that_stays_away_costs_bounded_memory(void **state)
{
    enum { EVENTS = 1000 };
    struct rig *r = *state;
    static char event[8 * 1024];
    struct dm_live_batch *b;

    memset(event, ' ', sizeof event);
    for (int i = 0; i < EVENTS; i++)
        gw_tally_audit(r->tally, dm_view_make(event, sizeof event));
    assert_in_range(r->lost[DM_STREAM_AUDIT], EVENTS / 4, EVENTS - 1);
    assert_int_equal(dm_live_take(r->admin, DM_STREAM_AUDIT, &b, NULL), DM_OK);
    assert_memory_equal(b->entries[0].id.ptr + 16, "-1", 2); /* the oldest are kept */
    dm_live_batch_free(b);
}

#define RIG(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG(calls_leave_as_one_record_after_the_flush_time),
        RIG(nothing_is_sent_where_nothing_was_called),
        RIG(a_record_is_of_one_minute),
        RIG(more_apis_and_users_than_the_tables_hold_lose_no_call),
        RIG(names_are_written_as_they_are),
        RIG(ids_are_numbered_and_differ_between_workers),
        RIG(an_admin_that_stays_away_costs_bounded_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
