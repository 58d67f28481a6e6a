/* The audit trail as documents: one chain of however many writers, and a check that finds every
 * change of it. */
#include "kit.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "admin/services/trail.h"
#include "store/documents_backend.h"

enum { RECORDS = 7, ROUNDS = 100, STILL = 200 /* looks at a thread that sleeps */ };

static const struct dm_documents_ops *real;
static struct dm_documents_ops tapped;
static atomic_bool is_stuck;
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool asked, open;
    int n_asked;
    pid_t waiting; /* 0: not there yet */
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* Stands still until the gate opens, then says that the store is away. */
static enum dm_code insert(struct dm_documents *d, const char *collection,
                           const struct dm_json *doc, struct dm_error *err)
{
    if (!is_stuck)
        return real->insert(d, collection, doc, err);
    pthread_mutex_lock(&gate.lock);
    gate.asked = true;
    gate.n_asked++;
    pthread_cond_broadcast(&gate.changed);
    while (!gate.open)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
    return DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_DOCUMENTS_AWAY, "gone");
}

static void tap(struct kit_app *k)
{
    real = kit_tap_documents(k, &tapped);
    tapped.insert = insert;
}

static int setup(void **state)
{
    return kit_setup_with(state, NULL, tap);
}

static struct dm_json *parse(const char *text)
{
    struct dm_json *doc;

    assert_int_equal(dm_json_parse(dm_view_of(text), &dm_json_default, &doc, NULL), DM_OK);
    return doc;
}

static bool append(struct kit_app *k, const char *action, const char *event_id)
{
    DM_DEFER(dm_json_freep) struct dm_json *event = dm_json_new_object();
    struct dm_error err = {0};

    dm_json_set_str(event, DM_LIT("action"), dm_view_of(action));
    return adm_trail_append(k->app, event, dm_view_of(event_id), &err) == DM_OK;
}

static void append_many(struct kit_app *k)
{
    for (int i = 0; i < RECORDS; i++)
        assert_true(append(k, "test", ""));
}

static struct dm_json *all_of(struct kit_app *k)
{
    const struct dm_query q = {.sort = "position"};
    struct dm_json *list = NULL;

    assert_int_equal(dm_documents_list(k->documents, "audit_log", &q, &list, NULL), DM_OK);
    return list;
}

static struct adm_trail_walk verify(struct kit_app *k)
{
    struct adm_trail_walk w = {0};
    struct dm_error err = {0};

    while (!w.ended)
        assert_int_equal(adm_trail_verify(k->app, &w, 3, &err), DM_OK);
    return w;
}

static void assert_intact(struct kit_app *k, int64_t n)
{
    const struct adm_trail_walk w = verify(k);

    assert_false(w.broken);
    assert_int_equal(w.checked, n);
}

static void assert_broken_at(struct kit_app *k, int64_t seq)
{
    const struct adm_trail_walk w = verify(k);

    assert_true(w.broken);
    assert_int_equal(w.broken_at, seq);
}

static struct dm_filter at(const char *position)
{
    return DM_WHERE("position", dm_view_of(position));
}

/* --- appending --- */

static void records_follow_each_other_from_the_first(void **state)
{
    struct kit_app *k = *state;

    append_many(k);
    DM_DEFER(dm_json_freep) struct dm_json *list = all_of(k);
    const struct dm_json *first = dm_json_at(list, 0), *second = dm_json_at(list, 1);
    assert_int_equal(dm_json_len(list), RECORDS);
    assert_int_equal(dm_json_i64(dm_json_get(first, DM_LIT("seq")), 0), 1);
    assert_view(dm_json_str(dm_json_get(first, DM_LIT("prev_hash"))),
                "0000000000000000000000000000000000000000000000000000000000000000");
    assert_true(dm_view_eq(dm_json_str(dm_json_get(second, DM_LIT("prev_hash"))),
                           dm_json_str(dm_json_get(first, DM_LIT("hash")))));
    assert_view(dm_json_str(dm_json_get(first, DM_LIT("event_type"))), "test");
    assert_intact(k, RECORDS);
}

static void hash_is_sha256_of_the_one_before_and_the_sorted_record(void **state)
{
    (void)state;
    DM_DEFER(dm_json_freep)
    struct dm_json *record = parse(
        "{\"b\":[1,{\"d\":true,\"c\":\"x\"}],\"a\":\"y\",\"prev_hash\":\"00\",\"hash\":\"z\"}");
    char hash[ADM_TRAIL_HASH + 1];

    adm_trail_hash(record, hash); /* 00{"a":"y","b":[1,{"c":"x","d":true}],"prev_hash":"00"} */
    assert_string_equal(hash, "7a765e45862a424623a67e4fa743aff9e6f5eec11d5140287dd70bbe498a0389");
}

