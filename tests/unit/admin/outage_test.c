/* A store that goes away in the middle of a call, at every step of every route (R4): 503 with the
 * code of that store, never 401, 403, 404 or a silent pass. While the live store is away nothing is
 * stored (design.md §2). */
#include "kit.h"

#include "store/documents_backend.h"
#include "store/live_backend.h"

enum {
    STEPS_MAX = 40,
    /* Who is calling is asked first, whether the store is there second. A store that goes later,
     * between the document and its publication, leaves the document: it is published at the next
     * start, or with the next change of the record. */
    BEFORE_WRITING = 2
};

/* The n-th operation from now fails, and every later one; 0: none does. Of the calls' thread alone:
 * the admin's own ones go on. */
static unsigned away_from, n_operations;
static pthread_t calls_thread;
static const struct dm_documents_ops *real_documents;
static const struct dm_live_admin_ops *real_live;
static struct dm_documents_ops tap_documents;
static struct dm_live_admin_ops tap_live;
static bool documents_fail;

static bool away(bool documents)
{
    if (!pthread_equal(pthread_self(), calls_thread))
        return false;
    return documents == documents_fail && away_from > 0 && ++n_operations >= away_from;
}

static enum dm_code no_documents(struct dm_error *err)
{
    return DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_DOCUMENTS_AWAY, "no documents");
}

static enum dm_code no_live(struct dm_error *err)
{
    return DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_LIVE_AWAY, "no live store");
}

static enum dm_code tap_find(struct dm_documents *d, const char *collection,
                             const struct dm_filter *filters, size_t n, struct dm_json **ret,
                             uint64_t *ret_version, struct dm_error *err)
{
    return away(true) ? no_documents(err)
                      : real_documents->find(d, collection, filters, n, ret, ret_version, err);
}

static enum dm_code tap_list(struct dm_documents *d, const char *collection,
                             const struct dm_query *q, struct dm_json **ret, struct dm_error *err)
{
    return away(true) ? no_documents(err) : real_documents->list(d, collection, q, ret, err);
}

static enum dm_code tap_count(struct dm_documents *d, const char *collection,
                              const struct dm_filter *filters, size_t n, uint64_t *ret,
                              struct dm_error *err)
{
    return away(true) ? no_documents(err)
                      : real_documents->count(d, collection, filters, n, ret, err);
}

static enum dm_code tap_insert(struct dm_documents *d, const char *collection,
                               const struct dm_json *doc, struct dm_error *err)
{
    return away(true) ? no_documents(err) : real_documents->insert(d, collection, doc, err);
}

static enum dm_code tap_replace(struct dm_documents *d, const char *collection,
                                const struct dm_filter *key, size_t n, uint64_t version,
                                const struct dm_json *doc, struct dm_error *err)
{
    return away(true) ? no_documents(err)
                      : real_documents->replace(d, collection, key, n, version, doc, err);
}

static enum dm_code tap_remove(struct dm_documents *d, const char *collection,
                               const struct dm_filter *filters, size_t n, uint64_t *ret,
                               struct dm_error *err)
{
    return away(true) ? no_documents(err)
                      : real_documents->remove(d, collection, filters, n, ret, err);
}

static enum dm_code tap_publish(struct dm_live_admin *a, const struct dm_live_change *c, size_t n,
                                uint64_t *ret, struct dm_error *err)
{
    return away(false) ? no_live(err) : real_live->publish(a, c, n, ret, err);
}

static enum dm_code tap_revoke(struct dm_live_admin *a, dm_view subject, dm_view jti, dm_time until,
                               struct dm_error *err)
{
    return away(false) ? no_live(err) : real_live->revoke(a, subject, jti, until, err);
}

static enum dm_code tap_unrevoke(struct dm_live_admin *a, dm_view subject, struct dm_error *err)
{
    return away(false) ? no_live(err) : real_live->unrevoke(a, subject, err);
}

static enum dm_code tap_is_revoked(struct dm_live_admin *a, dm_view subject, dm_view jti, bool *ret,
                                   struct dm_error *err)
{
    return away(false) ? no_live(err) : real_live->is_revoked(a, subject, jti, ret, err);
}

static enum dm_code tap_credits_set(struct dm_live_admin *a, dm_view group, dm_view subject,
                                    int64_t balance, bool unless_there, struct dm_error *err)
{
    return away(false) ? no_live(err)
                       : real_live->credits_set(a, group, subject, balance, unless_there, err);
}

