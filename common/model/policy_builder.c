/* From projections to snapshots. What did not change is shared: an API's own fields (core), each endpoint,
 * the compiled API with its trie (view) and the tables are counted objects, rebuilt only when something of
 * theirs changed. A builder belongs to one loader; what it builds belongs to all readers. */
#include <stdatomic.h>
#include <string.h>
#include "base/assert.h"
#include "base/log.h"
#include "base/map.h"
#include "model/policy_pattern.h"

struct counted { /* first member of every shared object */
    _Atomic unsigned refs;
    struct dm_policy_storage *storage;
};

struct core { /* an API without its endpoints */
    struct counted counted;
    struct dm_policy_api api;
    dm_view id;
};

struct endpoint {
    struct counted counted;
    struct dm_policy_endpoint value;
    dm_view api_id;
    struct endpoint *next; /* of one API, in the builder only */
};

struct routing {
    struct counted counted;
    struct dm_policy_routing value;
};

struct role {
    struct counted counted;
    struct dm_policy_role value;
};

struct table { /* an immutable map of one noun, shared by snapshots */
    _Atomic unsigned refs;
    struct dm_map *map;
    void (*unref)(void *value);
};

struct dm_policy_tables {
    struct table *apis, *roles, *routings;
    struct lists *lists;
    uint32_t slots;
};

struct lists { /* the security settings' address sets */
    _Atomic unsigned refs;
    struct dm_policy_security value;
};

/* --- counted objects --- */

static void *new_counted(struct dm_policy_storage *s, size_t size)
{
    struct counted *c = policy_take(s, size);

    atomic_store(&c->refs, 1);
    c->storage = s;
    return c;
}

static void ref(void *object)
{
    atomic_fetch_add_explicit(&((struct counted *)object)->refs, 1, memory_order_relaxed);
}

static bool last(_Atomic unsigned *refs)
{
    return atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}

static void unref(void *object)
{
    struct counted *c = object;

    if (c != NULL && last(&c->refs))
        policy_storage_free(c->storage);
}

static void core_unref(void *object)
{
    struct core *c = object;

    if (c == NULL || !last(&c->counted.refs))
        return;
    dm_address_set_free(c->api.ip_whitelist);
    dm_address_set_free(c->api.ip_blacklist);
    dm_json_free(c->api.request_transform);
    dm_json_free(c->api.response_transform);
    policy_storage_free(c->counted.storage);
}

/* A compiled API in force: a copy of its core, its endpoints and their trie; holds what it shares. */
struct view {
    struct dm_policy_api api; /* first: what readers get */
    struct core *core;
    struct endpoint **held;
};

static void view_unref(void *value)
{
    struct view *v = value;

    if (v == NULL || !last(&v->api.refs_))
        return;
    for (size_t i = 0; i < v->api.n_endpoints; i++)
        unref(v->held[i]);
    core_unref(v->core);
    policy_storage_free(v->api.storage_);
}

static void view_ref(struct view *v)
{
    atomic_fetch_add_explicit(&v->api.refs_, 1, memory_order_relaxed);
}

/* --- tables --- */

static struct table *table_new(void (*unref_value)(void *value))
{
    struct table *t = DM_NEW(struct table);

    atomic_store(&t->refs, 1);
    t->map = dm_map_new(unref_value);
    t->unref = unref_value;
    return t;
}