static void an_event_that_comes_twice_is_there_once(void **state)
{
    struct kit_app *k = *state;

    assert_true(append(k, "first", "a-1"));
    assert_true(append(k, "first", "a-1"));
    assert_true(append(k, "second", "a-2"));
    assert_true(append(k, "first", "a-1"));
    assert_intact(k, 2);
}

static bool append_one(struct kit_app *k, int round)
{
    (void)round;
    return append(k, "one", "");
}

/* Another admin: it knows nothing of our end of the chain. */
static bool append_elsewhere(struct kit_app *k, int round)
{
    struct adm_trail *other = adm_trail_new();
    DM_DEFER(dm_json_freep) struct dm_json *event = dm_json_new_object();
    struct dm_error err = {0};
    enum dm_code rc;

    (void)round;
    dm_json_set_str(event, DM_LIT("action"), DM_LIT("other"));
    rc = adm_trail_append_as(k->app, other, event, DM_VIEW_NONE, &err);
    adm_trail_free(other);
    return rc == DM_OK;
}

static bool is_intact(struct kit_app *k, int round)
{
    const struct adm_trail_walk w = verify(k);

    return !w.broken && w.checked == 2 * (round + 1);
}

static void two_admins_at_once_keep_one_chain(void **state)
{
    kit_race(*state, ROUNDS, append_one, append_elsewhere, is_intact);
}

static void the_chain_goes_on_after_a_restart(void **state)
{
    struct kit_app *k = *state;

    append_many(k);
    assert_true(append_elsewhere(k, 0));
    assert_intact(k, RECORDS + 1);
}

/* --- a store that goes away --- */

static void *append_first(void *k)
{
    return append(k, "first", "") ? k : NULL;
}

static void *append_behind(void *k)
{
    pthread_mutex_lock(&gate.lock);
    gate.waiting = gettid();
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
    return append(k, "behind", "") ? k : NULL;
}

/* The thread sleeps: the trail's lock is the only thing it can wait for. */
static bool sleeps(pid_t thread)
{
    char path[64], line[256] = "";
    FILE *f;

    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)thread);
    f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    fclose(f);
    return strstr(line, ") S ") != NULL;
}

static void who_waits_behind_a_store_that_is_away_does_not_ask_it_again(void **state)
{
    struct kit_app *k = *state;
    pthread_t first, behind;
    void *stored[2];

    is_stuck = true;
    assert_int_equal(pthread_create(&first, NULL, append_first, k), 0);
    pthread_mutex_lock(&gate.lock);
    while (!gate.asked)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
    assert_int_equal(pthread_create(&behind, NULL, append_behind, k), 0);
    pthread_mutex_lock(&gate.lock);
    while (gate.waiting == 0)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
    for (int seen = 0; seen < STILL; seen = sleeps(gate.waiting) ? seen + 1 : 0)
        sched_yield();
    pthread_mutex_lock(&gate.lock);
    gate.open = true;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
    pthread_join(first, &stored[0]);
    pthread_join(behind, &stored[1]);
    is_stuck = false;
    assert_null(stored[0]);
    assert_null(stored[1]);
    assert_int_equal(gate.n_asked, 1);
    assert_true(append(k, "back", ""));
    assert_intact(k, 1);
}

/* --- tampering --- */

static enum dm_code forge(void *ctx, struct dm_json *doc, struct dm_error *err)
{
    (void)err;
    dm_json_set_str(doc, DM_LIT("username"), dm_view_of(ctx));
    return DM_OK;
}

static enum dm_code forge_with_hash(void *ctx, struct dm_json *doc, struct dm_error *err)
{
    char hash[ADM_TRAIL_HASH + 1];

    (void)forge(ctx, doc, err);
    adm_trail_hash(doc, hash);
    dm_json_set_str(doc, DM_LIT("hash"), dm_view_of(hash));
    return DM_OK;
}

static void change(struct kit_app *k, const char *position, dm_documents_change_fn how)
{
    static char somebody[] = "somebody";
    const struct dm_filter key = at(position);

    assert_int_equal(
        dm_documents_update(k->documents, "audit_log", &key, 1, how, somebody, NULL, NULL), DM_OK);
}

static void a_changed_record_is_found(void **state)
{
    struct kit_app *k = *state;

    append_many(k);
    change(k, "0000000000000004", forge);
    assert_broken_at(k, 4);
}

static void a_changed_record_with_a_hash_of_its_own_is_found(void **state)
{
    struct kit_app *k = *state;

    append_many(k);
    change(k, "0000000000000004", forge_with_hash);
    assert_broken_at(k, 5); /* the next one vouches for the old one */
}