static enum dm_code tap_credits_get(struct dm_live_admin *a, dm_view group, dm_view subject,
                                    int64_t *ret, struct dm_error *err)
{
    return away(false) ? no_live(err) : real_live->credits_get(a, group, subject, ret, err);
}

static enum dm_code tap_credits_delete(struct dm_live_admin *a, dm_view group, dm_view subject,
                                       struct dm_error *err)
{
    return away(false) ? no_live(err) : real_live->credits_delete(a, group, subject, err);
}

static enum dm_code tap_clear(struct dm_live_admin *a, struct dm_error *err)
{
    return away(false) ? no_live(err) : real_live->clear_counters(a, err);
}

static enum dm_code tap_ping(struct dm_live_admin *a, struct dm_error *err)
{
    return away(false) ? no_live(err) : real_live->ping(a, err);
}

/* Behind the admin part's back: it goes on with the handles it has. */
static void tap_stores(struct kit_app *k)
{
    real_documents = kit_tap_documents(k, &tap_documents);
    tap_documents.find = tap_find;
    tap_documents.list = tap_list;
    tap_documents.count = tap_count;
    tap_documents.insert = tap_insert;
    tap_documents.replace = tap_replace;
    tap_documents.remove = tap_remove;
    real_live = k->live->ops;
    tap_live = *real_live;
    tap_live.publish = tap_publish;
    tap_live.revoke = tap_revoke;
    tap_live.unrevoke = tap_unrevoke;
    tap_live.is_revoked = tap_is_revoked;
    tap_live.credits_set = tap_credits_set;
    tap_live.credits_get = tap_credits_get;
    tap_live.credits_delete = tap_credits_delete;
    tap_live.clear_counters = tap_clear;
    tap_live.ping = tap_ping;
    k->live->ops = &tap_live;
}

/* --- calls --- */

struct called {
    int status;
    char body[4096];
};

static void call(struct kit_app *app, const char *token, const char *method, const char *target,
                 const char *body, struct called *ret)
{
    struct kit_call k;
    char bearer[4096];

    kit_call_init(&k, app->app, app->settings);
    k.rq.method = dm_view_of(method);
    k.rq.target = dm_view_of(target);
    k.rq.body = dm_view_of(body);
    k.rq.request_id = DM_LIT("r1");
    snprintf(bearer, sizeof bearer, "Bearer %s", token);
    if (token[0] != '\0')
        kit_field(&k, "Authorization", bearer);
    adm_handle(app->app, &k.rq, &k.rs);
    ret->status = k.rs.status;
    snprintf(ret->body, sizeof ret->body, "%.*s", DM_FMT(dm_buf_view(&k.rs.body)));
    kit_call_done(&k);
}

static void login(struct kit_app *app, char *ret_token, size_t size)
{
    struct called c;
    struct dm_json *doc;

    call(app, "", "POST", "/platform/authorization",
         "{\"email\":\"admin\",\"password\":\"Not-a-Secret-1\"}", &c);
    assert_int_equal(c.status, 200);
    assert_int_equal(dm_json_parse(dm_view_of(c.body), &dm_json_default, &doc, NULL), DM_OK);
    snprintf(ret_token, size, "%.*s",
             DM_FMT(dm_json_str(dm_json_get(doc, DM_LIT("access_token")))));
    dm_json_free(doc);
}

/* %u: the number of the try, so that what one of them stored is not in the next one's way. */
#define DEFINED                                                                                    \
    "\"api_key\":\"k\",\"api_key_header\":\"x-k\",\"credit_tiers\":[{\"tier_name\":\"t\","         \
    "\"credits\":1,\"input_limit\":0,\"output_limit\":0,\"reset_frequency\":\"monthly\"}]}"
