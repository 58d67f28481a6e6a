#include "admin/services/security.h"

#include "admin/audit.h"
#include "admin/services/publish.h"
#include "base/log.h"
#include <stdatomic.h>

enum { LIST_MAX = 10000 }; /* entries of one list (operations.md §8.11, scale) */

/* In the document, the names of what nobody has saved: those follow the settings (configuration.md
 * §2.6.1). Documents of the Python Doorman have no such list: all of theirs was saved. */
#define FOLLOWS "from_settings"

static enum dm_code compile_list(const struct dm_json *doc, const char *field,
                                 struct dm_address_set **ret, struct dm_error *err)
{
    const struct dm_json *list = dm_json_get(doc, dm_view_of(field));
    size_t n = dm_json_len(list), i = 0;
    dm_view *entries;
    enum dm_code rc;

    *ret = NULL;
    if (n == 0)
        return DM_OK;
    if (n > LIST_MAX)
        return DM_FAIL(err, DM_INVALID, ERR_NONE, "%s holds more than %d entries", field, LIST_MAX);
    entries = dm_mem_array(n, sizeof(*entries));
    for (struct dm_json *e = dm_json_first(list); e != NULL; e = dm_json_next(e))
        entries[i++] = dm_json_str(e);
    rc = dm_address_set_new(entries, n, ret, err);
    dm_mem_free(entries);
    return rc;
}

void adm_security_unref(struct adm_security *s)
{
    if (s == NULL || atomic_fetch_sub_explicit(&s->refs_, 1, memory_order_acq_rel) != 1)
        return;
    dm_address_set_free(s->whitelist);
    dm_address_set_free(s->blacklist);
    dm_address_set_free(s->proxies);
    dm_mem_free(s);
}

enum dm_code adm_security_apply(struct adm_app *app, const struct dm_json *doc,
                                struct dm_error *err)
{
    struct adm_security *s = DM_NEW(struct adm_security);
    enum dm_code rc = compile_list(doc, "ip_whitelist", &s->whitelist, err);

    atomic_store(&s->refs_, 1);
    if (rc == DM_OK)
        rc = compile_list(doc, "ip_blacklist", &s->blacklist, err);
    if (rc == DM_OK)
        rc = compile_list(doc, "xff_trusted_proxies", &s->proxies, err);
    s->trust_xff = dm_json_bool(dm_json_get(doc, DM_LIT("trust_x_forwarded_for")), false);
    s->localhost_bypass = dm_json_bool(dm_json_get(doc, DM_LIT("allow_localhost_bypass")), false);
    if (rc == DM_OK)
        adm_app_swap_security(app, s);
    else
        adm_security_unref(s);
    return rc;
}

/* Until nothing newer is met: whoever stores on this admin applies it, too, maybe between our
 * reading and applying. */
void adm_security_refresh(struct adm_app *app, uint64_t *version)
{
    const struct dm_filter key = DM_WHERE("type", DM_LIT("security_settings"));

    for (;;) {
        DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
        struct dm_error err;
        uint64_t stored = 0;
        if (dm_documents_find(adm_documents(app), "settings", &key, 1, &doc, &stored, &err) !=
                DM_OK ||
            stored == *version)
            return;
        *version = stored;
        if (adm_security_apply(app, doc, &err) != DM_OK)
            DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "security.not_applied", DM_FC("reason", err.text));
    }
}

static struct dm_json *texts_of(const struct dm_address_set *set)
{
    struct dm_json *list = dm_json_new_array();

    for (size_t i = 0; i < dm_address_set_count(set); i++)
        dm_json_push(list, dm_json_new_str(dm_address_set_text(set, i)));
    return list;
}

static const char *const followers[] = {"enable_auto_save",    "auto_save_frequency_seconds",
                                        "dump_path",           "trust_x_forwarded_for",
                                        "xff_trusted_proxies", "allow_localhost_bypass"};

struct dm_json *adm_security_defaults(const struct dm_settings *s)
{
    struct dm_json *doc = dm_json_new_object();

    dm_json_set_str(doc, DM_LIT("type"), DM_LIT("security_settings"));
    dm_json_set_bool(doc, DM_LIT("enable_auto_save"), s->mem_auto_save_enabled);
    dm_json_set_i64(doc, DM_LIT("auto_save_frequency_seconds"), s->mem_auto_save_freq);
    dm_json_set_str(doc, DM_LIT("dump_path"), s->mem_dump_path);
    dm_json_set(doc, DM_LIT("ip_whitelist"), dm_json_new_array());
    dm_json_set(doc, DM_LIT("ip_blacklist"), dm_json_new_array());
    dm_json_set_bool(doc, DM_LIT("trust_x_forwarded_for"),
                     dm_address_set_count(s->trusted_proxies) > 0);
    dm_json_set(doc, DM_LIT("xff_trusted_proxies"), texts_of(s->trusted_proxies));
    dm_json_set_bool(doc, DM_LIT("allow_localhost_bypass"), s->local_host_ip_bypass);
    struct dm_json *follows = dm_json_new_array();
    for (size_t i = 0; i < DM_COUNT_OF(followers); i++)
        dm_json_push(follows, dm_json_new_str(dm_view_of(followers[i])));
    dm_json_set(doc, DM_LIT(FOLLOWS), follows);
    return doc;
}

/* --- what nobody has saved --- */