static void a_record_taken_out_is_found(void **state)
{
    struct kit_app *k = *state;
    const struct dm_filter key = at("0000000000000003");
    uint64_t n;

    append_many(k);
    assert_int_equal(dm_documents_delete(k->documents, "audit_log", &key, 1, &n, NULL), DM_OK);
    assert_broken_at(k, 3);
}

static void a_chain_cut_at_its_end_is_found_once_it_goes_on(void **state)
{
    struct kit_app *k = *state;
    const struct dm_filter key = at("0000000000000007");
    uint64_t n;

    append_many(k);
    assert_int_equal(dm_documents_delete(k->documents, "audit_log", &key, 1, &n, NULL), DM_OK);
    assert_true(append(k, "next", ""));
    assert_broken_at(k, RECORDS);
}

/* --- details, events of others --- */

static void secrets_in_details_are_not_stored(void **state)
{
    (void)state;
    DM_DEFER(dm_json_freep)
    struct dm_json *details = parse("{\"api_key\":\"k\",\"note\":\"Bearer abc.def\",\"n\":1,"
                                    "\"half\":0.5,\"none\":null,\"list\":[\"a\"]}");
    DM_DEFER(dm_json_freep) struct dm_json *clean = adm_trail_sanitised(details);
    struct dm_buf out;

    dm_buf_init(&out, 4096);
    dm_json_write(clean, &out);
    assert_view(dm_buf_view(&out), "{\"api_key\":\"[REDACTED]\",\"note\":\"[REDACTED]\",\"n\":1,"
                                   "\"half\":\"0.5\",\"none\":\"null\",\"list\":[\"a\"]}");
    dm_buf_done(&out);
}

#define EVENT(details)                                                                             \
    "{\"timestamp\":\"t\",\"request_id\":\"r\",\"username\":\"\",\"action\":\"ip.api_deny\","      \
    "\"target\":\"x\",\"status\":\"blocked\",\"client_ip\":\"c\",\"effective_ip\":\"e\"" details   \
    "}"

static void only_events_of_gateways_are_taken(void **state)
{
    static const char *const refused[] = {
        "",
        "[]",
        "{}",
        "{\"action\":\"x\"}",
        EVENT(""),
        EVENT(",\"details\":[]"),
        EVENT(",\"details\":{\"a\":{}}"),
        EVENT(",\"details\":{\"a\":0.5}"),
        EVENT(",\"details\":{\"a\":null}"),
        EVENT(",\"details\":{\"$a\":1}"),
        EVENT(",\"details\":{\"_id\":1}"),
        EVENT(",\"details\":{\"\":1}"),
        EVENT(",\"details\":{\"a\":1},\"action\":\"y\""),
        EVENT(",\"details\":{\"a\":\"\\u0000\"}"),
        EVENT(",\"details\":{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,"
              "\"i\":1,\"j\":1,\"k\":1,\"l\":1,\"m\":1,\"n\":1,\"o\":1,\"p\":1,\"q\":1}")};
    DM_DEFER(dm_json_freep)
    struct dm_json *taken =
        adm_trail_read(DM_LIT(EVENT(",\"details\":{\"reason\":\"ip\",\"limit\":5}")));

    (void)state;
    assert_non_null(taken);
    for (size_t i = 0; i < DM_COUNT_OF(refused); i++) {
        if (adm_trail_read(dm_view_of(refused[i])) != NULL)
            fail_msg("%s", refused[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(records_follow_each_other_from_the_first, setup,
                                        kit_teardown),
        cmocka_unit_test(hash_is_sha256_of_the_one_before_and_the_sorted_record),
        cmocka_unit_test_setup_teardown(an_event_that_comes_twice_is_there_once, setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(two_admins_at_once_keep_one_chain, setup, kit_teardown),
        cmocka_unit_test_setup_teardown(the_chain_goes_on_after_a_restart, setup, kit_teardown),
        cmocka_unit_test_setup_teardown(who_waits_behind_a_store_that_is_away_does_not_ask_it_again,
                                        setup, kit_teardown),
        cmocka_unit_test_setup_teardown(a_changed_record_is_found, setup, kit_teardown),
        cmocka_unit_test_setup_teardown(a_changed_record_with_a_hash_of_its_own_is_found, setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(a_record_taken_out_is_found, setup, kit_teardown),
        cmocka_unit_test_setup_teardown(a_chain_cut_at_its_end_is_found_once_it_goes_on, setup,
                                        kit_teardown),
        cmocka_unit_test(secrets_in_details_are_not_stored),
        cmocka_unit_test(only_events_of_gateways_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
