/* Settings in force, and their reload (configuration.md §5.3, platform-access.md §8.7). */
#include "admin/handlers.h"

#include "admin/services/security.h"
#include "model/settings_table.h"

enum { TEXT_CAP = 1024 * 1024 }; /* all settings as one text */

#define COMMAND "kill -HUP $(cat doorman.pid)"

static const char *const notes[] = {
    "Environment variables override config file values",
    "Reload with SIGHUP (" COMMAND "), POST /platform/config/reload, or by changing the file",
    "A file with a fault changes nothing: the configuration in force stays",
    "Every other key needs a restart; one that was changed is named under restart_required"};

/* --- answers: the six members of the reference, and the documented `data` --- */

static void wrap(struct adm_call *c, struct dm_json *payload)
{
    struct dm_json *o = dm_json_new_object();

    dm_json_set_i64(o, DM_LIT("status_code"), 200);
    dm_json_set(o, DM_LIT("response_headers"), dm_json_new_null());
    dm_json_set(o, DM_LIT("response"), dm_json_clone(payload));
    dm_json_set(o, DM_LIT("message"), dm_json_new_null());
    dm_json_set(o, DM_LIT("error_code"), dm_json_new_null());
    dm_json_set(o, DM_LIT("error_message"), dm_json_new_null());
    dm_json_set(o, DM_LIT("data"), payload);
    adm_ok(c, 200, o);
}

static void copy(struct dm_json *to, const struct dm_json *from, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct dm_json *value = dm_json_get(from, dm_view_of(names[i]));

        dm_json_set(to, dm_view_of(names[i]),
                    value != NULL ? dm_json_clone(value) : dm_json_new_null());
    }
}

/* allow_localhost_bypass of the store counts where nobody set LOCAL_HOST_IP_BYPASS. */
static bool bypass_of_store(const struct dm_settings *s)
{
    return dm_view_eq(dm_view_of(dm_settings_origin(s, DM_LIT("LOCAL_HOST_IP_BYPASS"))),
                      DM_LIT("default"));
}

static struct dm_json *values_of(struct adm_call *c, const struct dm_settings *s)
{
    struct dm_json *config = NULL;
    struct dm_error err;
    struct dm_buf text;

    dm_buf_init(&text, TEXT_CAP);
    dm_settings_print(s, true, &text);
    if (!dm_buf_ok(&text) ||
        dm_json_parse(dm_buf_view(&text), &dm_json_default, &config, &err) != DM_OK)
        config = dm_json_new_object();
    dm_buf_done(&text);
    if (bypass_of_store(s)) {
        struct adm_security *stored = adm_security_get(c->app);

        dm_json_set_bool(config, DM_LIT("LOCAL_HOST_IP_BYPASS"), stored->localhost_bypass);
        adm_security_unref(stored);
    }
    return config;
}

static struct dm_json *origins_of(const struct dm_settings *s)
{
    struct dm_json *origins = dm_json_new_object();
    size_t n;
    const struct dm_setting_row *rows = dm_setting_rows(&n);

    for (size_t i = 0; i < n; i++) {
        const dm_view key = dm_view_of(rows[i].key);

        if (dm_setting_read_by(&rows[i], s->role))
            dm_json_set_str(origins, key, dm_view_of(dm_settings_origin(s, key)));
    }
    if (bypass_of_store(s))
        dm_json_set_str(origins, DM_LIT("LOCAL_HOST_IP_BYPASS"), DM_LIT("store"));
    return origins;
}

/* --- GET /platform/config/current --- */

void adm_config_current(struct adm_call *c)
{
    static const char *const members[] = {"generation", "restart_required", "last_reload"};
    const struct adm_app_config *app = adm_config(c->app);
    DM_DEFER(dm_json_freep) struct dm_json *report = app->reload_report(app->ctx);
    struct dm_settings *s = adm_app_settings(c->app);
    struct dm_json *payload = dm_json_new_object();

    dm_json_set(payload, DM_LIT("config"), values_of(c, s));
    dm_json_set_str(payload, DM_LIT("source"), dm_view_of(notes[0]));
    dm_json_set_str(payload, DM_LIT("reload_command"), DM_LIT(COMMAND));
    dm_json_set(payload, DM_LIT("origin"), origins_of(s));
    copy(payload, report, members, DM_COUNT_OF(members));
    dm_settings_unref(s);
    wrap(c, payload);
}

/* --- POST /platform/config/reload --- */

static struct dm_json *audit_details(const struct dm_json *report)
{
    static const char *const members[] = {"generation", "changed", "restart_required"};
    struct dm_json *details = dm_json_new_object();

    copy(details, report, members, DM_COUNT_OF(members));
    dm_json_set_str(details, DM_LIT("source"), DM_LIT("http"));
    dm_json_set_i64(details, DM_LIT("faults"),
                    (int64_t)dm_json_len(dm_json_get(report, DM_LIT("errors"))));
    return details;
}

static void refuse(struct adm_call *c, const struct dm_json *report)
{
    static const char *const members[] = {"errors", "generation"};

    adm_fail(c, 400, "CFG010", "Configuration is invalid; the previous one stays in force");
    c->result.status_in_body = true;
    c->result.data = dm_json_new_object();
    copy(c->result.data, report, members, DM_COUNT_OF(members));
}

