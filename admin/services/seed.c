#include "admin/services/seed.h"

#include "admin/services/lookup.h"
#include "admin/services/publish.h"
#include "admin/services/security.h"
#include "crypto/password.h"

static const struct dm_documents_unique uniques[] = {
    {"users", {"username"}},
    {"users", {"email"}},
    {"roles", {"role_name"}},
    {"groups", {"group_name"}},
    {"subscriptions", {"username"}},
    {"settings", {"type"}},
    {"apis", {"api_name", "api_version"}},
    {"apis", {"api_id"}},
    {"endpoints", {"endpoint_id"}},
    {"endpoints", {"api_name", "api_version", "endpoint_method", "endpoint_uri"}},
    {"routings", {"client_key"}},
    {"credit_defs", {"api_credit_group"}},
    {"user_credits", {"username"}},
    {"revocations", {"id"}},
    {"endpoint_validations", {"endpoint_id"}},
    {"protos", {"key"}},
    {"vault_entries", {"username", "key_name"}},
    {"tiers", {"tier_id"}},
    {"user_tier_assignments", {"user_id"}},
    {"rate_limit_rules", {"rule_id"}},
    {ADM_POLICY_COLLECTION, {"id"}},
    {"audit_log", {"position"}},
    {"audit_log", {"event_id"}},
    {"metrics_minutes", {"slot"}},
    {"metrics_five_minutes", {"slot"}},
    {"metrics_hours", {"slot"}},
    {"metrics_days", {"slot"}},
};

const struct dm_documents_unique *adm_uniques(size_t *ret_n)
{
    *ret_n = DM_COUNT_OF(uniques);
    return uniques;
}

static enum dm_code insert_absent(struct adm_app *app, const char *collection, struct dm_json *doc,
                                  struct dm_error *err)
{
    enum dm_code rc = dm_documents_insert(adm_documents(app), collection, doc, err);

    dm_json_free(doc);
    return rc == DM_EXISTS ? DM_OK : rc;
}

static struct dm_json *role_doc(const char *name, const char *description, bool allowed)
{
    struct dm_json *o = dm_json_new_object();

    dm_json_set_str(o, DM_LIT("role_name"), dm_view_of(name));
    dm_json_set_str(o, DM_LIT("role_description"), dm_view_of(description));
    for (int p = ADM_PERM_NONE + 1; p < ADM_PERM_COUNT_; p++)
        dm_json_set_bool(o, dm_view_of(adm_permission_name(p)), allowed);
    return o;
}

static struct dm_json *group_doc(const char *name, const char *description)
{
    struct dm_json *o = dm_json_new_object();

    dm_json_set_str(o, DM_LIT("group_name"), dm_view_of(name));
    dm_json_set_str(o, DM_LIT("group_description"), dm_view_of(description));
    dm_json_set(o, DM_LIT("api_access"), dm_json_new_array());
    return o;
}

/* Every field of the model, absent ones as null: created through the same table as all users. */
static enum dm_code admin_doc(struct adm_app *app, struct dm_json **ret, struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *body = dm_json_new_object();
    struct dm_json *groups = dm_json_new_array(), *attributes = dm_json_new_object();
    struct dm_settings *s = adm_app_settings(app);
    enum dm_code rc;

    dm_json_push(groups, dm_json_new_str(DM_LIT("ALL")));
    dm_json_push(groups, dm_json_new_str(DM_LIT("admin")));
    dm_json_set_str(attributes, DM_LIT("custom_key"), DM_LIT("custom_value"));
    dm_json_set_str(body, DM_LIT("username"), DM_LIT("admin"));
    dm_json_set_str(body, DM_LIT("email"), s->doorman_admin_email);
    dm_json_set_str(body, DM_LIT("password"), DM_LIT("placeholder-replaced-below"));
    dm_json_set_str(body, DM_LIT("role"), DM_LIT("admin"));
    dm_json_set(body, DM_LIT("groups"), groups);
    dm_json_set(body, DM_LIT("custom_attributes"), attributes);
    dm_json_set_bool(body, DM_LIT("ui_access"), true);
    dm_json_set_bool(body, DM_LIT("active"), true);
    dm_settings_unref(s);
    rc = dm_record_create(&dm_record_user, body, ret, err);
    if (rc == DM_OK)
        dm_json_set_str(*ret, DM_LIT("password"),
                        DM_VIEW_NONE); /* no hash: no login until it is set */
    return rc;
}

