#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "policy_rig.h"

/* Published policy on a real Redis: what a hostile or broken store can do to it. Started by
 * tests/integration/store_redis/test_policy.py. */

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
    pr_set(r, API_A, dm_buf_view(&b));
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
    pr_set(r, API_A, pr_bytes_of(first));
}

static void swap_names(struct rig *r, const struct hand *first, const struct hand *second)
{
    struct hand b;
    (void)first;
    (void)second;
    pr_get(r, "doorman:policy:obj:api:b", &b);
    pr_set(r, API_A, pr_bytes_of(&b));
}

static void cut(struct rig *r, const struct hand *first, const struct hand *second)
{
    (void)first;
    pr_set(r, API_A, dm_view_sub(pr_bytes_of(second), 0, second->len - 70));
}

static void lose(struct rig *r, const struct hand *first, const struct hand *second)
{
    (void)first;
    (void)second;
    pr_del(r, API_A);
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
    uint64_t generation = pr_publish(r->admin, "api", "b", "\"b\"");
    for (size_t i = 0; i < DM_COUNT_OF(spoils); i++) {
        generation = pr_publish(r->admin, "api", "a", "\"old\"");
        pr_get(r, API_A, &first);
        pr_get(r, CURRENT, &before);
        uint64_t next = pr_publish(r->admin, "api", "a", "\"new\"");
        pr_get(r, API_A, &second);
        pr_get(r, CURRENT, &now);
        pr_set(r, CURRENT, pr_bytes_of(&before)); /* the follower begins with the old one */
        pr_set(r, API_A, pr_bytes_of(&first));
        pr_follow(r);
        pr_until_generation(r, generation);
        assert_string_equal(r->a, "\"old\"");
        int64_t count = pr_refused(r, spoils[i].reason);
        spoils[i].spoil(r, &first, &second);
        pr_set(r, CURRENT, pr_bytes_of(&now));
        pr_until_refused(r, spoils[i].reason, count);
        assert_string_equal(r->a, "\"old\"");
        assert_int_equal(r->generation, generation);
        pr_set(r, API_A, pr_bytes_of(&second));
        pr_until_generation(r, next);
        assert_string_equal(r->a, "\"new\"");
        pr_unfollow(r);
    }
}

static void spoilt_current_is_refused_and_the_old_policy_stays(void **state)
{
    struct rig *r = *state;
    struct hand before, now;
    struct dm_buf forged;
    (void)pr_publish(r->admin, "api", "a", "\"1\"");
    pr_get(r, CURRENT, &before);
    uint64_t generation = pr_publish(r->admin, "api", "a", "\"2\"");
    pr_get(r, CURRENT, &now);
    pr_follow(r);
    pr_until_generation(r, generation);
    pr_set(r, CURRENT, pr_bytes_of(&before));
    pr_until_refused(r, "rollback", 0);
    const struct dm_policy_value v = {.form = DM_POLICY_CURRENT, .generation = 99, .version = 1};
    dm_buf_init(&forged, 4096);
    dm_policy_build(&v, r->other, &forged);
    pr_set(r, CURRENT, dm_buf_view(&forged));
    pr_until_refused(r, "signature", 0);
    pr_set(r, CURRENT, DM_LIT("99"));
    pr_until_refused(r, "malformed", 0);
    pr_get(r, API_A, &before);
    pr_set(r, CURRENT, pr_bytes_of(&before)); /* signed, but something else */
    pr_until_refused(r, "name", 0);
    assert_int_equal(r->generation, generation);
    assert_string_equal(r->a, "\"2\"");
    pr_set(r, CURRENT, pr_bytes_of(&now));
    uint64_t next = pr_publish(r->admin, "api", "a", "\"3\"");
    pr_until_generation(r, next);
    dm_buf_done(&forged);
}

static void spoilt_lists_are_refused_and_the_old_policy_stays(void **state)
{
    struct rig *r = *state;
    struct hand before, now, delta;
    char key[64];
    uint64_t generation = pr_publish(r->admin, "api", "a", "\"1\"");
    pr_get(r, CURRENT, &before);
    uint64_t next = pr_publish(r->admin, "api", "a", "\"2\"");
    pr_get(r, CURRENT, &now);
    (void)snprintf(key, sizeof key, "doorman:policy:delta:%llu", (unsigned long long)next);
    pr_get(r, key, &delta);
    pr_set(r, CURRENT, pr_bytes_of(&before));
    pr_follow(r);
    pr_until_generation(r, generation);
    delta.bytes[delta.len - 1] ^= 1;
    pr_set(r, key, pr_bytes_of(&delta));
    pr_set(r, CURRENT, pr_bytes_of(&now));
    pr_until_refused(r, "signature", 0);
    pr_del(r, key); /* a gap, and the manifest does not bridge it without that delta */
    pr_until_refused(r, "missing", 0);
    assert_int_equal(r->generation, generation);
    delta.bytes[delta.len - 1] ^= 1;
    pr_set(r, key, pr_bytes_of(&delta));
    pr_until_generation(r, next);
    assert_string_equal(r->a, "\"2\"");
}