static const struct row {
    const char *method, *target, *body;
} rows[] = {
    {"POST", "/platform/authorization/refresh", ""},
    {"GET", "/platform/authorization/status", ""},
    {"POST", "/platform/authorization/invalidate", "{\"username\":\"u%u\"}"},
    {"POST", "/platform/authorization/admin/revoke/u%u", ""},
    {"POST", "/platform/authorization/admin/unrevoke/u%u", ""},
    {"POST", "/platform/authorization/admin/disable/u%u", ""},
    {"POST", "/platform/authorization/admin/enable/u%u", ""},
    {"GET", "/platform/authorization/admin/status/bob", ""},
    {"GET", "/platform/user/me", ""},
    {"GET", "/platform/user/all", ""},
    {"GET", "/platform/user/bob", ""},
    {"GET", "/platform/user/email/bob@example.com", ""},
    {"PUT", "/platform/user/bob", "{\"rate_limit_duration\":5}"},
    {"DELETE", "/platform/user/none", ""},
    {"POST", "/platform/role", "{\"role_name\":\"r%u\"}"},
    {"GET", "/platform/role/all", ""},
    {"GET", "/platform/role/user", ""},
    {"PUT", "/platform/role/user", "{\"view_logs\":false}"},
    {"DELETE", "/platform/role/r%u", ""},
    {"POST", "/platform/group", "{\"group_name\":\"g%u\"}"},
    {"GET", "/platform/group/all", ""},
    {"GET", "/platform/group/ALL", ""},
    {"PUT", "/platform/group/ALL", "{\"api_access\":[]}"},
    {"DELETE", "/platform/group/none", ""},
    {"POST", "/platform/credit", "{\"api_credit_group\":\"g%u\"," DEFINED},
    {"GET", "/platform/credit/defs", ""},
    {"GET", "/platform/credit/defs/c", ""},
    {"PUT", "/platform/credit/c", "{\"api_credit_group\":\"c\"," DEFINED},
    {"DELETE", "/platform/credit/g%u", ""},
    {"POST", "/platform/credit/bob",
     "{\"username\":\"bob\",\"users_credits\":{\"c\":{\"tier_name\":\"t%u\",\"available_credits\":%"
     "u}}}"},
    {"GET", "/platform/credit/bob", ""},
    {"GET", "/platform/credit/all", ""},
    {"POST", "/platform/credit/rotate-key", "{\"api_credit_group\":\"c\"}"},
    {"POST", "/platform/api", "{\"api_name\":\"n%u\",\"api_version\":\"v1\"}"},
    {"GET", "/platform/api/all", ""},
    {"GET", "/platform/api/a/v1", ""},
    {"PUT", "/platform/api/a/v1", "{\"active\":true}"},
    {"DELETE", "/platform/api/n%u/v1", ""},
    {"POST", "/platform/endpoint",
     "{\"api_name\":\"a\",\"api_version\":\"v1\",\"endpoint_method\":\"GET\","
     "\"endpoint_uri\":\"/e%u\",\"endpoint_description\":\"e\",\"client_uri\":\"/c%u\"}"},
    {"GET", "/platform/endpoint/a/v1", ""},
    {"GET", "/platform/endpoint/GET/a/v1/x", ""},
    {"PUT", "/platform/endpoint/GET/a/v1/x", "{\"client_uri\":\"/y\"}"},
    {"DELETE", "/platform/endpoint/GET/a/v1/e%u", ""},
    {"POST", "/platform/routing",
     "{\"routing_name\":\"r\",\"routing_servers\":[\"http://a\"],\"client_key\":\"k%u\"}"},
    {"GET", "/platform/routing/all", ""},
    {"GET", "/platform/routing/none", ""},
    {"PUT", "/platform/routing/none", "{\"routing_name\":\"s\"}"},
    {"DELETE", "/platform/routing/k%u", ""},
    {"POST", "/platform/subscription/subscribe",
     "{\"username\":\"bob\",\"api_name\":\"a\",\"api_version\":\"v1\"}"},
    {"GET", "/platform/subscription/subscriptions", ""},
    {"GET", "/platform/subscription/subscriptions/bob", ""},
    {"GET", "/platform/subscription/available-apis/bob", ""},
    {"POST", "/platform/subscription/unsubscribe",
     "{\"username\":\"bob\",\"api_name\":\"a\",\"api_version\":\"v1\"}"},
    {"GET", "/platform/security/settings", ""},
    {"PUT", "/platform/security/settings", "{\"ip_blacklist\":[\"192.0.2.1\"]}"},
    {"POST", "/platform/tools/cors/check",
     "{\"origin\":\"http://a\",\"method\":\"GET\",\"api\":{\"name\":\"a\",\"version\":\"v1\"}}"},
    {"GET", "/platform/monitor/metrics", ""},
    {"DELETE", "/api/caches", ""},
};

