/* /platform/tools/cors/check and DELETE /api/caches. The checker calls the function of the live
 * path. */
#include "admin/app.h"
#include "admin/cors.h"
#include "admin/handlers.h"
#include "admin/services/lookup.h"
#include "admin/services/publish.h"
#include "model/policy.h"

enum { HEADERS_MAX = 128, VALUE_CAP = 8192 };

struct check {
    dm_view origin, method;
    dm_view headers[HEADERS_MAX];
    bool refused[HEADERS_MAX]; /* each asked for alone */
    size_t n_headers;
    bool with_credentials, of_api;
    struct adm_cors_verdict verdict;
    dm_view allow_methods, allow_headers; /* as the live path sends them */
};

static dm_view fold(struct adm_call *c, dm_view v, bool upper)
{
    char *out = dm_arena_alloc(c->arena, v.len + 1);

    if (out == NULL)
        return v;
    for (size_t i = 0; i < v.len; i++) {
        char b = v.ptr[i];
        bool letter = upper ? (b >= 'a' && b <= 'z') : (b >= 'A' && b <= 'Z');
        out[i] = letter ? (char)(b ^ 0x20) : b;
    }
    return dm_view_make(out, v.len);
}

static void read_check(struct adm_call *c, struct check *k)
{
    const struct dm_json *list = dm_json_get(c->body, DM_LIT("request_headers"));

    k->origin = dm_json_str(dm_json_get(c->body, DM_LIT("origin")));
    k->method = fold(c, dm_json_str(dm_json_get(c->body, DM_LIT("method"))), true);
    k->with_credentials = dm_json_bool(dm_json_get(c->body, DM_LIT("with_credentials")), false);
    for (struct dm_json *h = dm_json_first(list); h != NULL && k->n_headers < HEADERS_MAX;
         h = dm_json_next(h))
        k->headers[k->n_headers++] = dm_json_str(h);
}

static void decide_platform(struct adm_call *c, struct check *k)
{
    const struct adm_cors_ask ask = {k->origin, k->method, k->headers, k->n_headers};
    struct dm_buf b;

    adm_cors_decide(c->settings, &ask, &k->verdict);
    for (size_t i = 0; i < k->n_headers; i++) {
        const struct adm_cors_ask one = {k->origin, k->method, &k->headers[i], 1};
        struct adm_cors_verdict v;

        adm_cors_decide(c->settings, &one, &v);
        k->refused[i] = !v.headers_allowed;
    }
    dm_buf_init(&b, VALUE_CAP);
    adm_cors_methods(c->settings, &b);
    k->allow_methods = dm_arena_copy(c->arena, dm_buf_view(&b));
    dm_buf_clear(&b);
    adm_cors_headers(c->settings, &b);
    k->allow_headers = dm_arena_copy(c->arena, dm_buf_view(&b));
    dm_buf_done(&b);
}

static dm_view joined(struct adm_call *c, const struct check *k)
{
    struct dm_buf b;
    dm_view v;

    dm_buf_init(&b, VALUE_CAP);
    for (size_t i = 0; i < k->n_headers; i++) {
        if (i > 0)
            dm_buf_add(&b, DM_LIT(","));
        dm_buf_add(&b, k->headers[i]);
    }
    v = dm_arena_copy(c->arena, dm_buf_view(&b));
    dm_buf_done(&b);
    return v;
}

/* The API's own lists, compiled by the data plane's builder and asked through its functions. */
static bool decide_api(struct adm_call *c, struct check *k, const struct dm_json *api)
{
    DM_DEFER(dm_json_freep) struct dm_json *projection = dm_record_project(&dm_record_api, api);
    struct dm_policy_builder *builder = dm_policy_builder_new();
    struct dm_policy *policy = NULL;
    const struct dm_policy_api *compiled = NULL;
    struct dm_error err;
    bool good = dm_policy_builder_put(builder, DM_LIT("api"),
                                      dm_json_str(dm_json_get(api, DM_LIT("api_id"))), projection,
                                      &err) == DM_OK;

    if (good) {
        policy = dm_policy_builder_build(builder, 1, 0);
        compiled = dm_policy_api(policy, dm_json_str(dm_json_get(api, DM_LIT("api_name"))),
                                 dm_json_str(dm_json_get(api, DM_LIT("api_version"))));
    }
    if (compiled != NULL) {
        k->of_api = true;
        for (size_t i = 0; i < k->n_headers; i++)
            k->refused[i] = !dm_policy_cors_headers(&compiled->cors, k->headers[i]);
        k->verdict.origin_allowed = dm_policy_cors_origin(&compiled->cors, k->origin);
        k->verdict.method_allowed = dm_policy_cors_method(&compiled->cors, k->method);
        k->verdict.headers_allowed = dm_policy_cors_headers(&compiled->cors, joined(c, k));
        k->verdict.credentials = compiled->cors.credentials;
        k->allow_methods = dm_arena_copy(c->arena, compiled->cors.methods_text);
        k->allow_headers = dm_arena_copy(c->arena, compiled->cors.headers_text);
    }
    dm_policy_unref(policy);
    dm_policy_builder_free(builder);
    return compiled != NULL;
}

