#include <stdatomic.h>

#include "model/policy_build.h"

#include "base/poison.h"

/* Roles, routings, credit definitions and the security settings: small objects found by their id.
 */

static struct policy_item *item_new(dm_view id)
{
    struct policy_item *i = DM_NEW(struct policy_item);
    atomic_init(&i->refs, 1);
    i->storage = policy_storage_new();
    i->id = policy_text(i->storage, id);
    return i;
}

struct policy_item *policy_item_ref(struct policy_item *i)
{
    atomic_fetch_add_explicit(&i->refs, 1, memory_order_relaxed);
    return i;
}

void policy_item_unref(struct policy_item *i)
{
    if (i == NULL || atomic_fetch_sub_explicit(&i->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (i->done != NULL)
        i->done(i);
    policy_storage_unref(i->storage);
    dm_mem_free(i);
}

uint64_t policy_item_hash(dm_view id)
{
    return dm_view_hash(id, 0);
}

static bool is_item(const void *item, const void *key)
{
    return dm_view_eq(((const struct policy_item *)item)->id, *(const dm_view *)key);
}

struct policy_item *policy_item_find(const struct dm_index *ix, dm_view id)
{
    return dm_index_find(ix, policy_item_hash(id), is_item, &id);
}

bool policy_admin_name(dm_view role)
{
    role = dm_view_trim(role);
    return dm_view_eq_nocase(role, DM_LIT("admin")) ||
           dm_view_eq_nocase(role, DM_LIT("platform admin"));
}

enum dm_code policy_role_compile(const struct dm_json *doc, dm_view id, struct policy_item **ret,
                                 struct dm_error *err)
{
    (void)err;
    struct policy_item *i = item_new(id);
    i->role.name = i->id;
    i->role.platform_admin =
        policy_admin_name(id) || dm_json_bool(dm_json_get(doc, DM_LIT("platform_admin")), false);
    i->role.manage_gateway = dm_json_bool(dm_json_get(doc, DM_LIT("manage_gateway")), false);
    *ret = i;
    return DM_OK;
}

static void routing_pool_unref(struct policy_item *i)
{
    policy_pool_unref(&i->routing.pool);
}

enum dm_code policy_routing_compile(const struct dm_json *doc, dm_view id, struct policy_item **ret,
                                    struct dm_error *err)
{
    (void)err;
    struct policy_item *i = item_new(id);
    i->done = routing_pool_unref;
    i->routing.client_key = i->id;
    policy_pool_build(dm_json_get(doc, DM_LIT("routing_servers")), &i->routing.pool);
    *ret = i;
    return DM_OK;
}

/* Before the end of a rotation both keys are valid, after it only the new one: so the new one is
 * sent as soon as there is a rotation (platform-apis.md §11.6). */
enum dm_code policy_credit_compile(const struct dm_json *doc, dm_view id, struct policy_item **ret,
                                   struct dm_error *err)
{
    (void)err;
    struct policy_item *i = item_new(id);
    const struct dm_json *ends = dm_json_get(doc, DM_LIT("api_key_rotation_expires"));
    bool rotates = !dm_json_is(ends, DM_JSON_NULL) &&
                   dm_json_str(dm_json_get(doc, DM_LIT("api_key_new"))).len > 0;
    i->credit.group = i->id;
    i->credit.header = policy_member(i->storage, doc, "api_key_header");
    i->credit.key = policy_member(i->storage, doc, rotates ? "api_key_new" : "api_key");
    *ret = i;
    return DM_OK;
}

enum dm_code policy_security_compile(const struct dm_json *doc, dm_view id,
                                     struct policy_item **ret, struct dm_error *err)
{
    struct policy_item *i = item_new(id);
    struct dm_policy_security *s = &i->security;
    enum dm_code rc = policy_addresses(i->storage, 0, dm_json_get(doc, DM_LIT("ip_whitelist")),
                                       &s->whitelist, err);
    if (rc == DM_OK)
        rc = policy_addresses(i->storage, 1, dm_json_get(doc, DM_LIT("ip_blacklist")),
                              &s->blacklist, err);
    if (rc == DM_OK)
        rc = policy_addresses(i->storage, 2, dm_json_get(doc, DM_LIT("xff_trusted_proxies")),
                              &s->proxies, err);
    s->trust_xff = dm_json_bool(dm_json_get(doc, DM_LIT("trust_x_forwarded_for")), false);
    s->localhost_bypass = dm_json_bool(dm_json_get(doc, DM_LIT("allow_localhost_bypass")), false);
    if (rc == DM_OK)
        *ret = i;
    else
        policy_item_unref(i);
    return rc;
}