static void spoilt_user_is_no_verdict(void **state)
{
    struct rig *r = *state;
    struct hand first, second;
    char text[64];
    (void)pr_publish(r->admin, "user", "ann", "\"old\"");
    pr_get(r, "doorman:policy:obj:user:ann", &first);
    uint64_t generation = pr_publish(r->admin, "user", "ann", "\"new\"");
    pr_get(r, "doorman:policy:obj:user:ann", &second);
    pr_follow(r);
    pr_until_generation(r, generation);
    assert_int_equal(pr_ask_ann(r, text), DM_OK);
    assert_string_equal(text, "\"new\"");
    pr_set(r, "doorman:policy:obj:user:ann", pr_bytes_of(&first));
    assert_int_equal(pr_ask_ann(r, NULL), DM_UNAVAILABLE);
    assert_int_equal(pr_refused(r, "rollback"), 1);
    second.bytes[second.len - 1] ^= 1;
    pr_set(r, "doorman:policy:obj:user:ann", pr_bytes_of(&second));
    assert_int_equal(pr_ask_ann(r, NULL), DM_UNAVAILABLE);
    assert_int_equal(pr_refused(r, "signature"), 1);
    assert_int_equal(pr_publish(r->admin, "user", "ann", NULL), generation + 1);
    assert_int_equal(pr_ask_ann(r, NULL), DM_NOT_FOUND);
}

/* --- what was not heard --- */

static void missed_announcement_is_caught_by_the_poll(void **state)
{
    struct rig *r = *state;
    struct hand before, now;
    uint64_t generation = pr_publish(r->admin, "api", "a", "\"1\"");
    pr_get(r, CURRENT, &before);
    uint64_t next = pr_publish(r->admin, "api", "a", "\"2\"");
    pr_get(r, CURRENT, &now);
    pr_set(r, CURRENT, pr_bytes_of(&before));
    pr_follow(r);
    pr_until_generation(r, generation);
    pr_set(r, CURRENT, pr_bytes_of(&now)); /* and nothing is announced */
    pr_until_generation(r, next);
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
    (void)pr_publish(r->admin, "api", "b", "\"b\"");
    uint64_t generation = pr_publish(r->admin, "api", "a", "\"0\"");
    pr_follow(r);
    pr_until_generation(r, generation);
    (void)pr_publish(r->admin, "api", "b", NULL);
    for (int i = 1; i <= MANY; i++) {
        (void)snprintf(text, sizeof text, "\"%d\"", i);
        next = pr_publish(r->admin, "api", i % 2 == 0 ? "a" : "c", text);
    }
    (void)snprintf(text, sizeof text, "doorman:policy:delta:%d", (int)LOST);
    pr_del(r, text);
    r->heard = 0;
    pr_until_generation(r, next);
    assert_int_equal(r->heard, 1); /* at once, never half of it */
    assert_string_equal(r->a, "\"300\"");
    assert_string_equal(r->b, "-");
    assert_int_equal(r->forgot, 1); /* nobody knows which users changed */
    assert_int_equal(pr_refused(r, "missing"), 0);
}

static void generation_rises_when_the_store_was_emptied(void **state)
{
    const struct dm_live_change all[] = {{DM_LIT("api"), DM_LIT("a"), DM_LIT("\"again\"")},
                                         {DM_LIT("user"), DM_LIT("ann"), DM_LIT("\"u\"")}};
    const struct dm_live_change one = pr_change("api", "b", "\"b\"");
    struct rig *r = *state;
    struct dm_live_published published;
    (void)pr_publish(r->admin, "user", "ann", "\"u\"");
    (void)pr_publish(r->admin, "api", "b", "\"b\"");
    uint64_t generation = pr_publish(r->admin, "api", "a", "\"1\"");
    pr_follow(r);
    pr_until_generation(r, generation);
    served_command_all("FLUSHALL");
    assert_int_equal(pr_ask_ann(r, NULL), DM_UNAVAILABLE); /* and not "no such user" */
    assert_int_equal(dm_live_publish(r->admin, &one, 1, NULL, NULL), DM_UNAVAILABLE);
    dm_live_published(r->admin, &published);
    assert_true(published.lost);
    assert_int_equal(r->generation, generation); /* what was in force stays */
    assert_int_equal(pr_republish(r->admin, 1000, all, 2), 1001);
    pr_until_generation(r, 1001);
    assert_string_equal(r->a, "\"again\"");
    assert_string_equal(r->b, "-");
    assert_int_equal(r->forgot, 1);
    assert_int_equal(pr_ask_ann(r, NULL), DM_OK);
    dm_live_published(r->admin, &published);
    assert_false(published.lost);
}

