#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "model/policy_build.h"
#include "model/policy_pattern.h"

#include "base/poison.h"

/* From the projection of an API or an endpoint (gateway.md §29.1) to what a
 * request reads. */

/* The admin takes 0 < x <= 600; anything else is as if nothing had been said.
 */
static const double TIMEOUT_MAX_SECONDS = 600;
/* Ids are UUIDs and names at most 64 code points: this leaves room and keeps
 * the owner's id short. */
enum { POLICY_NAME_MAX = 512 };

static const struct dm_json *member(const struct dm_json *doc, const char *name)
{
    return dm_json_get(doc, dm_view_of(name));
}

static bool flag(const struct dm_json *doc, const char *name, bool absent)
{
    return dm_json_bool(member(doc, name), absent);
}

static dm_time seconds(const struct dm_json *doc, const char *name)
{
    double x = dm_json_f64(member(doc, name), 0);
    return x > 0 && x <= TIMEOUT_MAX_SECONDS ? (dm_time)(x * (double)DM_SEC) : 0;
}

static int on_store_down(dm_view word)
{
    static const dm_view words[] = {{"deny", 4}, {"allow", 5}, {"local", 5}};
    static const int values[] = {DM_LIMIT_ON_STORE_DOWN_DENY, DM_LIMIT_ON_STORE_DOWN_ALLOW,
                                 DM_LIMIT_ON_STORE_DOWN_LOCAL};
    for (size_t i = 0; i < DM_COUNT_OF(words); i++) {
        if (dm_view_eq(word, words[i]))
            return values[i];
    }
    return -1;
}

static void read_flags(const struct dm_json *doc, struct dm_policy_api *a)
{
    const struct dm_json *trust = member(doc, "api_trust_x_forwarded_for");
    a->active = flag(doc, "active", true);
    a->is_public = flag(doc, "api_public", false);
    a->auth_required = flag(doc, "api_auth_required", true);
    a->credits_enabled = flag(doc, "api_credits_enabled", false);
    a->retry_non_idempotent = flag(doc, "api_retry_non_idempotent", false);
    a->strict_envelope = flag(doc, "api_strict_envelope", false);
    a->is_crud = flag(doc, "api_is_crud", false);
    a->trust_xff = dm_json_is(trust, DM_JSON_BOOL) ? dm_json_bool(trust, false) : -1;
}

static void read_numbers(const struct dm_json *doc, struct dm_policy_api *a)
{
    int64_t retries = dm_json_i64(member(doc, "api_allowed_retry_count"), 0);
    a->retries = retries <= 0 ? 0 : retries > INT32_MAX ? INT32_MAX : (unsigned)retries;
    a->limit_on_store_down = on_store_down(dm_json_str(member(doc, "api_limit_on_store_down")));
    a->connect_timeout = seconds(doc, "api_connect_timeout");
    a->read_timeout = seconds(doc, "api_read_timeout");
    a->write_timeout = seconds(doc, "api_write_timeout");
    a->pool_timeout = seconds(doc, "api_pool_timeout");
}

/* "/name/version", of which name, version and "name/version" are pieces. */
static void read_names(const struct dm_json *doc, dm_view id, struct dm_policy_api *a)
{
    struct dm_policy_storage *s = a->storage_;
    dm_view name = dm_json_str(member(doc, "api_name"));
    struct dm_buf path;
    dm_buf_init(&path, SIZE_MAX / 2);
    dm_buf_add_byte(&path, '/');
    dm_buf_add(&path, name);
    dm_buf_add_byte(&path, '/');
    dm_buf_add(&path, dm_json_str(member(doc, "api_version")));
    a->path = policy_text(s, dm_buf_view(&path));
    a->nv = dm_view_sub(a->path, 1, SIZE_MAX);
    a->name = dm_view_sub(a->nv, 0, name.len);
    a->version = dm_view_sub(a->nv, name.len + 1, SIZE_MAX);
    a->api_id = policy_text(s, id);
    dm_buf_done(&path);
}

static void read_lists(const struct dm_json *doc, struct dm_policy_api *a)
{
    struct dm_policy_storage *s = a->storage_;
    a->headers = policy_sorted(s, member(doc, "api_allowed_headers"), true);
    a->headers_all = dm_strs_has(&a->headers, DM_LIT("*"));
    a->roles = policy_sorted(s, member(doc, "api_allowed_roles"), false);
    a->groups = policy_sorted(s, member(doc, "api_allowed_groups"), false);
    a->auth_swap = policy_member(s, doc, "api_authorization_field_swap");
    a->credit_group = policy_member(s, doc, "api_credit_group");
    policy_pool_build(member(doc, "api_servers"), &a->pool);
    policy_cors_build(s, doc, &a->cors);
}

static struct dm_json *transform(struct dm_policy_storage *s, size_t which, const struct dm_json *j)
{
    if (!dm_json_is(j, DM_JSON_OBJECT) || dm_json_len(j) == 0)
        return NULL;
    policy_owned(s)->trees[which] = dm_json_clone(j);
    return s->owned->trees[which];
}

