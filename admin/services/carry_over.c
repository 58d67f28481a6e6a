#include "admin/services/carry_over.h"

#include "admin/services/revocation.h"
#include "base/log.h"
#include "crypto/random.h"
#include "model/address.h"
#include <stdio.h>

enum {
    KEY_MAX = 4,    /* fields that name one document */
    PATH_CAP = 4096 /* name/version of an API, with room for what others took for one */
};

struct carrying {
    struct dm_documents *d;
    uint64_t changed;
};

static dm_view text_of(const struct dm_json *doc, const char *field)
{
    return dm_json_str(dm_json_get(doc, dm_view_of(field)));
}

static void tell(struct carrying *c, const char *collection, dm_view who, const char *what,
                 dm_view value)
{
    c->changed++;
    DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "documents.carried_over", DM_FC("collection", collection),
           DM_F("document", who), DM_FC("change", what), DM_F("value", value));
}

/* A document that its own key does not find (a field is no text) stays as it is. */
static enum dm_code change(struct carrying *c, const char *collection, const struct dm_filter *key,
                           size_t n_key, dm_documents_change_fn fn, void *ctx, struct dm_error *err)
{
    const enum dm_code rc = dm_documents_update(c->d, collection, key, n_key, fn, ctx, NULL, err);

    return rc == DM_NOT_FOUND ? DM_OK : rc;
}

/* --- lists of addresses ---
 * The Python Doorman stored entries unread and ignored those that it could not parse; here every
 * stored one must be an address, or nothing would start. */

static const struct address_list {
    const char *collection, *field;
    bool closed; /* empty means everybody, so one that loses all of its entries admits nobody */
} address_lists[] = {
    {"settings", "ip_whitelist", true},         {"settings", "ip_blacklist", false},
    {"settings", "xff_trusted_proxies", false}, {"apis", "api_ip_whitelist", false},
    {"apis", "api_ip_blacklist", false},
};
#define NOBODY DM_LIT("255.255.255.255") /* broadcast: the source of no connection */

static bool is_address(const struct dm_json *entry)
{
    struct dm_address_set *set = NULL;
    const dm_view text = dm_view_trim(dm_json_str(entry));
    const bool ok = text.len > 0 && dm_address_set_new(&text, 1, &set, NULL) == DM_OK;

    dm_address_set_free(set);
    return ok;
}

static bool list_is_clean(const struct dm_json *doc, const struct address_list *l)
{
    for (struct dm_json *e = dm_json_first(dm_json_get(doc, dm_view_of(l->field))); e != NULL;
         e = dm_json_next(e)) {
        if (!is_address(e))
            return false;
    }
    return true;
}

struct cleaning {
    struct carrying *c;
    const struct address_list *list;
    dm_view who;
};

static enum dm_code clean_list(void *ctx, struct dm_json *doc, struct dm_error *err)
{
    const struct cleaning *k = ctx;
    const struct dm_json *old = dm_json_get(doc, dm_view_of(k->list->field));
    struct dm_json *list = dm_json_new_array();

    (void)err;
    for (struct dm_json *e = dm_json_first(old); e != NULL; e = dm_json_next(e)) {
        if (is_address(e))
            dm_json_push(list, dm_json_clone(e));
        else
            tell(k->c, k->list->collection, k->who, "no address, removed", dm_json_str(e));
    }
    if (k->list->closed && dm_json_first(list) == NULL)
        dm_json_push(list, dm_json_new_str(NOBODY));
    dm_json_set(doc, dm_view_of(k->list->field), list);
    return DM_OK;
}

static enum dm_code clean_lists(struct carrying *c, const char *collection,
                                const struct dm_json *doc, const struct dm_filter *key,
                                size_t n_key, struct dm_error *err)
{
    enum dm_code rc = DM_OK;

    for (size_t i = 0; rc == DM_OK && i < DM_COUNT_OF(address_lists); i++) {
        const struct address_list *l = &address_lists[i];
        struct cleaning k = {c, l, key[0].str};
        if (dm_view_eq(dm_view_of(l->collection), dm_view_of(collection)) && !list_is_clean(doc, l))
            rc = change(c, collection, key, n_key, clean_list, &k, err);
    }
    return rc;
}