void adm_config_reload(struct adm_call *c)
{
    static const char *const members[] = {"changed", "restart_required", "overridden_by_env",
                                          "generation"};
    const struct adm_app_config *app = adm_config(c->app);
    DM_DEFER(dm_json_freep) struct dm_json *report = app->reload(app->ctx);
    struct dm_settings *s;
    struct dm_json *payload;

    if (report == NULL) { /* the process ends */
        adm_fail_err(c, ERR_ADMIN_AWAY);
        return;
    }
    adm_audit(c, DM_LIT("config"), audit_details(report));
    if (!dm_json_bool(dm_json_get(report, DM_LIT("ok")), false)) {
        refuse(c, report);
        return;
    }
    payload = dm_json_new_object();
    dm_json_set_str(payload, DM_LIT("message"), DM_LIT("Configuration reloaded successfully"));
    s = adm_app_settings(c->app);
    dm_json_set(payload, DM_LIT("config"), values_of(c, s));
    dm_settings_unref(s);
    copy(payload, report, members, DM_COUNT_OF(members));
    wrap(c, payload);
}

/* --- GET /platform/config/reloadable-keys --- */

static const char *example_of_type(enum dm_setting_type type)
{
    switch (type) {
    case DM_SETTING_BOOL:
    case DM_SETTING_TRI:
        return "true";
    case DM_SETTING_INT:
    case DM_SETTING_BYTES:
    case DM_SETTING_SECONDS:
    case DM_SETTING_WHOLE_SECONDS:
    case DM_SETTING_FLOAT:
        return "1";
    case DM_SETTING_PATH:
        return "/path/to/file";
    case DM_SETTING_URL:
        return "https://example.com";
    case DM_SETTING_PEM:
        return "-----BEGIN PUBLIC KEY-----";
    case DM_SETTING_CSV:
        return "one,two";
    case DM_SETTING_CIDRS:
        return "10.0.0.0/8,::1";
    case DM_SETTING_SECRET:
    case DM_SETTING_SECRET_JSON:
        return "[REDACTED]";
    case DM_SETTING_ENUM:
    case DM_SETTING_STR:
        break;
    }
    return "text";
}

/* The default without its conditions; "$KEY" stands for another key's. */
static dm_view example_of(const struct dm_setting_row *row)
{
    dm_view text = row->fallback != NULL ? dm_view_of(row->fallback) : DM_VIEW_NONE;

    text = dm_view_trim(dm_view_sub(text, 0, dm_view_find(text, DM_LIT("@"))));
    if (text.len == 0 || text.ptr[0] == '$')
        text = dm_view_of(example_of_type(row->type));
    return text;
}

static void add_key(struct dm_json *list, dm_view key, dm_view description, dm_view example)
{
    struct dm_json *o = dm_json_new_object();

    dm_json_set_str(o, DM_LIT("key"), key);
    dm_json_set_str(o, DM_LIT("description"), description);
    dm_json_set_str(o, DM_LIT("example"), example);
    dm_json_push(list, o);
}

static bool reloadable(const struct dm_setting_row *row)
{
    return row != NULL && (row->reload == 'H' || row->reload == 'F');
}

static void add_aliases(struct adm_call *c, struct dm_json *list)
{
    size_t n;
    const struct dm_setting_alias *aliases = dm_setting_aliases(&n);

    for (size_t i = 0; i < n; i++) {
        const struct dm_setting_row *row =
            aliases[i].key != NULL ? dm_setting_find(dm_view_of(aliases[i].key)) : NULL;

        if (reloadable(row) &&
            (aliases[i].kind == DM_ALIAS_SAME || aliases[i].kind == DM_ALIAS_SECONDS))
            add_key(list, dm_view_of(aliases[i].name),
                    adm_text(c, "another name of %s%s", row->key,
                             aliases[i].kind == DM_ALIAS_SECONDS ? ", in seconds" : ""),
                    aliases[i].kind == DM_ALIAS_SECONDS ? DM_LIT("60") : example_of(row));
    }
}

void adm_config_reloadable_keys(struct adm_call *c)
{
    struct dm_json *payload = dm_json_new_object(), *list = dm_json_new_array();
    struct dm_json *texts = dm_json_new_array();
    size_t n;
    const struct dm_setting_row *rows = dm_setting_rows(&n);

    for (size_t i = 0; i < n; i++) {
        if (reloadable(&rows[i]))
            add_key(list, dm_view_of(rows[i].key), dm_view_of(rows[i].sentence),
                    example_of(&rows[i]));
    }
    add_aliases(c, list);
    for (size_t i = 0; i < DM_COUNT_OF(notes); i++)
        dm_json_push(texts, dm_json_new_str(dm_view_of(notes[i])));
    dm_json_set_i64(payload, DM_LIT("total"), (int64_t)dm_json_len(list));
    dm_json_set(payload, DM_LIT("reloadable_keys"), list);
    dm_json_set(payload, DM_LIT("notes"), texts);
    wrap(c, payload);
}