/* An older admin role may lack permissions that came later: missing ones are added (§6.1). */
static enum dm_code complete_admin_role(void *ctx, struct dm_json *role, struct dm_error *err)
{
    (void)ctx;
    (void)err;
    for (int p = ADM_PERM_NONE + 1; p < ADM_PERM_COUNT_; p++) {
        dm_view name = dm_view_of(adm_permission_name(p));
        if (dm_json_get(role, name) == NULL)
            dm_json_set_bool(role, name, true);
    }
    return DM_OK;
}

static enum dm_code seed_admin(struct adm_app *app, struct dm_error *err)
{
    struct dm_json *doc = NULL;
    const struct dm_filter admin_role = DM_WHERE("role_name", DM_LIT("admin"));
    enum dm_code rc = admin_doc(app, &doc, err);

    if (rc == DM_OK)
        rc = insert_absent(app, "users", doc, err);
    if (rc == DM_OK)
        rc = dm_documents_update(adm_documents(app), "roles", &admin_role, 1, complete_admin_role,
                                 NULL, NULL, err);
    return rc;
}

static enum dm_code seed_security(struct adm_app *app, struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *stored = NULL;
    struct dm_settings *s = adm_app_settings(app);
    enum dm_code rc = insert_absent(app, "settings", adm_security_defaults(s), err);

    if (rc == DM_OK)
        rc = adm_security_store_followed(app, s, &stored, err);
    dm_settings_unref(s);
    return rc == DM_OK ? adm_security_apply(app, stored, err) : rc;
}

enum dm_code adm_seed(struct adm_app *app, struct dm_error *err)
{
    enum dm_code rc =
        insert_absent(app, "roles", role_doc("admin", "Administrator role", true), err);

    if (rc == DM_OK)
        rc = insert_absent(app, "roles",
                           role_doc("user", "Default role without permissions", false), err);
    if (rc == DM_OK)
        rc = insert_absent(app, "groups",
                           group_doc("admin", "Administrator group with full access"), err);
    if (rc == DM_OK)
        rc = insert_absent(app, "groups", group_doc("ALL", "Default group with access to all APIs"),
                           err);
    if (rc == DM_OK)
        rc = seed_admin(app, err);
    return rc == DM_OK ? seed_security(app, err) : rc;
}

struct password_change {
    dm_view hash, email;
    bool realign_email; /* memory mode: the environment rules on every start */
};

static enum dm_code set_password(void *ctx, struct dm_json *user, struct dm_error *err)
{
    struct password_change *change = ctx;

    (void)err;
    dm_json_set_str(user, DM_LIT("password"), change->hash);
    dm_json_set_bool(user, DM_LIT("ui_access"), true);
    if (change->realign_email)
        dm_json_set_str(user, DM_LIT("email"), change->email);
    return DM_OK;
}

enum dm_code adm_seed_password(struct adm_app *app, struct dm_error *err)
{
    const struct dm_filter key = DM_WHERE("username", DM_LIT("admin"));
    DM_DEFER(dm_json_freep) struct dm_json *user = NULL;
    struct dm_settings *s = adm_app_settings(app);
    bool always = adm_config(app)->memory_mode;
    struct dm_buf hash;
    enum dm_code rc = adm_find_user(app, DM_LIT("admin"), &user, err);

    dm_buf_init(&hash, 512); /* an Argon2id string has about 100 bytes */
    if (rc == DM_OK && (always || dm_json_str(dm_json_get(user, DM_LIT("password"))).len == 0) &&
        !dm_secret_empty(&s->doorman_admin_password)) {
        rc = dm_password_hash(dm_secret_view(&s->doorman_admin_password), &hash);
        if (rc == DM_OK) {
            struct password_change change = {dm_buf_view(&hash), s->doorman_admin_email, always};
            rc = dm_documents_update(adm_documents(app), "users", &key, 1, set_password, &change,
                                     NULL, err);
        }
    }
    dm_buf_done(&hash);
    dm_settings_unref(s);
    return rc;
}
