/* /platform/security (platform-access.md §8.6). */
#include "admin/services/security.h"
#include "admin/app.h"
#include "admin/handlers.h"
#include "admin/services/records.h"

static const struct dm_filter settings_key = {.field = "type",
                                              .op = DM_FILTER_EQ,
                                              .kind = DM_JSON_STRING,
                                              .str = DM_LIT("security_settings")};

static struct dm_json *find_settings(struct adm_call *c, struct dm_error *err)
{
    struct dm_json *doc = NULL;
    uint64_t version;

    if (dm_documents_find(adm_documents(c->app), "settings", &settings_key, 1, &doc, &version,
                          err) != DM_OK)
        return NULL;
    return doc;
}

/* Both spellings of the two dump fields are returned (C15). */
static void add_aliases(struct dm_json *o)
{
    dm_json_set_bool(o, DM_LIT("auto_save_memory_enabled"),
                     dm_json_bool(dm_json_get(o, DM_LIT("enable_auto_save")), false));
    dm_json_set_i64(o, DM_LIT("auto_save_memory_interval_minutes"),
                    dm_json_i64(dm_json_get(o, DM_LIT("auto_save_frequency_seconds")), 0) / 60);
}

static void add_warnings(struct dm_json *o)
{
    struct dm_json *warnings = dm_json_new_array();

    if (dm_json_bool(dm_json_get(o, DM_LIT("trust_x_forwarded_for")), false) &&
        dm_json_len(dm_json_get(o, DM_LIT("xff_trusted_proxies"))) == 0)
        dm_json_push(warnings,
                     dm_json_new_str(
                         DM_LIT("Trust X-Forwarded-For is enabled, but no trusted proxies are "
                                "configured. Set xff_trusted_proxies to avoid header spoofing.")));
    dm_json_set(o, DM_LIT("security_warnings"), warnings);
}

static bool bypass_locked(const struct adm_call *c)
{
    const char *origin = dm_settings_origin(c->settings, DM_LIT("LOCAL_HOST_IP_BYPASS"));

    return origin != NULL && dm_view_eq(dm_view_of(origin), DM_LIT("env"));
}

static void add_view(struct adm_call *c, struct dm_json *o)
{
    dm_view xff = dm_fields_get(c->rq->fields, DM_HDR_X_FORWARDED_FOR);
    char address[DM_ADDRESS_TEXT];

    if (bypass_locked(c))
        dm_json_set_bool(o, DM_LIT("allow_localhost_bypass"), c->settings->local_host_ip_bypass);
    dm_json_set_bool(o, DM_LIT("allow_localhost_bypass_locked"), bypass_locked(c));
    add_warnings(o);
    dm_json_set_str(o, DM_LIT("client_ip"),
                    dm_view_make(address, dm_address_write(&c->rq->peer, address)));
    if (xff.ptr != NULL && dm_utf8_valid(xff))
        dm_json_set_str(o, DM_LIT("client_ip_xff"),
                        dm_view_trim(dm_view_sub(xff, 0, dm_view_find_byte(xff, ',', 0))));
    else
        dm_json_set(o, DM_LIT("client_ip_xff"), dm_json_new_null());
}

void adm_security_get_settings(struct adm_call *c)
{
    struct dm_error err;
    struct dm_json *o = find_settings(c, &err);

    if (o == NULL) {
        adm_fail_store(c, &err);
        return;
    }
    adm_security_hide(o);
    add_aliases(o);
    dm_json_set_bool(o, DM_LIT("memory_only"), adm_config(c->app)->memory_mode);
    add_view(c, o);
    adm_ok(c, 200, o);
}

/* The aliases of C15 onto the stored names; minutes onto seconds. */
static bool fold_aliases(struct adm_call *c, struct dm_json *patch)
{
    const struct dm_json *on = dm_json_get(patch, DM_LIT("auto_save_memory_enabled"));
    const struct dm_json *minutes = dm_json_get(patch, DM_LIT("auto_save_memory_interval_minutes"));
    int64_t every = dm_json_i64(minutes, 1);

    if (every < 1 || every > INT64_MAX / 60) {
        adm_fail_invalid(c);
        return false;
    }
    if (on != NULL)
        dm_json_set_bool(patch, DM_LIT("enable_auto_save"), dm_json_bool(on, false));
    if (minutes != NULL)
        dm_json_set_i64(patch, DM_LIT("auto_save_frequency_seconds"), every * 60);
    dm_json_remove(patch, DM_LIT("auto_save_memory_enabled"));
    dm_json_remove(patch, DM_LIT("auto_save_memory_interval_minutes"));
    return true;
}