static struct dm_json *strings(const dm_view *items, size_t n)
{
    struct dm_json *list = dm_json_new_array();

    for (size_t i = 0; i < n; i++)
        dm_json_push(list, dm_json_new_str(items[i]));
    return list;
}

static bool any_of(const struct dm_strs *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (dm_view_eq(list->items[i], DM_LIT("*")))
            return true;
    return false;
}

/* What `*` comes down to: with credentials in strict mode only the local origins, on any port. */
static struct dm_json *effective_origins(const struct dm_settings *s)
{
    static const dm_view local[] = {DM_LIT("http://localhost"), DM_LIT("https://localhost"),
                                    DM_LIT("http://127.0.0.1"), DM_LIT("https://127.0.0.1")};

    if (any_of(&s->allowed_origins) && s->cors_strict && s->allow_credentials)
        return strings(local, DM_COUNT_OF(local));
    return strings(s->allowed_origins.items, s->allowed_origins.count);
}

static struct dm_json *config_of(const struct adm_call *c)
{
    const struct dm_settings *s = c->settings;
    struct dm_json *o = dm_json_new_object();

    dm_json_set(o, DM_LIT("allowed_origins"),
                strings(s->allowed_origins.items, s->allowed_origins.count));
    dm_json_set(o, DM_LIT("effective_allowed_origins"), effective_origins(s));
    dm_json_set_bool(o, DM_LIT("allow_credentials"), s->allow_credentials);
    dm_json_set(o, DM_LIT("allow_methods"),
                strings(s->allow_methods.items, s->allow_methods.count));
    dm_json_set(o, DM_LIT("allow_headers"),
                strings(s->allow_headers.items, s->allow_headers.count));
    dm_json_set_bool(o, DM_LIT("cors_strict"), s->cors_strict);
    return o;
}

static struct dm_json *input_of(struct adm_call *c, const struct check *k)
{
    struct dm_json *o = dm_json_new_object(), *lower = dm_json_new_array();

    for (size_t i = 0; i < k->n_headers; i++)
        dm_json_push(lower, dm_json_new_str(fold(c, k->headers[i], false)));
    dm_json_set_str(o, DM_LIT("origin"), k->origin);
    dm_json_set_str(o, DM_LIT("method"), k->method);
    dm_json_set(o, DM_LIT("request_headers"), strings(k->headers, k->n_headers));
    dm_json_set(o, DM_LIT("request_headers_normalized"), lower);
    dm_json_set_bool(o, DM_LIT("with_credentials"), k->with_credentials);
    return o;
}

static bool preflight_passes(const struct check *k)
{
    return k->verdict.origin_allowed && k->verdict.method_allowed && k->verdict.headers_allowed;
}

static void set_origin(struct dm_json *headers, const struct check *k, bool allowed)
{
    if (allowed)
        dm_json_set_str(headers, DM_LIT("Access-Control-Allow-Origin"), k->origin);
    else
        dm_json_set(headers, DM_LIT("Access-Control-Allow-Origin"), dm_json_new_null());
    dm_json_set_str(headers, DM_LIT("Access-Control-Allow-Credentials"),
                    k->verdict.credentials ? DM_LIT("true") : DM_LIT("false"));
    dm_json_set_str(headers, DM_LIT("Vary"), DM_LIT("Origin"));
}

static struct dm_json *refused_headers(const struct check *k)
{
    struct dm_json *list = dm_json_new_array();

    for (size_t i = 0; i < k->n_headers; i++) {
        if (k->refused[i])
            dm_json_push(list, dm_json_new_str(k->headers[i]));
    }
    return list;
}

static struct dm_json *notes_of(const struct adm_call *c, const struct check *k,
                                const struct dm_json *refused)
{
    const struct dm_settings *s = c->settings;
    struct dm_json *notes = dm_json_new_array();

    if (!k->of_api && any_of(&s->allowed_origins) && k->verdict.credentials && !s->cors_strict)
        dm_json_push(notes, dm_json_new_str(DM_LIT(
                                "Wildcard origins with credentials can be rejected by browsers; "
                                "prefer explicit origins or set CORS_STRICT=true.")));
    if (!k->of_api && (s->allow_headers.count == 0 || any_of(&s->allow_headers)))
        dm_json_push(
            notes, dm_json_new_str(DM_LIT("ALLOW_HEADERS='*' replaced with a conservative default "
                                          "set to satisfy credentialed requests.")));
    if (!k->verdict.origin_allowed)
        dm_json_push(notes, dm_json_new_str(
                                DM_LIT("Origin is not allowed based on current configuration.")));
    if (!k->verdict.method_allowed)
        dm_json_push(notes, dm_json_new_str(DM_LIT("Requested method is not in ALLOW_METHODS.")));
    if (!k->verdict.headers_allowed) {
        struct dm_buf b;

        dm_buf_init(&b, VALUE_CAP);
        dm_buf_add(&b, DM_LIT("Some requested headers are not allowed: "));
        for (struct dm_json *h = dm_json_first(refused); h != NULL; h = dm_json_next(h)) {
            if (h != dm_json_first(refused))
                dm_buf_add(&b, DM_LIT(", "));
            dm_buf_add(&b, dm_json_str(h));
        }
        dm_json_push(notes, dm_json_new_str(dm_buf_view(&b)));
        dm_buf_done(&b);
    }
    return notes;
}

