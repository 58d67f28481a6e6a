/* /platform/credit (platform-apis.md §11). */
#include "admin/app.h"
#include "admin/handlers.h"
#include "admin/router.h"
#include "admin/services/credits.h"
#include "admin/services/records.h"
#include "base/log.h"
#include "codec/uri.h"
#include "io/headers.h"
#include "io/http_guard.h"

enum {
    SEALED_MAX = 16384, /* a key of 4,096 characters, sealed */
    DEFS_PAGE = 50,
    SEARCH_MAX = 256 /* longer than any name it could be part of */
};

static const char COLLECTION[] = "credit_defs";

/* An outage is told as everywhere (R4); what else a store says has its own code here. */
static void fail_store(struct adm_call *c, const struct dm_error *err, const char *code,
                       const char *message)
{
    adm_fail_store(c, err);
    if (err->err != ERR_STORE_LIVE_AWAY && err->err != ERR_STORE_DOCUMENTS_AWAY)
        adm_fail(c, 500, code, message);
}

/* --- definitions --- */

static dm_view text_of(const struct adm_call *c, const char *name)
{
    return dm_json_str(dm_json_get(c->body, dm_view_of(name)));
}

/* A key becomes the value of a field, its header the name: what could end a line, frame a message
 * or pass for one of ours is refused when it is saved. */
static bool definition_good(struct adm_call *c)
{
    const dm_view header = text_of(c, "api_key_header"), key = text_of(c, "api_key");

    if (header.len == 0 || (key.ptr != NULL && key.len == 0)) {
        adm_fail(c, 400, "CRD010", "API key and header are required");
        return false;
    }
    if (!dm_header_may_inject(header) || !dm_http_value_ok(key) ||
        !dm_http_value_ok(text_of(c, "api_key_new"))) {
        adm_fail_invalid(c);
        return false;
    }
    return true;
}

static void seal(struct adm_call *c, const char *member)
{
    struct dm_buf sealed;

    if (text_of(c, member).len == 0)
        return;
    dm_buf_init(&sealed, SEALED_MAX);
    struct dm_sealing *sealing = adm_sealing(c->app);
    dm_seal(sealing, text_of(c, member), dm_clock_wall(adm_clock(c->app)), &sealed);
    dm_sealing_unref(sealing);
    dm_json_set_str(c->body, dm_view_of(member), dm_buf_view(&sealed));
    dm_buf_done(&sealed);
}

void adm_credit_def_create(struct adm_call *c)
{
    struct dm_error err;
    enum dm_code rc;

    adm_audit(c, text_of(c, "api_credit_group"), NULL);
    if (!definition_good(c))
        return;
    seal(c, "api_key");
    seal(c, "api_key_new");
    rc = adm_record_insert(c, &dm_record_credit_def, c->body, &err);
    if (rc == DM_EXISTS)
        adm_fail(c, 400, "CRD001", "Credit group already exists");
    else if (rc != DM_OK)
        fail_store(c, &err, "CRD011", "Database error occurred while creating credit definition");
    else
        adm_ok_message(c, 201, "Credit definition created successfully");
}

/* The complete model, but that a key may stay as it is and a rotation that is not named goes on. */
static bool update_complete(struct adm_call *c)
{
    static const char *const members[] = {"api_credit_group", "api_key_header", "credit_tiers"};

    for (size_t i = 0; i < DM_COUNT_OF(members); i++) {
        if (dm_json_is(dm_json_get(c->body, dm_view_of(members[i])), DM_JSON_NULL)) {
            adm_fail_invalid(c);
            return false;
        }
    }
    return true;
}

void adm_credit_def_update(struct adm_call *c)
{
    const struct dm_filter key = DM_WHERE("api_credit_group", c->params[0]);
    struct dm_error err;
    enum dm_code rc;

    adm_audit(c, c->params[0], NULL);
    if (!update_complete(c) || !definition_good(c))
        return;
    if (!dm_view_eq(text_of(c, "api_credit_group"), c->params[0])) {
        adm_fail(c, 400, "CRD003", "Credit group name cannot be updated");
        return;
    }
    seal(c, "api_key");
    seal(c, "api_key_new");
    rc = adm_record_patch(c, &dm_record_credit_def, &key, 1, c->body, NULL, &err);
    if (rc == DM_NOT_FOUND)
        adm_fail(c, 400, "CRD004", "Credit definition does not exist for the requested group");
    else if (rc != DM_OK)
        fail_store(c, &err, "CRD012", "Database error occurred while updating credit definition");
    else
        adm_ok_message(c, 200, "Credit definition updated successfully");
}