/* A dump must not be written anywhere on the disk: below the data directory, without "..". */
static bool dump_path_good(const struct adm_call *c, const struct dm_json *patch)
{
    dm_view path = dm_json_str(dm_json_get(patch, DM_LIT("dump_path")));
    dm_view home = c->settings->doorman_data_dir;

    if (path.ptr == NULL)
        return true;
    if (path.len == 0 || dm_view_find(path, DM_LIT("..")) < path.len)
        return false;
    return path.ptr[0] != '/' ||
           (dm_view_starts(path, home) && path.len > home.len && path.ptr[home.len] == '/');
}

static bool trust_good(struct adm_call *c, const struct dm_json *result)
{
    if (!c->settings->production ||
        !dm_json_bool(dm_json_get(result, DM_LIT("trust_x_forwarded_for")), false) ||
        dm_json_len(dm_json_get(result, DM_LIT("xff_trusted_proxies"))) > 0)
        return true;
    adm_fail(c, 400, "SEC012", "Trust X-Forwarded-For needs xff_trusted_proxies");
    return false;
}

/* Compiled before anything is stored: a bad entry is named and nothing changes (O6). */
static bool lists_good(struct adm_call *c, const struct dm_json *result)
{
    static const char *const lists[] = {"ip_whitelist", "ip_blacklist", "xff_trusted_proxies"};
    struct dm_error err;

    for (size_t i = 0; i < DM_COUNT_OF(lists); i++) {
        const struct dm_json *list = dm_json_get(result, dm_view_of(lists[i]));

        for (struct dm_json *e = dm_json_first(list); e != NULL; e = dm_json_next(e)) {
            struct dm_address_set *one = NULL;
            dm_view text = dm_json_str(e);

            if (dm_address_set_new(&text, 1, &one, &err) != DM_OK) {
                adm_failf(c, 400, "SEC012", "Invalid IP address or CIDR in %s: %.*s", lists[i],
                          DM_FMT(text));
                return false;
            }
            dm_address_set_free(one);
        }
    }
    return true;
}

static struct dm_json *dump_details(const struct dm_json *doc)
{
    static const char *const members[] = {"enable_auto_save", "auto_save_frequency_seconds",
                                          "dump_path"};
    struct dm_json *o = dm_json_new_object();

    for (size_t i = 0; i < DM_COUNT_OF(members); i++) {
        const struct dm_json *m = dm_json_get(doc, dm_view_of(members[i]));
        if (m != NULL)
            dm_json_set(o, dm_view_of(members[i]), dm_json_clone(m));
    }
    return o;
}

static bool update_good(struct adm_call *c, const struct dm_json *result)
{
    if (!dump_path_good(c, c->body)) {
        adm_fail_invalid(c);
        return false;
    }
    return trust_good(c, result) && lists_good(c, result);
}

/* What is stored now, which another call may have changed since: whoever applies last applies the
 * last. */
static enum dm_code apply_stored(struct adm_call *c, struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    enum dm_code rc;

    rc = adm_app_restore_lock(c->app, err);
    if (rc != DM_OK)
        return rc;
    doc = find_settings(c, err);
    rc = doc == NULL ? err->kind : adm_security_apply(c->app, doc, err);
    adm_app_publish_unlock(c->app);
    return rc;
}

static enum dm_code lay_over(void *ctx, struct dm_json *doc, struct dm_error *err)
{
    (void)err;
    dm_record_merge(doc, ctx);
    adm_security_saved(doc, ctx);
    return DM_OK;
}

void adm_security_update(struct adm_call *c)
{
    DM_DEFER(dm_json_freep) struct dm_json *result = NULL;
    struct dm_json *stored = NULL;
    struct dm_error err;

    if (c->body == NULL)
        c->body = dm_json_new_object(); /* an empty body changes nothing and shows what is stored */
    if (!fold_aliases(c, c->body))
        return;
    result = find_settings(c, &err);
    if (result == NULL) {
        adm_fail_store(c, &err);
        return;
    }
    dm_record_merge(result, c->body);
    adm_audit(c, DM_LIT("security_settings"), dump_details(result));
    if (!update_good(c, result))
        return;
    if (adm_record_change(c, &dm_record_security_settings, &settings_key, 1, lay_over, c->body,
                          &stored, &err) != DM_OK ||
        apply_stored(c, &err) != DM_OK) {
        dm_json_free(stored);
        adm_fail_store(c, &err);
        return;
    }
    adm_security_hide(stored);
    add_aliases(stored);
    dm_json_set_bool(stored, DM_LIT("memory_only"), adm_config(c->app)->memory_mode);
    adm_ok(c, 200, stored);
}

/* Containers are restarted by their platform, not by themselves (§8.6). */
void adm_security_restart(struct adm_call *c)
{
    adm_audit(c, DM_LIT("gateway"), NULL);
    adm_fail(c, 409, "SEC004",
             "Restart not supported: no PID file found (run using 'doorman start' or contact your "
             "admin)");
}
