/* /platform/routing (platform-apis.md §5). */
#include "admin/app.h"
#include "admin/handlers.h"
#include "admin/services/records.h"
#include "crypto/random.h"

static void no_such_routing(struct adm_call *c)
{
    adm_fail(c, 400, "RTG004", "Routing does not exist");
}

void adm_routing_create(struct adm_call *c)
{
    dm_view key = dm_json_str(dm_json_get(c->body, DM_LIT("client_key")));
    char id[DM_UUID_LEN + 1];
    struct dm_error err;
    enum dm_code rc;

    if (key.len == 0) {
        dm_random_uuid(id);
        dm_json_set_str(c->body, DM_LIT("client_key"), dm_view_of(id));
        key = dm_json_str(dm_json_get(c->body, DM_LIT("client_key")));
    }
    adm_audit(c, key, NULL);
    rc = adm_record_insert(c, &dm_record_routing, c->body, &err);
    if (rc == DM_EXISTS)
        adm_fail(c, 400, "RTG001", "Routing already exists");
    else if (rc != DM_OK)
        adm_fail_store(c, &err);
    else
        adm_ok_messagef(c, 201, "Routing created successfully with key: %.*s", DM_FMT(key));
}

void adm_routing_list(struct adm_call *c)
{
    adm_list_page(c, "routings", "routings", "client_key");
}

void adm_routing_get(struct adm_call *c)
{
    const struct dm_filter key = DM_WHERE("client_key", c->params[0]);
    struct dm_json *routing = NULL;
    struct dm_error err;
    uint64_t version;
    enum dm_code rc =
        dm_documents_find(adm_documents(c->app), "routings", &key, 1, &routing, &version, &err);

    if (rc == DM_NOT_FOUND)
        no_such_routing(c);
    else if (rc != DM_OK)
        adm_fail_store(c, &err);
    else
        adm_ok(c, 200, routing);
}

void adm_routing_update(struct adm_call *c)
{
    const struct dm_filter key = DM_WHERE("client_key", c->params[0]);
    dm_view renamed = dm_json_str(dm_json_get(c->body, DM_LIT("client_key")));
    struct dm_json *stored = NULL;
    struct dm_error err;
    uint64_t version;
    enum dm_code rc;

    adm_audit(c, c->params[0], NULL);
    if (renamed.ptr != NULL && !dm_view_eq(renamed, c->params[0])) {
        adm_fail(c, 400, "RTG005", "Routing key cannot be changed");
        return;
    }
    rc = dm_documents_find(adm_documents(c->app), "routings", &key, 1, &stored, &version, &err);
    dm_json_free(stored);
    dm_json_remove(c->body, DM_LIT("server_index")); /* accepted and discarded (§5.2) */
    if (rc == DM_OK && dm_json_len(c->body) == 0) {
        adm_fail(c, 400, "RTG007", "No data to update");
        return;
    }
    if (rc == DM_OK)
        rc = adm_record_patch(c, &dm_record_routing, &key, 1, c->body, NULL, &err);
    if (rc == DM_NOT_FOUND)
        no_such_routing(c);
    else if (rc != DM_OK)
        adm_fail_store(c, &err);
    else
        adm_ok_message(c, 200, "Routing updated successfully");
}

void adm_routing_delete(struct adm_call *c)
{
    const struct dm_filter key = DM_WHERE("client_key", c->params[0]);
    struct dm_error err;
    size_t n;

    adm_audit(c, c->params[0], NULL);
    if (adm_record_delete(c, &dm_record_routing, &key, 1, &n, &err) != DM_OK)
        adm_fail_store(c, &err);
    else if (n == 0)
        no_such_routing(c);
    else
        adm_ok_message(c, 200, "Routing deleted successfully");
}