static enum dm_code read_addresses(const struct dm_json *doc, struct dm_policy_api *a,
                                   struct dm_error *err)
{
    dm_view mode = dm_view_trim(dm_json_str(member(doc, "api_ip_mode")));
    a->ip_whitelist_mode = dm_view_eq_nocase(mode, DM_LIT("whitelist"));
    enum dm_code rc =
        policy_addresses(a->storage_, 0, member(doc, "api_ip_whitelist"), &a->ip_whitelist, err);
    if (rc == DM_OK)
        rc = policy_addresses(a->storage_, 1, member(doc, "api_ip_blacklist"), &a->ip_blacklist,
                              err);
    return rc;
}

enum dm_code policy_api_compile(const struct dm_json *doc, dm_view id, struct dm_policy_api **ret,
                                struct dm_error *err)
{
    dm_view own_id = dm_json_str(member(doc, "api_id"));
    dm_view name = dm_json_str(member(doc, "api_name")),
            version = dm_json_str(member(doc, "api_version"));
    if (name.len == 0 || version.len == 0 || name.len > POLICY_NAME_MAX ||
        version.len > POLICY_NAME_MAX || id.len > POLICY_NAME_MAX)
        return DM_FAIL(err, DM_INVALID, ERR_NONE,
                       "could not read API: id, name or version absent or over %d "
                       "bytes",
                       POLICY_NAME_MAX);
    if (!dm_view_eq(own_id, id)) /* endpoints find it by api_id: another name would lose them */
        return DM_FAIL(err, DM_INVALID, ERR_NONE, "could not read API: published under another id");
    struct dm_policy_api *a = DM_NEW(struct dm_policy_api);
    atomic_init(&a->refs_, 1);
    a->storage_ = policy_storage_new();
    read_names(doc, id, a);
    read_flags(doc, a);
    read_numbers(doc, a);
    read_lists(doc, a);
    a->request_transform = transform(a->storage_, 0, member(doc, "api_request_transform"));
    a->response_transform = transform(a->storage_, 1, member(doc, "api_response_transform"));
    enum dm_code rc = read_addresses(doc, a, err);
    if (rc == DM_OK)
        *ret = a;
    else
        policy_api_unref(a);
    return rc;
}

struct dm_policy_api *policy_api_ref(struct dm_policy_api *a)
{
    atomic_fetch_add_explicit(&a->refs_, 1, memory_order_relaxed);
    return a;
}

void policy_api_unref(struct dm_policy_api *a)
{
    if (a == NULL || atomic_fetch_sub_explicit(&a->refs_, 1, memory_order_acq_rel) != 1)
        return;
    policy_trie_unref(a->trie_);
    policy_pool_unref(&a->pool);
    policy_storage_unref(a->storage_);
    dm_mem_free(a);
}

void policy_api_set_trie(struct dm_policy_api *own, struct dm_policy_trie *trie)
{
    DM_REQUIRE(own->trie_ == NULL);
    own->trie_ = trie == NULL ? NULL : policy_trie_ref(trie);
    own->n_endpoints = trie == NULL ? 0 : trie->n_endpoints;
    own->endpoints = trie == NULL ? NULL : trie->endpoints;
}

struct dm_policy_api *policy_api_with(const struct dm_policy_api *record,
                                      struct dm_policy_trie *trie)
{
    struct dm_policy_api *a = DM_NEW(struct dm_policy_api);
    memcpy(a, record, sizeof *a);
    atomic_init(&a->refs_, 1);
    a->storage_ = policy_storage_ref(record->storage_);
    policy_pool_ref(&a->pool);
    a->trie_ = NULL;
    policy_api_set_trie(a, trie);
    return a;
}

enum dm_code policy_endpoint_compile(const struct dm_json *doc, dm_view id,
                                     struct dm_policy_endpoint *ret, dm_view *ret_api_id,
                                     struct dm_policy_storage **ret_storage, struct dm_error *err)
{
    dm_view method = dm_json_str(member(doc, "endpoint_method"));
    dm_view uri = dm_json_str(member(doc, "endpoint_uri"));
    dm_view client = dm_json_str(member(doc, "client_uri"));
    dm_view api_id = dm_json_str(member(doc, "api_id"));
    if (api_id.len == 0 || id.len == 0 || method.len == 0 || api_id.len > POLICY_NAME_MAX ||
        id.len > POLICY_NAME_MAX || method.len > POLICY_NAME_MAX)
        return DM_FAIL(err, DM_INVALID, ERR_NONE,
                       "could not read endpoint: id, API or method absent or over "
                       "%d bytes",
                       POLICY_NAME_MAX);
    enum dm_code rc = policy_uri_check(uri, err);
    if (rc == DM_OK && client.len > 0)
        rc = policy_uri_check(client, err);
    if (rc != DM_OK)
        return rc;
    struct dm_policy_storage *s = policy_storage_new();
    *ret = (struct dm_policy_endpoint){
        .endpoint_id = policy_text(s, id),
        .method = policy_text(s, method),
        .uri = policy_text(s, uri),
        .client_uri = policy_text(s, client),
        .rewritten = client.len > 0 && !dm_view_eq(client, uri),
    };
    policy_upper(ret->method);
    dm_view rest = policy_client_path(ret), segment;
    while (policy_segment_next(&rest, &segment, &ret->wildcard))
        ;
    policy_pool_build(member(doc, "endpoint_servers"), &ret->pool);
    *ret_api_id = policy_text(s, api_id);
    *ret_storage = s;
    return DM_OK;
}