static void republication_writes_only_what_differs(void **state)
{
    struct dm_live_change all[] = {{DM_LIT("api"), DM_LIT("a"), DM_LIT("\"1\"")},
                                   {DM_LIT("role"), DM_LIT("r"), DM_LIT("{}")},
                                   {DM_LIT("user"), DM_LIT("ann"), DM_LIT("\"u\"")}};
    struct rig *r = *state;
    assert_int_equal(pr_republish(r->admin, 0, all, 3), 1);
    assert_int_equal(pr_republish(r->admin, 0, all, 3), 1); /* nothing to say */
    struct dm_live_admin *second = pr_new_admin(r);
    assert_int_equal(pr_republish(second, 5000, all, 3), 1);
    pr_follow(r);
    pr_until_generation(r, 1);
    all[0].bytes = DM_LIT("\"2\"");
    assert_int_equal(pr_republish(second, 0, all, 2), 3); /* without ann: one of her own */
    pr_until_generation(r, 3);
    assert_string_equal(r->a, "\"2\"");
    assert_int_equal(r->n_apis, 2);
    assert_int_equal(r->named_ann, 1);
    assert_int_equal(r->forgot, 0);
    assert_int_equal(pr_ask_ann(r, NULL), DM_NOT_FOUND);
    dm_live_admin_free(second);
}

/* --- the copy on disk --- */

static void restarted_sidecar_serves_from_its_copy_while_the_store_is_away(void **state)
{
    struct rig *r = *state;
    r->config.snapshot_file = dm_view_of(r->file);
    (void)pr_publish(r->admin, "api", "b", "\"b\"");
    uint64_t generation = pr_publish(r->admin, "api", "a", "\"1\"");
    pr_follow(r);
    pr_until_generation(r, generation);
    for (int i = 0; i < TURNS && access(r->file, R_OK) != 0; i++)
        (void)dm_loop_turn(r->loop, TURN_MS * DM_MS);
    pr_unfollow(r);
    struct dm_redis_config there = r->config.redis;
    r->config.redis.mode = DM_REDIS_STANDALONE;
    r->config.redis.hosts[0] = DM_LIT("127.0.0.1:1"); /* nobody listens */
    r->config.redis.n_hosts = 1;
    pr_follow(r);
    pr_until_generation(r, generation);
    assert_string_equal(r->a, "\"1\"");
    assert_string_equal(r->b, "\"b\"");
    pr_unfollow(r);
    assert_int_equal(truncate(r->file, 100), 0); /* spoilt: nothing rather than half */
    pr_follow(r);
    for (int i = 0; i < 300; i++)
        (void)dm_loop_turn(r->loop, TURN_MS * DM_MS);
    assert_int_equal(r->heard, 0);
    pr_unfollow(r);
    r->config.redis = there;
    pr_follow(r);
    pr_until_generation(r, generation);
}

/* --- as large as it gets --- */

static void eleven_thousand_objects_come_in_force(void **state)
{
    enum { APIS = 1000, ENDPOINTS = 10 };
    struct rig *r = *state;
    static char names[APIS * ENDPOINTS + APIS][40], texts[APIS * ENDPOINTS + APIS][300];
    struct dm_live_change *all = dm_mem_array(APIS * ENDPOINTS + APIS, sizeof *all);
    size_t n = 0;
    for (size_t i = 0; i < APIS * ENDPOINTS + APIS; i++, n++) {
        bool api = i < APIS;
        (void)snprintf(names[i], sizeof names[i], "6f1e0b52-3c1f-4a4e-9c55-%012zu", i);
        const char *owner = names[api ? i : (i - APIS) / ENDPOINTS]; /* the API it belongs to */
        (void)snprintf(texts[i], sizeof texts[i],
                       api ? "{\"api_id\":\"%s\",\"api_name\":\"n%zu\",\"api_version\":\"v1\","
                             "\"active\":true,\"api_servers\":[\"http://127.0.0.1:1\"]}"
                           : "{\"api_id\":\"%s\",\"endpoint_uri\":\"/v1/things/%zu\","
                             "\"endpoint_method\":\"GET\",\"endpoint_id\":\"%s\"}",
                       owner, i, names[i]);
        all[i] = pr_change(api ? "api" : "endpoint", names[i], texts[i]);
    }
    dm_time begin = dm_clock_mono(&dm_clock_system);
    uint64_t generation = pr_republish(r->admin, 0, all, n);
    dm_time published = dm_clock_mono(&dm_clock_system);
    pr_follow(r);
    pr_until_generation(r, generation);
    dm_time ended = dm_clock_mono(&dm_clock_system);
    assert_int_equal(r->n_apis, APIS);
    print_message("%zu objects: published in %d ms, in force in %d ms\n", n,
                  (int)((published - begin) / DM_MS), (int)((ended - published) / DM_MS));
    dm_mem_free(all);
}