static struct dm_json *preflight_of(const struct check *k, struct dm_json *refused,
                                    const struct dm_json *notes)
{
    struct dm_json *o = dm_json_new_object(), *headers = dm_json_new_object();
    const struct adm_cors_verdict *v = &k->verdict;

    /* an API's preflight says nothing of the origin unless all of it passes (§8.10.2) */
    set_origin(headers, k, k->of_api ? preflight_passes(k) : v->origin_allowed);
    dm_json_set_str(headers, DM_LIT("Access-Control-Allow-Methods"), k->allow_methods);
    dm_json_set_str(headers, DM_LIT("Access-Control-Allow-Headers"), k->allow_headers);
    dm_json_set_bool(o, DM_LIT("allowed"), preflight_passes(k));
    if (v->origin_allowed)
        dm_json_set_str(o, DM_LIT("allow_origin"), k->origin);
    else
        dm_json_set(o, DM_LIT("allow_origin"), dm_json_new_null());
    dm_json_set_bool(o, DM_LIT("method_allowed"), v->method_allowed);
    dm_json_set_bool(o, DM_LIT("headers_allowed"), v->headers_allowed);
    dm_json_set(o, DM_LIT("not_allowed_headers"), refused);
    dm_json_set(o, DM_LIT("headers"), dm_json_clone(headers));
    dm_json_set(o, DM_LIT("response_headers"), headers);
    dm_json_set(o, DM_LIT("notes"), dm_json_clone(notes));
    return o;
}

static struct dm_json *actual_of(const struct check *k)
{
    struct dm_json *o = dm_json_new_object(), *headers = dm_json_new_object();

    set_origin(headers, k, k->verdict.origin_allowed);
    dm_json_set_bool(o, DM_LIT("allowed"), k->verdict.origin_allowed);
    dm_json_set(o, DM_LIT("headers"), dm_json_clone(headers));
    dm_json_set(o, DM_LIT("response_headers"), headers);
    dm_json_set(o, DM_LIT("notes"), dm_json_new_array());
    return o;
}

/* The API named in the body; false with the result set when it is unknown. */
static bool decide(struct adm_call *c, struct check *k)
{
    const struct dm_json *api = dm_json_get(c->body, DM_LIT("api"));
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    struct dm_error err;
    enum dm_code rc;

    decide_platform(c, k);
    if (!dm_json_is(api, DM_JSON_OBJECT))
        return true;
    rc = adm_find_api(c->app, dm_json_str(dm_json_get(api, DM_LIT("name"))),
                      dm_json_str(dm_json_get(api, DM_LIT("version"))), &doc, &err);
    if (rc == DM_OK && decide_api(c, k, doc))
        return true;
    if (rc == DM_NOT_FOUND)
        adm_fail(c, 404, "GTW001", "API does not exist for the requested name and version");
    else if (rc != DM_OK)
        adm_fail_store(c, &err);
    else /* stored, yet the data plane would not take it */
        adm_fail(c, 500, "TLS999", "An unexpected error occurred");
    return false;
}

void adm_tools_cors_check(struct adm_call *c)
{
    struct check *k = dm_arena_zalloc(c->arena, sizeof(*k));
    struct dm_json *o, *refused, *notes, *advice;

    if (k == NULL) {
        adm_fail(c, 500, "TLS999", "An unexpected error occurred");
        return;
    }
    read_check(c, k);
    if (!decide(c, k))
        return;
    refused = refused_headers(k);
    notes = notes_of(c, k, refused);
    advice = dm_json_new_array();
    if (!k->verdict.origin_allowed)
        dm_json_push(advice, dm_json_new_str(DM_LIT("Add the origin to ALLOWED_ORIGINS.")));
    o = dm_json_new_object();
    dm_json_set(o, DM_LIT("config"), config_of(c));
    dm_json_set(o, DM_LIT("input"), input_of(c, k));
    dm_json_set(o, DM_LIT("preflight"), preflight_of(k, refused, notes));
    dm_json_set(o, DM_LIT("actual"), actual_of(k));
    dm_json_set(o, DM_LIT("notes"), notes);
    dm_json_set(o, DM_LIT("recommendations"), advice);
    adm_ok(c, 200, o);
}

void adm_caches_clear(struct adm_call *c)
{
    const struct adm_app_config *config = adm_config(c->app);
    struct dm_error err;

    adm_audit(c, DM_LIT("all"), NULL);
    if (dm_live_clear_counters(adm_live(c->app), &err) != DM_OK ||
        adm_publish_all(c->app, true, &err) != DM_OK) {
        adm_fail_store(c, &err);
        return;
    }
    if (config->clear_caches != NULL)
        config->clear_caches(config->ctx);
    adm_ok_message(c, 200, "All caches cleared");
}
