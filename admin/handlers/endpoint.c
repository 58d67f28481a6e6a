/* /platform/endpoint (platform-apis.md §3). */
#include "admin/app.h"
#include "admin/handlers.h"
#include "admin/services/endpoints.h"
#include "admin/services/lookup.h"
#include "admin/services/records.h"
#include "crypto/random.h"

static dm_view text_of(const struct dm_json *doc, const char *name)
{
    return dm_json_str(dm_json_get(doc, dm_view_of(name)));
}

static void no_such_endpoint(struct adm_call *c, const char *code)
{
    adm_fail(c, 400, code, "Endpoint does not exist for the requested API name, version and URI");
}

static struct adm_endpoint_key key_of_body(const struct adm_call *c)
{
    return (struct adm_endpoint_key){text_of(c->body, "endpoint_method"),
                                     text_of(c->body, "api_name"), text_of(c->body, "api_version"),
                                     text_of(c->body, "endpoint_uri")};
}

/* Method in any case, the URI's leading slash put back (§3.1). */
static struct adm_endpoint_key key_of_path(struct adm_call *c)
{
    struct adm_endpoint_key k = {adm_endpoint_method(c, c->params[0]), c->params[1], c->params[2],
                                 adm_text(c, "/%.*s", DM_FMT(c->params[3]))};

    return k;
}

static void audit_key(struct adm_call *c, const struct adm_endpoint_key *k)
{
    adm_audit(c,
              adm_text(c, "%.*s %.*s/%.*s%.*s", DM_FMT(k->method), DM_FMT(k->api_name),
                       DM_FMT(k->api_version), DM_FMT(k->uri)),
              NULL);
}

/* Result set and false when the client URI is taken by another endpoint of the API. */
static bool client_uri_free(struct adm_call *c, const struct adm_endpoint_key *k,
                            dm_view client_uri, dm_view own_id, const char *code)
{
    struct dm_error err;
    bool conflict = false;

    if (client_uri.len == 0)
        return true;
    if (adm_endpoint_conflict(c, k, client_uri, own_id, &conflict, &err) != DM_OK) {
        adm_fail_store(c, &err);
        return false;
    }
    if (conflict)
        adm_fail(c, 400, code, "Client URI conflicts with an existing endpoint");
    return !conflict;
}

static bool create_allowed(struct adm_call *c, const struct adm_endpoint_key *k,
                           dm_view *ret_api_id)
{
    DM_DEFER(dm_json_freep) struct dm_json *existing = NULL;
    DM_DEFER(dm_json_freep) struct dm_json *api = NULL;
    struct dm_error err;
    enum dm_code rc = adm_find_endpoint(c, k, &existing, &err);

    if (rc == DM_OK) {
        adm_fail(c, 400, "END001",
                 "Endpoint already exists for the requested API name, version and URI");
        return false;
    }
    if (rc != DM_NOT_FOUND) {
        adm_fail_store(c, &err);
        return false;
    }
    if (!client_uri_free(c, k, text_of(c->body, "client_uri"), DM_VIEW_NONE, "END001"))
        return false;
    rc = adm_find_api(c->app, k->api_name, k->api_version, &api, &err);
    if (rc == DM_NOT_FOUND) {
        adm_fail(c, 400, "END002", "API does not exist for the requested name and version");
        return false;
    }
    if (rc != DM_OK) {
        adm_fail_store(c, &err);
        return false;
    }
    *ret_api_id = dm_arena_copy(c->arena, text_of(api, "api_id"));
    return true;
}

void adm_endpoint_create(struct adm_call *c)
{
    struct adm_endpoint_key k = key_of_body(c);
    char id[DM_UUID_LEN + 1];
    struct dm_error err;
    dm_view api_id;
    enum dm_code rc;

    audit_key(c, &k);
    if (!create_allowed(c, &k, &api_id))
        return;
    dm_random_uuid(id);
    dm_json_set_str(c->body, DM_LIT("api_id"), api_id);
    dm_json_set_str(c->body, DM_LIT("endpoint_id"), dm_view_of(id));
    rc = adm_record_insert(c, &dm_record_endpoint, c->body, &err);
    if (rc == DM_EXISTS)
        adm_fail(c, 400, "END001",
                 "Endpoint already exists for the requested API name, version and URI");
    else if (rc != DM_OK)
        adm_fail_store(c, &err);
    else
        adm_ok_message(c, 201, "Endpoint created successfully");
}