void adm_credit_def_delete(struct adm_call *c)
{
    const struct dm_filter key = DM_WHERE("api_credit_group", c->params[0]);
    struct dm_error err;
    size_t n;

    adm_audit(c, c->params[0], NULL);
    if (adm_record_delete(c, &dm_record_credit_def, &key, 1, &n, &err) != DM_OK)
        fail_store(c, &err, "CRD013", "Database error occurred while deleting credit definition");
    else if (n == 0)
        adm_fail(c, 400, "CRD007", "Credit definition does not exist for the requested group");
    else
        adm_ok_message(c, 200, "Credit definition deleted successfully");
}

/* Neither key nor the time of a rotation is ever read back (R8). */
static struct dm_json *masked(const struct dm_json *def)
{
    struct dm_json *o = dm_json_new_object();
    const struct dm_json *tiers = dm_json_get(def, DM_LIT("credit_tiers"));
    const bool present = dm_json_str(dm_json_get(def, DM_LIT("api_key"))).len > 0;

    dm_json_set_str(o, DM_LIT("api_credit_group"),
                    dm_json_str(dm_json_get(def, DM_LIT("api_credit_group"))));
    dm_json_set_str(o, DM_LIT("api_key_header"),
                    dm_json_str(dm_json_get(def, DM_LIT("api_key_header"))));
    dm_json_set_bool(o, DM_LIT("api_key_present"), present);
    dm_json_set(o, DM_LIT("credit_tiers"),
                tiers != NULL ? dm_json_clone(tiers) : dm_json_new_array());
    return o;
}

void adm_credit_def_list(struct adm_call *c)
{
    DM_DEFER(dm_json_freep) struct dm_json *defs = NULL;
    struct dm_query query = {.sort = "api_credit_group"};
    struct dm_json *items;
    struct adm_page page;
    struct dm_error err;
    uint64_t total;

    if (!adm_page_by(c, DEFS_PAGE, &page))
        return;
    query.skip = (size_t)((page.page - 1) * page.size);
    query.limit = (size_t)page.size + 1;
    if (dm_documents_list(adm_documents(c->app), COLLECTION, &query, &defs, &err) != DM_OK ||
        dm_documents_count(adm_documents(c->app), COLLECTION, NULL, 0, &total, &err) != DM_OK) {
        fail_store(c, &err, "CRD020", "Database error occurred while listing credit definitions");
        return;
    }
    items = dm_json_new_array();
    for (struct dm_json *d = dm_json_first(defs); d != NULL; d = dm_json_next(d))
        dm_json_push(items, masked(d));
    adm_ok_page(c, "items", items, &page, total);
}

static enum dm_code find_def(struct adm_call *c, dm_view group, struct dm_json **ret,
                             struct dm_error *err)
{
    const struct dm_filter key = DM_WHERE("api_credit_group", group);
    uint64_t version;

    return dm_documents_find(adm_documents(c->app), COLLECTION, &key, 1, ret, &version, err);
}

static void no_such_definition(struct adm_call *c)
{
    adm_fail(c, 404, "CRD021", "Credit definition not found");
}

void adm_credit_def_get(struct adm_call *c)
{
    DM_DEFER(dm_json_freep) struct dm_json *def = NULL;
    struct dm_error err;
    enum dm_code rc = find_def(c, c->params[0], &def, &err);

    if (rc == DM_NOT_FOUND)
        no_such_definition(c);
    else if (rc != DM_OK)
        fail_store(c, &err, "CRD022", "Database error occurred while retrieving credit definition");
    else
        adm_ok(c, 200, masked(def));
}

/* --- balances --- */

static bool keys_good(struct adm_call *c, const struct dm_json *entries)
{
    for (struct dm_json *e = dm_json_first(entries); e != NULL; e = dm_json_next(e)) {
        if (!dm_http_value_ok(dm_json_str(dm_json_get(e, DM_LIT("user_api_key"))))) {
            adm_fail_invalid(c);
            return false;
        }
    }
    return true;
}

static struct dm_json *names_of(const struct dm_json *entries)
{
    struct dm_json *details = dm_json_new_object(), *groups = dm_json_new_array();

    for (struct dm_json *e = dm_json_first(entries); e != NULL; e = dm_json_next(e))
        dm_json_push(groups, dm_json_new_str(dm_json_name(e)));
    dm_json_set(details, DM_LIT("groups"), groups);
    return details;
}

void adm_credit_save(struct adm_call *c)
{
    const struct dm_json *entries = dm_json_get(c->body, DM_LIT("users_credits"));
    struct dm_error err;

    adm_audit(c, c->params[0], names_of(entries));
    if (!dm_view_eq(text_of(c, "username"), c->params[0])) {
        adm_fail(c, 400, "CRD014", "Username in body does not match path");
        return;
    }
    if (!keys_good(c, entries))
        return;
    if (adm_credits_save(c->app, c->params[0], entries, &err) != DM_OK)
        fail_store(c, &err, "CRD015", "Database error occurred while saving user credits");
    else
        adm_ok_message(c, 200, "Credits saved successfully");
}