static void prepare(struct kit_app *app, const char *token)
{
    static const struct row made[] = {
        {"POST", "/platform/user",
         "{\"username\":\"bob\",\"email\":\"bob@example.com\",\"role\":\"user\","
         "\"password\":\"Test-User-Passw0rd!1\",\"groups\":[\"ALL\"]}"},
        {"POST", "/platform/api",
         "{\"api_name\":\"a\",\"api_version\":\"v1\",\"api_allowed_groups\":[\"ALL\"]}"},
        {"POST", "/platform/endpoint",
         "{\"api_name\":\"a\",\"api_version\":\"v1\",\"endpoint_method\":\"GET\","
         "\"endpoint_uri\":\"/x\",\"endpoint_description\":\"x\"}"},
        {"POST", "/platform/credit", "{\"api_credit_group\":\"c\"," DEFINED},
    };
    struct called c;

    for (size_t i = 0; i < DM_COUNT_OF(made); i++) {
        call(app, token, made[i].method, made[i].target, made[i].body, &c);
        if (c.status != 201)
            fail_msg("%s: %d %s", made[i].target, c.status, c.body);
    }
}

static void numbered(const char *format, unsigned n, char *out, size_t size)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(out, size, format, n, n);
#pragma GCC diagnostic pop
}

static void write_stored(struct kit_app *app, struct dm_buf *out)
{
    DM_DEFER(dm_json_freep) struct dm_json *all = adm_app_export(app->app);

    (void)dm_json_remove(all, DM_LIT("audit_log")); /* a call that failed is told there too */
    dm_buf_clear(out);
    dm_json_write(all, out);
    assert_true(dm_buf_ok(out));
}

struct outage {
    struct kit_app *app;
    char token[4096];
    struct dm_buf before, after;
};

/* One try of a row with the store gone from the n-th operation on; false: it did not need so many.
 */
static bool try_row(struct outage *o, const struct row *row, unsigned n, const char *code)
{
    char target[256], body[512];
    struct called c;

    numbered(row->target, n, target, sizeof target);
    numbered(row->body, n, body, sizeof body);
    write_stored(o->app, &o->before);
    n_operations = 0;
    away_from = n;
    call(o->app, o->token, row->method, target, body, &c);
    const bool met = n_operations >= n;
    away_from = 0;
    if (met && (c.status != 503 || strstr(c.body, code) == NULL))
        fail_msg("%s %s, operation %u away: %d %s", row->method, target, n, c.status, c.body);
    if (!met && c.status >= 500)
        fail_msg("%s %s: %d %s", row->method, target, c.status, c.body);
    write_stored(o->app, &o->after);
    if (met && !documents_fail && n <= BEFORE_WRITING &&
        !dm_view_eq(dm_buf_view(&o->before), dm_buf_view(&o->after)))
        fail_msg("%s %s, operation %u away: something was stored", row->method, target, n);
    return met;
}

static void with_outages(bool documents, const char *code)
{
    struct outage o = {.app = test_calloc(1, sizeof *o.app)};
    unsigned n_met = 0;

    calls_thread = pthread_self();
    kit_app_init_tapped(o.app, NULL, tap_stores);
    dm_buf_init(&o.before, 1024 * 1024);
    dm_buf_init(&o.after, 1024 * 1024);
    login(o.app, o.token, sizeof o.token);
    prepare(o.app, o.token);
    documents_fail = documents;
    for (size_t i = 0; i < DM_COUNT_OF(rows); i++)
        for (unsigned n = 1; try_row(&o, &rows[i], n, code); n++, n_met++)
            assert_true(n < STEPS_MAX);
    assert_true(n_met >= DM_COUNT_OF(rows)); /* every one of them asks who is calling */
    kit_app_done(o.app);
    dm_buf_done(&o.before);
    dm_buf_done(&o.after);
    test_free(o.app);
}

static void without_documents_every_step_of_every_route_is_store002(void **state)
{
    (void)state;
    with_outages(true, "\"STORE002\"");
}

static void without_the_live_store_it_is_store001_and_nothing_is_stored(void **state)
{
    (void)state;
    with_outages(false, "\"STORE001\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_documents_every_step_of_every_route_is_store002),
        cmocka_unit_test(without_the_live_store_it_is_store001_and_nothing_is_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