void adm_endpoint_list(struct adm_call *c)
{
    const struct dm_filter key[] = {DM_WHERE("api_name", c->params[0]),
                                    DM_WHERE("api_version", c->params[1])};
    const struct dm_query query = {.filters = key, .n_filters = DM_COUNT_OF(key)};
    struct dm_json *endpoints = NULL, *o;
    struct dm_error err;

    if (dm_documents_list(adm_documents(c->app), "endpoints", &query, &endpoints, &err) != DM_OK) {
        adm_fail_store(c, &err);
        return;
    }
    if (dm_json_len(endpoints) == 0) {
        dm_json_free(endpoints);
        adm_fail(c, 400, "END005", "No endpoints found for the requested API name and version");
        return;
    }
    o = dm_json_new_object();
    dm_json_set(o, DM_LIT("endpoints"), endpoints);
    adm_ok(c, 200, o);
}

void adm_endpoint_get(struct adm_call *c)
{
    struct adm_endpoint_key k = key_of_path(c);
    struct dm_json *endpoint = NULL;
    struct dm_error err;
    enum dm_code rc = adm_find_endpoint(c, &k, &endpoint, &err);

    if (rc == DM_NOT_FOUND)
        no_such_endpoint(c, "END004");
    else if (rc != DM_OK)
        adm_fail_store(c, &err);
    else
        adm_ok(c, 200, endpoint);
}

/* Fields that make the key may be sent, but only with the stored values. */
static bool keeps_key(const struct adm_call *c, const struct dm_json *stored)
{
    static const char *const fixed[] = {"endpoint_method", "api_name", "api_version",
                                        "endpoint_uri"};

    for (size_t i = 0; i < DM_COUNT_OF(fixed); i++) {
        dm_view sent = text_of(c->body, fixed[i]);
        if (sent.ptr != NULL && !dm_view_eq(sent, text_of(stored, fixed[i])))
            return false;
    }
    return true;
}

void adm_endpoint_update(struct adm_call *c)
{
    struct adm_endpoint_key k = key_of_path(c);
    DM_DEFER(dm_json_freep) struct dm_json *stored = NULL;
    struct dm_error err;
    enum dm_code rc = adm_find_endpoint(c, &k, &stored, &err);

    audit_key(c, &k);
    if (rc == DM_NOT_FOUND) {
        no_such_endpoint(c, "END008");
        return;
    }
    if (rc != DM_OK) {
        adm_fail_store(c, &err);
        return;
    }
    if (!keeps_key(c, stored)) {
        adm_fail(c, 400, "END006", "API method, name, version and URI cannot be updated");
        return;
    }
    if (!client_uri_free(c, &k, text_of(c->body, "client_uri"), text_of(stored, "endpoint_id"),
                         "END006"))
        return;
    if (dm_json_len(c->body) == 0) {
        adm_fail(c, 400, "END007", "No data to update");
        return;
    }
    {
        const struct dm_filter key = DM_WHERE("endpoint_id", text_of(stored, "endpoint_id"));
        rc = adm_record_patch(c, &dm_record_endpoint, &key, 1, c->body, NULL, &err);
    }
    if (rc == DM_NOT_FOUND) /* deleted meanwhile */
        no_such_endpoint(c, "END008");
    else if (rc != DM_OK)
        adm_fail_store(c, &err);
    else
        adm_ok_message(c, 200, "Endpoint updated successfully");
}

void adm_endpoint_delete(struct adm_call *c)
{
    struct adm_endpoint_key k = key_of_path(c);
    DM_DEFER(dm_json_freep) struct dm_json *stored = NULL;
    struct dm_error err;
    size_t n = 0;
    enum dm_code rc = adm_find_endpoint(c, &k, &stored, &err);

    audit_key(c, &k);
    if (rc == DM_OK) {
        const struct dm_filter key = DM_WHERE("endpoint_id", text_of(stored, "endpoint_id"));
        rc = adm_record_delete(c, &dm_record_endpoint, &key, 1, &n, &err);
    }
    if (rc != DM_OK && rc != DM_NOT_FOUND)
        adm_fail_store(c, &err);
    else if (n == 0)
        no_such_endpoint(c, "END004");
    else
        adm_ok_message(c, 200, "Endpoint deleted successfully");
}