/* --- ids ---
 * Endpoints belong to their API by its id; one that has none is bound to the API it names. */

struct member {
    const char *name;
    dm_view value;
    struct carrying *c;
    const char *collection;
    dm_view who;
};

static enum dm_code set_member(void *ctx, struct dm_json *doc, struct dm_error *err)
{
    const struct member *m = ctx;

    (void)err;
    dm_json_set_str(doc, dm_view_of(m->name), m->value);
    tell(m->c, m->collection, m->who, m->name, m->value);
    return DM_OK;
}

static enum dm_code set_text(struct carrying *c, const char *collection,
                             const struct dm_filter *key, size_t n_key, struct member m,
                             struct dm_error *err)
{
    m.c = c;
    m.collection = collection;
    m.who = key[0].str;
    return change(c, collection, key, n_key, set_member, &m, err);
}

static enum dm_code bind_endpoint(struct carrying *c, const struct dm_filter *api,
                                  const struct dm_filter key[KEY_MAX], struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *found = NULL;
    enum dm_code rc = dm_documents_find(c->d, "apis", api, 2, &found, NULL, err);

    if (rc != DM_OK || text_of(found, "api_id").len == 0)
        return rc == DM_NOT_FOUND ? DM_OK : rc; /* of no API: stays as it is, and is not served */
    return set_text(c, "endpoints", key, KEY_MAX,
                    (struct member){.name = "api_id", .value = text_of(found, "api_id")}, err);
}

static enum dm_code carry_endpoint(void *ctx, const struct dm_json *doc, struct dm_error *err)
{
    struct carrying *c = ctx;
    const struct dm_filter key[KEY_MAX] = {
        DM_WHERE("api_name", text_of(doc, "api_name")),
        DM_WHERE("api_version", text_of(doc, "api_version")),
        DM_WHERE("endpoint_method", text_of(doc, "endpoint_method")),
        DM_WHERE("endpoint_uri", text_of(doc, "endpoint_uri")),
    };
    enum dm_code rc = DM_OK;

    if (text_of(doc, "endpoint_id").len == 0) {
        char id[DM_UUID_LEN + 1];
        dm_random_uuid(id);
        rc = set_text(c, "endpoints", key, KEY_MAX,
                      (struct member){.name = "endpoint_id", .value = dm_view_of(id)}, err);
    }
    if (rc == DM_OK && text_of(doc, "api_id").len == 0)
        rc = bind_endpoint(c, key, key, err);
    return rc;
}

static enum dm_code carry_api(void *ctx, const struct dm_json *doc, struct dm_error *err)
{
    struct carrying *c = ctx;
    const struct dm_filter key[] = {
        DM_WHERE("api_name", text_of(doc, "api_name")),
        DM_WHERE("api_version", text_of(doc, "api_version")),
    };
    enum dm_code rc = clean_lists(c, "apis", doc, key, DM_COUNT_OF(key), err);

    if (rc == DM_OK && text_of(doc, "api_id").len == 0) {
        char id[DM_UUID_LEN + 1];
        dm_random_uuid(id);
        rc = set_text(c, "apis", key, DM_COUNT_OF(key),
                      (struct member){.name = "api_id", .value = dm_view_of(id)}, err);
    }
    if (rc == DM_OK && text_of(doc, "api_path").len == 0) {
        struct dm_buf path;
        dm_buf_init(&path, PATH_CAP);
        dm_buf_add_byte(&path, '/');
        dm_buf_add(&path, key[0].str);
        dm_buf_add_byte(&path, '/');
        dm_buf_add(&path, key[1].str);
        rc = set_text(c, "apis", key, DM_COUNT_OF(key),
                      (struct member){.name = "api_path", .value = dm_buf_view(&path)}, err);
        dm_buf_done(&path);
    }
    return rc;
}

static enum dm_code carry_settings(void *ctx, const struct dm_json *doc, struct dm_error *err)
{
    struct carrying *c = ctx;
    const struct dm_filter key = DM_WHERE("type", text_of(doc, "type"));