static struct dm_json *shown(struct adm_call *c, struct dm_json *doc)
{
    const dm_view username = dm_json_str(dm_json_get(doc, DM_LIT("username")));
    struct dm_json *o = dm_json_new_object();
    struct dm_json *entries;

    adm_credits_show(c->app, doc, adm_self(c, username));
    entries = dm_json_get(doc, DM_LIT("users_credits"));
    dm_json_set_str(o, DM_LIT("username"), username);
    dm_json_set(o, DM_LIT("users_credits"),
                entries != NULL ? dm_json_clone(entries) : dm_json_new_object());
    return o;
}

void adm_credit_get(struct adm_call *c)
{
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    struct dm_error err;
    enum dm_code rc;

    if (!adm_self(c, c->params[0]) && !adm_may(c, ADM_PERM_MANAGE_CREDITS)) {
        adm_fail(c, 403, c->route->denied_code, c->route->denied_message);
        return;
    }
    rc = adm_credits_find(c->app, c->params[0], &doc, &err);
    if (rc == DM_NOT_FOUND)
        adm_fail(c, 404, "CRD017", "User credits not found");
    else if (rc != DM_OK)
        fail_store(c, &err, "CRD018", "Database error occurred while retrieving user credits");
    else
        adm_ok(c, 200, shown(c, doc));
}

/* In the list everybody's keys are masked, the caller's own too (§11.4). */
static struct dm_json *listed(struct adm_call *c, struct dm_json *docs)
{
    struct dm_json *items = dm_json_new_array();

    for (struct dm_json *d = dm_json_first(docs); d != NULL; d = dm_json_next(d)) {
        struct dm_json *o = dm_json_new_object();
        const struct dm_json *entries;
        adm_credits_show(c->app, d, false);
        entries = dm_json_get(d, DM_LIT("users_credits"));
        dm_json_set_str(o, DM_LIT("username"), dm_json_str(dm_json_get(d, DM_LIT("username"))));
        dm_json_set(o, DM_LIT("users_credits"),
                    entries != NULL ? dm_json_clone(entries) : dm_json_new_object());
        dm_json_push(items, o);
    }
    return items;
}

void adm_credit_list(struct adm_call *c)
{
    DM_DEFER(dm_json_freep) struct dm_json *docs = NULL;
    struct adm_page page;
    struct dm_buf search;
    struct dm_error err;
    uint64_t total;

    if (!adm_page_of(c, &page))
        return;
    dm_buf_init(&search, SEARCH_MAX);
    (void)dm_query_get(c->query, DM_LIT("search"), &search);
    if (!dm_buf_ok(&search))
        adm_fail_invalid(c);
    else if (adm_credits_page(c->app, dm_view_trim(dm_buf_view(&search)), &page, &docs, &total,
                              &err) != DM_OK)
        fail_store(c, &err, "CRD016", "Database error occurred while retrieving credits");
    else
        adm_ok_page(c, "user_credits", listed(c, docs), &page, total);
    dm_buf_done(&search);
}

void adm_credit_rotate_key(struct adm_call *c)
{
    static const char failed[] = "Database error occurred while rotating API key";
    DM_DEFER(dm_json_freep) struct dm_json *body = NULL;
    DM_DEFER(dm_json_freep) struct dm_json *def = NULL;
    struct dm_buf key;
    struct dm_error err;
    enum dm_code rc;

    adm_audit(c, c->caller.username, NULL);
    if (dm_json_parse(c->rq->body, &dm_json_default, &body, NULL) != DM_OK)
        body = NULL;
    const dm_view group = dm_json_str(dm_json_get(body, DM_LIT("api_credit_group")));
    if (group.len == 0) {
        adm_fail(c, 400, "CRD020", "api_credit_group is required");
        return;
    }
    rc = find_def(c, group, &def, &err);
    if (rc == DM_NOT_FOUND) {
        no_such_definition(c);
        return;
    }
    dm_buf_init(&key, 64); /* 43 characters */
    if (rc == DM_OK)
        rc = adm_credits_rotate(c->app, c->caller.username, group, &key, &err);
    if (rc != DM_OK) {
        fail_store(c, &err, "CRD019", failed);
    } else {
        struct dm_json *o = dm_json_new_object();
        dm_json_set_str(o, DM_LIT("api_key"), dm_buf_view(&key));
        adm_ok(c, 200, o);
    }
    dm_buf_done(&key);
}