/* Whether to trust and whom is one thing: half of it must not follow. */
static bool names(const struct dm_json *patch, dm_view field)
{
    const dm_view trust = DM_LIT("trust_x_forwarded_for"), proxies = DM_LIT("xff_trusted_proxies");
    const bool pair = dm_view_eq(field, trust) || dm_view_eq(field, proxies);

    return dm_json_get(patch, field) != NULL ||
           (pair && (dm_json_get(patch, trust) != NULL || dm_json_get(patch, proxies) != NULL));
}

void adm_security_saved(struct dm_json *doc, const struct dm_json *patch)
{
    const struct dm_json *old = dm_json_get(doc, DM_LIT(FOLLOWS));
    struct dm_json *follows = dm_json_new_array();

    for (struct dm_json *name = dm_json_first(old); name != NULL; name = dm_json_next(name)) {
        if (!names(patch, dm_json_str(name)))
            dm_json_push(follows, dm_json_clone(name));
    }
    dm_json_set(doc, DM_LIT(FOLLOWS), follows);
}

void adm_security_hide(struct dm_json *doc)
{
    dm_json_remove(doc, DM_LIT(FOLLOWS));
}

static bool follow(struct dm_json *doc, const struct dm_json *defaults)
{
    const struct dm_json *follows = dm_json_get(doc, DM_LIT(FOLLOWS));
    bool changed = false;

    for (struct dm_json *name = dm_json_first(follows); name != NULL; name = dm_json_next(name)) {
        const dm_view field = dm_json_str(name);
        const struct dm_json *value = dm_json_get(defaults, field);
        const struct dm_json *now = dm_json_get(doc, field);

        if (value == NULL || (now != NULL && dm_json_equal(now, value)))
            continue;
        dm_json_set(doc, field, dm_json_clone(value));
        changed = true;
    }
    return changed;
}

static enum dm_code lay_over(void *ctx, struct dm_json *doc, struct dm_error *err)
{
    (void)err;
    (void)follow(doc, ctx);
    return DM_OK;
}

enum dm_code adm_security_store_followed(struct adm_app *app, struct dm_settings *s,
                                         struct dm_json **ret_doc, struct dm_error *err)
{
    const struct dm_filter key = DM_WHERE("type", DM_LIT("security_settings"));
    DM_DEFER(dm_json_freep) struct dm_json *defaults = adm_security_defaults(s);
    uint64_t version;
    enum dm_code rc =
        dm_documents_find(adm_documents(app), "settings", &key, 1, ret_doc, &version, err);

    if (rc != DM_OK || !follow(*ret_doc, defaults))
        return rc;
    dm_json_free(DM_TAKE(*ret_doc));
    return dm_documents_update(adm_documents(app), "settings", &key, 1, lay_over, defaults, ret_doc,
                               err);
}

enum dm_code adm_security_follow(struct adm_app *app, struct dm_settings *s, struct dm_error *err)
{
    const struct dm_filter key = DM_WHERE("type", DM_LIT("security_settings"));
    DM_DEFER(dm_json_freep) struct dm_json *defaults = adm_security_defaults(s);
    DM_DEFER(dm_json_freep) struct dm_json *before = NULL;
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    uint64_t version;
    enum dm_code rc =
        dm_documents_find(adm_documents(app), "settings", &key, 1, &before, &version, err);

    if (rc != DM_OK || !follow(before, defaults))
        return rc;
    rc = adm_publish_possible(app, err);
    if (rc != DM_OK)
        return rc;
    rc = adm_app_publish_lock(app, err);
    if (rc != DM_OK)
        return rc;
    rc = adm_security_store_followed(app, s, &doc, err);
    if (rc == DM_OK) {
        const struct adm_change change = {.type = &dm_record_security_settings,
                                          .id = adm_publish_id(&dm_record_security_settings, doc),
                                          .doc = doc};
        rc = adm_publish(app, &change, 1, err);
    }
    adm_app_publish_end(app, rc);
    return rc;
}

static struct dm_forwarding forwarding_of(const struct dm_fields *f)
{
    return (struct dm_forwarding){.x_forwarded_for = dm_fields_get(f, DM_HDR_X_FORWARDED_FOR),
                                  .x_real_ip = dm_fields_get(f, DM_HDR_X_REAL_IP),
                                  .cf_connecting_ip = dm_fields_get(f, DM_HDR_CF_CONNECTING_IP),
                                  .forwarded = dm_fields_get(f, DM_HDR_FORWARDED)};
}

void adm_client_address(struct adm_call *c, struct dm_address *ret)
{
    struct adm_security *s = adm_security_get(c->app);
    struct dm_forwarding f = forwarding_of(c->rq->fields);

    dm_address_effective(&c->rq->peer, s->trust_xff, s->proxies, &f, ret);
    if (s->trust_xff && dm_forwarding_any(&f) && !dm_address_trusted(s->proxies, &c->rq->peer))
        adm_audit_watch(c, DM_WATCH_FORWARDING, dm_address_view(&c->rq->peer), DM_VIEW_NONE);
    adm_security_unref(s);
}

enum dm_err adm_ip_verdict(struct adm_call *c, const struct dm_address *effective)
{
    struct adm_security *s = adm_security_get(c->app);
    struct dm_forwarding f = forwarding_of(c->rq->fields);
    enum dm_err verdict = ERR_NONE;

    if (!(s->localhost_bypass && dm_address_loopback(&c->rq->peer) && !dm_forwarding_any(&f))) {
        if (dm_address_set_has(s->blacklist, effective))
            verdict = ERR_IP_BLOCKED;
        else if (s->whitelist != NULL && !dm_address_set_has(s->whitelist, effective))
            verdict = ERR_IP_NOT_ALLOWED;
    }
    adm_security_unref(s);
    return verdict;
}