    return clean_lists(c, "settings", doc, &key, 1, err);
}

/* --- revocations ---
 * {type: "revoke_all" | "jti", username, jti, expires_at}; ours have an id and no type. */

/* A number, or a date as BSON's are read: with milliseconds. 0: for ever. */
static int64_t seconds_of(const struct dm_json *moment)
{
    const dm_view text = dm_json_str(moment);
    char iso[DM_ISO_LEN + 1];
    dm_time wall;
    double n;

    if (text.len >= DM_ISO_LEN - 1) {
        snprintf(iso, sizeof(iso), "%.*sZ", DM_ISO_LEN - 1, text.ptr);
        return dm_time_from_iso(dm_view_of(iso), &wall) ? wall / DM_SEC + 1 : 0;
    }
    n = dm_json_f64(moment, 0);
    return n > 0 && n < (double)(INT64_MAX / DM_SEC) ? (int64_t)n + 1 : 0; /* rounded up */
}

static enum dm_code carry_revocation(void *ctx, const struct dm_json *doc, struct dm_error *err)
{
    struct carrying *c = ctx;
    const dm_view type = text_of(doc, "type"), username = text_of(doc, "username"),
                  jti = text_of(doc, "jti");
    const struct dm_filter old[] = {DM_WHERE("type", type), DM_WHERE("username", username),
                                    DM_WHERE("jti", jti)};
    const bool one = dm_view_eq(type, DM_LIT("jti"));
    DM_DEFER(dm_json_freep) struct dm_json *fresh = NULL;
    uint64_t deleted;
    enum dm_code rc;

    if (username.len == 0 || (one ? jti.len == 0 : !dm_view_eq(type, DM_LIT("revoke_all"))))
        return DM_OK; /* one of ours, or nobody's */
    fresh = adm_revocation_doc(username, one ? jti : DM_LIT(""),
                               one ? seconds_of(dm_json_get(doc, DM_LIT("expires_at"))) : 0);
    rc = dm_documents_insert(c->d, "revocations", fresh, err);
    if (rc != DM_OK && rc != DM_EXISTS)
        return rc;
    tell(c, "revocations", username, "rewritten", one ? jti : type);
    return dm_documents_delete(c->d, "revocations", old, one ? 3 : 2, &deleted, err);
}

/* --- rules that this release does not enforce (docs/limits.md): never in silence --- */

static enum dm_code tell_unenforced(struct dm_documents *d, struct dm_error *err)
{
    static const struct {
        const char *collection, *flag; /* flag: only those in which it is true; NULL: all */
    } rules[] = {{"endpoint_validations", "validation_enabled"}, {"user_tier_assignments", NULL}};
    enum dm_code rc = DM_OK;

    for (size_t i = 0; rc == DM_OK && i < DM_COUNT_OF(rules); i++) {
        const struct dm_filter on = {.field = rules[i].flag, .kind = DM_JSON_BOOL, .num = 1};
        uint64_t n = 0;
        rc = dm_documents_count(d, rules[i].collection, &on, rules[i].flag != NULL, &n, err);
        if (rc == DM_OK && n > 0)
            DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "documents.not_enforced",
                   DM_FC("collection", rules[i].collection), DM_FI("count", (int64_t)n));
    }
    return rc;
}

enum dm_code adm_carry_over(struct dm_documents *d, uint64_t *ret_changed, struct dm_error *err)
{
    static const struct {
        const char *collection;
        dm_documents_each_fn carry;
    } kinds[] = {
        {"settings", carry_settings},
        {"apis", carry_api}, /* before the endpoints that are bound to them */
        {"endpoints", carry_endpoint},
        {"revocations", carry_revocation},
    };
    struct carrying c = {.d = d};
    enum dm_code rc = DM_OK;

    for (size_t i = 0; rc == DM_OK && i < DM_COUNT_OF(kinds); i++)
        rc = dm_documents_each(d, kinds[i].collection, kinds[i].carry, &c, err);
    if (rc == DM_OK)
        rc = tell_unenforced(d, err);
    if (rc == DM_OK)
        *ret_changed = c.changed;
    return rc;
}