static struct table *table_ref(struct table *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

static void table_unref(struct table *t)
{
    if (t == NULL || !last(&t->refs))
        return;
    dm_map_free(t->map);
    dm_mem_free(t);
}

static void lists_unref(struct lists *l)
{
    if (l == NULL || !last(&l->refs))
        return;
    dm_address_set_free(l->value.whitelist);
    dm_address_set_free(l->value.blacklist);
    dm_address_set_free(l->value.proxies);
    dm_mem_free(l);
}

/* --- the builder --- */

struct api_state { /* one API as the builder knows it, possibly only by endpoints that came first */
    struct core *core;
    struct endpoint *endpoints; /* newest first */
    struct view *view;          /* NULL: to be compiled */
};

struct dm_policy_builder {
    struct dm_map *apis;      /* api_id -> struct api_state */
    struct dm_map *endpoints; /* endpoint_id -> struct endpoint (borrowed from its api_state) */
    struct dm_map *roles, *routings;
    struct dm_map *slots; /* "kind:id" -> slot + 1: never given to another id, so turns and circuits are
                             never inherited; one small entry per object that ever was */
    uint32_t n_slots;
    struct lists *lists;
    struct table *api_table, *role_table, *routing_table; /* NULL: to be rebuilt */
};

static void api_state_free(void *value)
{
    struct api_state *a = value;

    core_unref(a->core);
    view_unref(a->view);
    while (a->endpoints != NULL) {
        struct endpoint *e = a->endpoints;
        a->endpoints = e->next;
        unref(e);
    }
    dm_mem_free(a);
}

struct dm_policy_builder *dm_policy_builder_new(void)
{
    struct dm_policy_builder *b = DM_NEW(struct dm_policy_builder);

    b->apis = dm_map_new(api_state_free);
    b->endpoints = dm_map_new(NULL);
    b->roles = dm_map_new(unref);
    b->routings = dm_map_new(unref);
    b->slots = dm_map_new(NULL);
    b->lists = DM_NEW(struct lists);
    atomic_store(&b->lists->refs, 1);
    return b;
}

void dm_policy_builder_free(struct dm_policy_builder *b)
{
    if (b == NULL)
        return;
    table_unref(b->api_table);
    table_unref(b->role_table);
    table_unref(b->routing_table);
    lists_unref(b->lists);
    dm_map_free(b->endpoints);
    dm_map_free(b->apis);
    dm_map_free(b->roles);
    dm_map_free(b->routings);
    dm_map_free(b->slots);
    dm_mem_free(b);
}

static uint32_t slot_of(struct dm_policy_builder *b, const char *kind, dm_view id)
{
    struct dm_buf key;
    uintptr_t slot;

    dm_buf_init(&key, id.len + 32); /* the kind has a dozen letters at most */
    dm_buf_addf(&key, "%s:", kind);
    dm_buf_add(&key, id);
    slot = (uintptr_t)dm_map_get(b->slots, dm_buf_view(&key));
    if (slot == 0) {
        slot = ++b->n_slots;
        dm_map_put(b->slots, dm_buf_view(&key), (void *)slot);
    }
    dm_buf_done(&key);
    return (uint32_t)(slot - 1);
}

static struct api_state *state_of(struct dm_policy_builder *b, dm_view api_id)
{
    struct api_state *a = dm_map_get(b->apis, api_id);

    if (a == NULL) {
        a = DM_NEW(struct api_state);
        dm_map_put(b->apis, api_id, a);
    }
    return a;
}

static void touch(struct dm_policy_builder *b, struct api_state *a)
{
    view_unref(a->view);
    a->view = NULL;
    table_unref(b->api_table);
    b->api_table = NULL;
}

/* --- compiling one noun each --- */

static bool flag(const struct dm_json *doc, const char *name, bool fallback)
{
    return dm_json_bool(dm_json_get(doc, dm_view_of(name)), fallback);
}

static dm_time seconds(const struct dm_json *doc, const char *name)
{
    double s = dm_json_f64(dm_json_get(doc, dm_view_of(name)), 0);

    return s > 0 && s <= 600 ? (dm_time)(s * (double)DM_SEC) : 0; /* the model's range (platform-apis.md §1.6) */
}

static enum dm_code addresses(const struct dm_json *list, struct dm_address_set **ret, struct dm_error *err)
{
    size_t n = dm_json_len(list), i = 0;
    dm_view *texts;
    enum dm_code rc;

    *ret = NULL;
    if (n == 0)
        return DM_OK;
    texts = dm_mem_array(n, sizeof(*texts));
    for (struct dm_json *item = dm_json_first(list); item != NULL; item = dm_json_next(item))
        texts[i++] = dm_json_str(item);
    rc = dm_address_set_new(texts, n, ret, err);
    dm_mem_free(texts);
    return rc;
}

static int store_down(const struct dm_json *doc)
{
    dm_view word = dm_json_str(dm_json_get(doc, DM_LIT("api_limit_on_store_down")));

    if (dm_view_eq(word, DM_LIT("deny")))
        return DM_LIMIT_ON_STORE_DOWN_DENY;
    if (dm_view_eq(word, DM_LIT("allow")))
        return DM_LIMIT_ON_STORE_DOWN_ALLOW;
    if (dm_view_eq(word, DM_LIT("local")))
        return DM_LIMIT_ON_STORE_DOWN_LOCAL;
    return -1;
}

static struct dm_json *object_of(const struct dm_json *doc, const char *name)
{
    const struct dm_json *o = dm_json_get(doc, dm_view_of(name));

    return dm_json_is(o, DM_JSON_OBJECT) && dm_json_len(o) > 0 ? dm_json_clone(o) : NULL;
}

static void fill_switches(const struct dm_json *doc, struct dm_policy_api *api)
{
    const struct dm_json *trust = dm_json_get(doc, DM_LIT("api_trust_x_forwarded_for"));
    int64_t retries = dm_json_i64(dm_json_get(doc, DM_LIT("api_allowed_retry_count")), 0);

    api->active = flag(doc, "active", true);
    api->is_public = flag(doc, "api_public", false);
    api->auth_required = flag(doc, "api_auth_required", true);
    api->credits_enabled = flag(doc, "api_credits_enabled", false);
    api->retry_non_idempotent = flag(doc, "api_retry_non_idempotent", false);
    api->strict_envelope = flag(doc, "api_strict_envelope", false);
    api->is_crud = flag(doc, "api_is_crud", false);
    api->trust_xff = dm_json_is(trust, DM_JSON_BOOL) ? dm_json_bool(trust, false) : -1;
    api->retries = retries > 0 && retries < 1000 ? (unsigned)retries : (retries > 0 ? 1000 : 0);
    api->limit_on_store_down = store_down(doc);
    api->ip_whitelist_mode = dm_view_eq_nocase(
        dm_view_trim(dm_json_str(dm_json_get(doc, DM_LIT("api_ip_mode")))), DM_LIT("whitelist"));
    api->connect_timeout = seconds(doc, "api_connect_timeout");
    api->read_timeout = seconds(doc, "api_read_timeout");
    api->write_timeout = seconds(doc, "api_write_timeout");
    api->pool_timeout = seconds(doc, "api_pool_timeout");
}

static void fill_names(struct dm_policy_storage *s, struct core *c, const struct dm_json *doc)
{
    struct dm_policy_api *api = &c->api;
    char *path;

    api->api_id = c->id;
    api->name = policy_member(s, doc, "api_name");
    api->version = policy_member(s, doc, "api_version");
    path = policy_take(s, api->name.len + api->version.len + 3);
    path[0] = '/';
    memcpy(path + 1, api->name.ptr, api->name.len);
    path[1 + api->name.len] = '/';
    memcpy(path + 2 + api->name.len, api->version.ptr, api->version.len);
    api->path = dm_view_make(path, api->name.len + api->version.len + 2);
    api->nv = dm_view_sub(api->path, 1, api->path.len);
    api->auth_swap = policy_member(s, doc, "api_authorization_field_swap");
    api->credit_group = policy_member(s, doc, "api_credit_group");
}

static void fill_lists(struct dm_policy_storage *s, struct dm_policy_api *api, const struct dm_json *doc)
{
    api->headers = policy_sorted(s, dm_json_get(doc, DM_LIT("api_allowed_headers")), true);
    api->headers_all = dm_strs_has(&api->headers, DM_LIT("*"));
    api->roles = policy_sorted(s, dm_json_get(doc, DM_LIT("api_allowed_roles")), false);
    api->groups = policy_sorted(s, dm_json_get(doc, DM_LIT("api_allowed_groups")), false);
    policy_pool_build(s, dm_json_get(doc, DM_LIT("api_servers")), api->slot, &api->pool);
    policy_cors_build(s, doc, &api->cors);
}

static enum dm_code core_build(struct dm_policy_builder *b, dm_view id, const struct dm_json *doc,
                               struct core **ret, struct dm_error *err)
{
    struct dm_policy_storage *s;
    struct core *c;

    if (dm_json_str(dm_json_get(doc, DM_LIT("api_name"))).len == 0 ||
        dm_json_str(dm_json_get(doc, DM_LIT("api_version"))).len == 0)
        return DM_FAIL(err, DM_INVALID, ERR_NONE, "could not compile API \"%.*s\": no name or version", DM_FMT(id));
    s = policy_storage_new();
    c = new_counted(s, sizeof(*c));
    c->id = policy_text(s, id);
    c->api.slot = slot_of(b, "api", id);
    fill_names(s, c, doc);
    fill_switches(doc, &c->api);
    fill_lists(s, &c->api, doc);
    if (addresses(dm_json_get(doc, DM_LIT("api_ip_whitelist")), &c->api.ip_whitelist, err) != DM_OK ||
        addresses(dm_json_get(doc, DM_LIT("api_ip_blacklist")), &c->api.ip_blacklist, err) != DM_OK) {
        core_unref(c);
        return DM_INVALID;
    }
    c->api.request_transform = object_of(doc, "api_request_transform");
    c->api.response_transform = object_of(doc, "api_response_transform");
    *ret = c;
    return DM_OK;
}

static enum dm_code put_api(struct dm_policy_builder *b, dm_view id, const struct dm_json *doc, struct dm_error *err)
{
    struct core *core = NULL;
    struct api_state *a;

    if (doc != NULL && core_build(b, id, doc, &core, err) != DM_OK)
        return DM_INVALID;
    a = state_of(b, id);
    core_unref(a->core);
    a->core = core;
    touch(b, a);
    if (core == NULL && a->endpoints == NULL)
        dm_map_remove(b->apis, id);
    return DM_OK;
}

static enum dm_code endpoint_build(struct dm_policy_builder *b, dm_view id, const struct dm_json *doc,
                                   struct endpoint **ret, struct dm_error *err)
{
    dm_view api_id = dm_json_str(dm_json_get(doc, DM_LIT("api_id")));
    struct dm_policy_storage *s;
    struct endpoint *e;
    struct dm_policy_endpoint *v;

    if (api_id.len == 0 || dm_json_str(dm_json_get(doc, DM_LIT("endpoint_method"))).len == 0 ||
        dm_json_str(dm_json_get(doc, DM_LIT("endpoint_uri"))).len == 0)
        return DM_FAIL(err, DM_INVALID, ERR_NONE, "could not compile endpoint \"%.*s\": no API, method or URI",
                       DM_FMT(id));
    s = policy_storage_new();
    e = new_counted(s, sizeof(*e));
    v = &e->value;
    e->api_id = policy_text(s, api_id);
    v->endpoint_id = policy_text(s, id);
    v->method = policy_member(s, doc, "endpoint_method");
    v->uri = policy_member(s, doc, "endpoint_uri");
    v->client_uri = policy_member(s, doc, "client_uri");
    v->wildcard = dm_view_ends(v->client_uri.len > 0 ? v->client_uri : v->uri, DM_LIT("/*"));
    policy_pool_build(s, dm_json_get(doc, DM_LIT("endpoint_servers")), slot_of(b, "endpoint", id), &v->pool);
    if (v->client_uri.len > 0 && !dm_view_eq(v->client_uri, v->uri))
        v->rewrite = policy_template_build(s, v->client_uri, v->uri);
    *ret = e;
    return DM_OK;
}

static void remove_endpoint(struct dm_policy_builder *b, dm_view id)
{
    struct endpoint *e = dm_map_get(b->endpoints, id);
    struct endpoint **at;
    struct api_state *a;

    if (e == NULL)
        return;
    a = dm_map_get(b->apis, e->api_id);
    for (at = &a->endpoints; *at != e; at = &(*at)->next)
        DM_ASSERT(*at != NULL);
    *at = e->next;
    touch(b, a);
    dm_map_remove(b->endpoints, id);
    if (a->core == NULL && a->endpoints == NULL)
        dm_map_remove(b->apis, e->api_id);
    unref(e);
}

static enum dm_code put_endpoint(struct dm_policy_builder *b, dm_view id, const struct dm_json *doc,
                                 struct dm_error *err)
{
    struct endpoint *e = NULL;
    struct api_state *a;

    if (doc != NULL && endpoint_build(b, id, doc, &e, err) != DM_OK)
        return DM_INVALID;
    remove_endpoint(b, id);
    if (e == NULL)
        return DM_OK;
    a = state_of(b, e->api_id);
    e->next = a->endpoints;
    a->endpoints = e;
    dm_map_put(b->endpoints, id, e);
    touch(b, a);
    return DM_OK;
}

static enum dm_code put_role(struct dm_policy_builder *b, dm_view id, const struct dm_json *doc)
{
    table_unref(b->role_table);
    b->role_table = NULL;
    if (doc == NULL) {
        dm_map_remove(b->roles, id);
        return DM_OK;
    }
    struct dm_policy_storage *s = policy_storage_new();
    struct role *r = new_counted(s, sizeof(*r));
    dm_view name = dm_view_trim(id);

    r->value.name = policy_text(s, id);
    r->value.platform_admin = flag(doc, "platform_admin", false) || dm_view_eq_nocase(name, DM_LIT("admin")) ||
                              dm_view_eq_nocase(name, DM_LIT("platform admin"));
    r->value.manage_gateway = flag(doc, "manage_gateway", false);
    dm_map_put(b->roles, id, r);
    return DM_OK;
}

static enum dm_code put_routing(struct dm_policy_builder *b, dm_view id, const struct dm_json *doc)
{
    table_unref(b->routing_table);
    b->routing_table = NULL;
    if (doc == NULL) {
        dm_map_remove(b->routings, id);
        return DM_OK;
    }
    struct dm_policy_storage *s = policy_storage_new();
    struct routing *r = new_counted(s, sizeof(*r));

    r->value.client_key = policy_text(s, id);
    policy_pool_build(s, dm_json_get(doc, DM_LIT("routing_servers")), slot_of(b, "routing", id), &r->value.pool);
    dm_map_put(b->routings, id, r);
    return DM_OK;
}

static enum dm_code put_security(struct dm_policy_builder *b, const struct dm_json *doc, struct dm_error *err)
{
    struct lists *l = DM_NEW(struct lists);

    atomic_store(&l->refs, 1);
    if (addresses(dm_json_get(doc, DM_LIT("ip_whitelist")), &l->value.whitelist, err) != DM_OK ||
        addresses(dm_json_get(doc, DM_LIT("ip_blacklist")), &l->value.blacklist, err) != DM_OK ||
        addresses(dm_json_get(doc, DM_LIT("xff_trusted_proxies")), &l->value.proxies, err) != DM_OK) {
        lists_unref(l);
        return DM_INVALID;
    }
    l->value.trust_xff = flag(doc, "trust_x_forwarded_for", false);
    l->value.localhost_bypass = flag(doc, "allow_localhost_bypass", false);
    lists_unref(b->lists);
    b->lists = l;
    return DM_OK;
}

enum dm_code dm_policy_builder_put(struct dm_policy_builder *b, dm_view kind, dm_view id,
                                   const struct dm_json *doc, struct dm_error *err)
{
    if (doc != NULL && !dm_json_is(doc, DM_JSON_OBJECT))
        return DM_FAIL(err, DM_INVALID, ERR_NONE, "could not compile %.*s \"%.*s\": not an object", DM_FMT(kind),
                       DM_FMT(id));
    if (dm_view_eq(kind, DM_LIT("api")))
        return put_api(b, id, doc, err);
    if (dm_view_eq(kind, DM_LIT("endpoint")))
        return put_endpoint(b, id, doc, err);
    if (dm_view_eq(kind, DM_LIT("role")))
        return put_role(b, id, doc);
    if (dm_view_eq(kind, DM_LIT("routing")))
        return put_routing(b, id, doc);
    if (dm_view_eq(kind, DM_LIT("security_settings")))
        return put_security(b, doc, err);
    return DM_FAIL(err, DM_INVALID, ERR_NONE, "unknown kind of policy object \"%.*s\"", DM_FMT(kind));
}

/* --- building a snapshot --- */

static struct view *view_build(struct api_state *a)
{
    struct dm_policy_storage *s = policy_storage_new();
    struct view *v = policy_take(s, sizeof(*v));
    struct dm_policy_endpoint *values;
    size_t n = 0;

    v->api = a->core->api;
    atomic_store(&v->api.refs_, 1);
    v->api.storage_ = s;
    v->core = a->core;
    ref(a->core);
    for (struct endpoint *e = a->endpoints; e != NULL; e = e->next)
        n++;
    v->api.n_endpoints = n;
    v->held = policy_take(s, (n + 1) * sizeof(struct endpoint *));
    v->api.endpoints = values = policy_take(s, (n + 1) * sizeof(*values));
    for (struct endpoint *e = a->endpoints; e != NULL; e = e->next) {
        n--; /* newest first in the list: back to order of definition */
        ref(e);
        v->held[n] = e;
        values[n] = e->value;
    }
    v->api.trie_ = policy_trie_build(s, values, v->api.n_endpoints);
    return v;
}

static bool add_api(void *ctx, dm_view id, void *value)
{
    struct table *t = ctx;
    struct api_state *a = value;

    (void)id;
    if (a->core == NULL) /* endpoints whose API has not come (yet) */
        return true;
    if (a->view == NULL)
        a->view = view_build(a);
    view_ref(a->view);
    dm_map_put(t->map, a->view->api.nv, a->view);
    return true;
}

static bool add_shared(void *ctx, dm_view id, void *value)
{
    struct table *t = ctx;

    ref(value);
    dm_map_put(t->map, id, value);
    return true;
}

static void refresh(struct table **t, const struct dm_map *from, dm_map_each_fn add, void (*unref_value)(void *))
{
    if (*t != NULL)
        return;
    *t = table_new(unref_value);
    dm_map_each(from, add, *t);
}

struct dm_policy *dm_policy_builder_build(struct dm_policy_builder *b, uint64_t generation, dm_time wall)
{
    struct dm_policy *p = DM_NEW(struct dm_policy);
    struct dm_policy_tables *t = DM_NEW(struct dm_policy_tables);

    refresh(&b->api_table, b->apis, add_api, view_unref);
    refresh(&b->role_table, b->roles, add_shared, unref);
    refresh(&b->routing_table, b->routings, add_shared, unref);
    t->apis = table_ref(b->api_table);
    t->roles = table_ref(b->role_table);
    t->routings = table_ref(b->routing_table);
    t->lists = b->lists;
    atomic_fetch_add_explicit(&b->lists->refs, 1, memory_order_relaxed);
    t->slots = b->n_slots;
    atomic_store(&p->refs_, 1);
    p->generation = generation;
    p->loaded_wall = wall;
    p->security = b->lists->value;
    p->tables_ = t;
    return p;
}

/* --- reading --- */

struct dm_policy *dm_policy_ref(struct dm_policy *p)
{
    atomic_fetch_add_explicit(&p->refs_, 1, memory_order_relaxed);
    return p;
}

void dm_policy_unref(struct dm_policy *p)
{
    if (p == NULL || !last(&p->refs_))
        return;
    table_unref(p->tables_->apis);
    table_unref(p->tables_->roles);
    table_unref(p->tables_->routings);
    lists_unref(p->tables_->lists);
    dm_mem_free(p->tables_);
    dm_mem_free(p);
}

enum { NV_MAX = 640 }; /* 64 and 8 characters of up to 4 bytes, escaped input cut off: longer names are nobody's */

const struct dm_policy_api *dm_policy_api(const struct dm_policy *p, dm_view name, dm_view version)
{
    char nv[NV_MAX];

    if (name.len + version.len + 1 > sizeof(nv))
        return NULL;
    memcpy(nv, name.ptr, name.len);
    nv[name.len] = '/';
    memcpy(nv + name.len + 1, version.ptr, version.len);
    return dm_map_get(p->tables_->apis->map, dm_view_make(nv, name.len + 1 + version.len));
}

/* Numbers inside a version compare as numbers: v10 is higher than v9. */
static int version_order(dm_view a, dm_view b)
{
    size_t i = 0, k = 0;

    while (i < a.len && k < b.len) {
        size_t x = i, y = k;
        uint64_t m = 0, n = 0;

        while (x < a.len && a.ptr[x] >= '0' && a.ptr[x] <= '9')
            x++;
        while (y < b.len && b.ptr[y] >= '0' && b.ptr[y] <= '9')
            y++;
        if (x > i && y > k && dm_parse_u64(dm_view_sub(a, i, x - i), UINT64_MAX, &m) &&
            dm_parse_u64(dm_view_sub(b, k, y - k), UINT64_MAX, &n)) {
            if (m != n)
                return m < n ? -1 : 1;
            i = x;
            k = y;
        } else if (a.ptr[i] != b.ptr[k]) {
            return (unsigned char)a.ptr[i] < (unsigned char)b.ptr[k] ? -1 : 1;
        } else {
            i++;
            k++;
        }
    }
    return (i < a.len) - (k < b.len);
}

struct latest {
    dm_view name;
    const struct dm_policy_api *api;
};

static bool consider(void *ctx, dm_view nv, void *value)
{
    struct latest *l = ctx;
    const struct dm_policy_api *api = value;

    (void)nv;
    if (dm_view_eq(api->name, l->name) && (l->api == NULL || version_order(l->api->version, api->version) < 0))
        l->api = api;
    return true;
}

const struct dm_policy_api *dm_policy_api_latest(const struct dm_policy *p, dm_view name)
{
    struct latest l = {name, NULL};

    dm_map_each(p->tables_->apis->map, consider, &l);
    return l.api;
}

const struct dm_policy_role *dm_policy_role(const struct dm_policy *p, dm_view name)
{
    const struct role *r = dm_map_get(p->tables_->roles->map, name);

    return r != NULL ? &r->value : NULL;
}

const struct dm_policy_routing *dm_policy_routing(const struct dm_policy *p, dm_view client_key)
{
    const struct routing *r = dm_map_get(p->tables_->routings->map, client_key);

    return r != NULL ? &r->value : NULL;
}

size_t dm_policy_api_count(const struct dm_policy *p)
{
    return dm_map_count(p->tables_->apis->map);
}

uint32_t dm_policy_slots(const struct dm_policy *p)
{
    return p->tables_->slots;
}