struct seen_names {
    struct dm_live_names names;
    size_t n;
};

static enum dm_code note_names(void *ctx, const struct dm_live_change *names, size_t n,
                               struct dm_error *err)
{
    struct seen_names *s = ctx;
    (void)err;
    for (size_t i = 0; i < n; i++, s->n++)
        dm_live_names_add(&s->names, names[i].kind, names[i].id);
    return DM_OK;
}

/* Nobody waits for a look at very many users: it takes no lock. */
static void objects_on_demand_are_compared_while_another_admin_publishes(void **state)
{
    enum { USERS = 600 }; /* three rounds */
    struct rig *r = *state;
    static char names[USERS][16];
    struct dm_live_change *users = dm_mem_array(USERS, sizeof *users);
    bool *differs = dm_mem_array(USERS, sizeof *differs);
    struct seen_names found = {0};
    struct dm_live_admin *other = pr_new_admin(r);
    struct hand h;
    for (size_t i = 0; i < USERS; i++) {
        (void)snprintf(names[i], sizeof names[i], "user-%zu", i);
        users[i] = pr_change("user", names[i], "\"u\"");
    }
    assert_int_equal(pr_republish(r->admin, 0, users, USERS), 1);
    (void)pr_publish(r->admin, "api", "a", "\"1\"");
    assert_int_equal(dm_live_publish_lock(other, NULL), DM_OK);
    users[1].bytes = DM_LIT("\"changed\"");
    users[2].bytes = DM_VIEW_NONE;
    pr_del(r, "doorman:policy:obj:user:user-300");
    pr_get(r, "doorman:policy:obj:user:user-501", &h);
    pr_set(r, "doorman:policy:obj:user:user-500", pr_bytes_of(&h)); /* signed, for another name */
    assert_int_equal(dm_live_compare(r->admin, users, USERS, differs, NULL), DM_OK);
    for (size_t i = 0; i < USERS; i++)
        assert_int_equal(differs[i], i == 1 || i == 2 || i == 300 || i == 500);
    assert_int_equal(dm_live_names(r->admin, note_names, &found, NULL), DM_OK);
    assert_int_equal(found.n, USERS - 1); /* what was evicted; the API is none of them */
    for (size_t i = 0; i < USERS; i++)
        assert_int_equal(dm_live_names_has(&found.names, DM_LIT("user"), users[i].id), i != 300);
    dm_live_publish_unlock(other);
    dm_live_names_done(&found.names);
    dm_live_admin_free(other);
    dm_mem_free(differs);
    dm_mem_free(users);
}

static void objects_on_demand_are_left_alone_where_the_store_is_whole(void **state)
{
    const struct dm_live_change all[] = {pr_change("api", "a", "\"1\""),
                                         pr_change("user", "ann", "\"u\"")};
    struct rig *r = *state;
    uint64_t generation = pr_republish(r->admin, 0, all, 2);
    bool whole = true;
    assert_int_equal(dm_live_publish_lock(r->admin, NULL), DM_OK);
    assert_int_equal(dm_live_republish_begin(r->admin, 0, &whole, NULL), DM_OK);
    assert_false(whole);
    assert_int_equal(dm_live_republish_put(r->admin, all, 1, NULL), DM_OK);
    assert_int_equal(dm_live_republish_end(r->admin, false, &generation, NULL), DM_OK);
    dm_live_publish_unlock(r->admin);
    pr_follow(r);
    pr_until_generation(r, generation);
    assert_int_equal(pr_ask_ann(r, NULL), DM_OK);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, pr_open, pr_close)
    const struct CMUnitTest tests[] = {
        CASE(spoilt_object_is_refused_and_the_old_policy_stays),
        CASE(spoilt_current_is_refused_and_the_old_policy_stays),
        CASE(spoilt_lists_are_refused_and_the_old_policy_stays),
        CASE(spoilt_user_is_no_verdict),
        CASE(missed_announcement_is_caught_by_the_poll),
        CASE(gap_is_bridged_by_the_manifest),
        CASE(generation_rises_when_the_store_was_emptied),
        CASE(republication_writes_only_what_differs),
        CASE(restarted_sidecar_serves_from_its_copy_while_the_store_is_away),
        CASE(eleven_thousand_objects_come_in_force),
        CASE(objects_on_demand_are_compared_while_another_admin_publishes),
        CASE(objects_on_demand_are_left_alone_where_the_store_is_whole),
    };
    return cmocka_run_group_tests_name("live_policy", tests, NULL, NULL);
}
