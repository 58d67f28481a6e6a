/* What the data plane decides by: an immutable snapshot, compiled once from
 * policy objects, shared by all workers. Objects are counted and reused by the
 * next snapshot when unchanged, so a change costs what changed. Readers never
 * lock: a worker holds one reference, a request pins it by holding its
 * worker's. Fields follow gateway.md §29.1. */
#pragma once

#include "codec/json.h"
#include "codec/uri.h"
#include "model/address.h"
#include "model/settings.h"

/* A pool of servers with its round-robin slot: `slot` is a small number that
 * stays the same for one (kind, id) across snapshots, so workers keep counters
 * and breakers in arrays that survive a swap. */
struct dm_policy_server {
    dm_view text; /* as stored, for logs */
    dm_view key;  /* "host:port", "tls:host:port" or the socket path: names the
                     connection pool */
    struct dm_url url;
    dm_view host_header; /* what goes into Host */
};
struct dm_policy_pool {
    uint32_t slot; /* 0: never had a server */
    uint32_t n_servers;
    struct dm_policy_server *servers;
};

struct dm_policy_cors {
    bool any_origin, any_header, credentials;
    struct dm_strs origins, methods, headers;
    dm_view methods_text, headers_text,
        expose_text; /* joined ", ", ready to send; empty: do not send */
};

struct dm_policy_endpoint {
    dm_view endpoint_id, method; /* method: upper case; "*" = any (R14) */
    dm_view uri, client_uri;     /* templates; client_uri empty = uri */
    struct dm_policy_pool pool;  /* n_servers 0: the API's */
    bool wildcard;               /* client side ends in "/" "*" */
    bool rewritten;              /* uri differs from client_uri; else the client's path goes
                                    upstream */
};

struct dm_policy_api {
    _Atomic unsigned refs_;
    dm_view api_id, name, version, nv, path; /* nv "name/version", path "/name/version" */
    uint32_t slot;                           /* breaker and metrics */
    bool active, is_public, auth_required, credits_enabled, retry_non_idempotent, strict_envelope,
        is_crud;
    bool headers_all;             /* api_allowed_headers holds "*" */
    struct dm_strs headers;       /* lower case, sorted */
    struct dm_strs roles, groups; /* sorted */
    struct dm_policy_pool pool;
    struct dm_policy_cors cors;
    bool ip_whitelist_mode;
    struct dm_address_set *ip_whitelist, *ip_blacklist; /* NULL when empty */
    int trust_xff;                                      /* -1: as the global setting */
    unsigned retries;
    int limit_on_store_down; /* -1: LIMIT_ON_STORE_DOWN; else its enum */
    dm_time connect_timeout, read_timeout, write_timeout, pool_timeout; /* 0: the setting */
    dm_view auth_swap, credit_group;
    struct dm_json *request_transform, *response_transform; /* NULL: none */
    size_t n_endpoints;
    struct dm_policy_endpoint *endpoints;
    struct dm_policy_trie *trie_; /* per method, then segments */
    struct dm_policy_storage *storage_;
};

struct dm_policy_routing {
    dm_view client_key;
    struct dm_policy_pool pool;
};

struct dm_policy_role {
    dm_view name;
    bool platform_admin, manage_gateway; /* admin by name counts too (gateway.md §9) */
};

/* What is put on upstream requests of APIs with this credit group. */
struct dm_policy_credit {
    dm_view group, header;
    dm_view key; /* as stored, so mostly sealed: the new one while a rotation is set */
};

struct dm_policy_security {
    struct dm_address_set *whitelist, *blacklist, *proxies; /* NULL when empty */
    bool trust_xff, localhost_bypass;
};

struct dm_policy {
    _Atomic unsigned refs_;
    uint64_t generation;
    dm_time loaded_wall;
    struct dm_policy_security security;
    struct dm_policy_tables *tables_;
};

struct dm_policy *dm_policy_ref(struct dm_policy *p);
void dm_policy_unref(struct dm_policy *p);
const struct dm_policy_api *dm_policy_api(const struct dm_policy *p, dm_view name, dm_view version);
/* The only version, or the highest of that name (preflight of GraphQL and
 * gRPC). */
const struct dm_policy_api *dm_policy_api_latest(const struct dm_policy *p, dm_view name);
const struct dm_policy_role *dm_policy_role(const struct dm_policy *p, dm_view name);
const struct dm_policy_routing *dm_policy_routing(const struct dm_policy *p, dm_view client_key);
const struct dm_policy_credit *dm_policy_credit(const struct dm_policy *p, dm_view group);
size_t dm_policy_api_count(const struct dm_policy *p);
uint32_t dm_policy_slots(const struct dm_policy *p); /* slots are below this number */

/* Literal beats parameter (one with literal text around it first) beats
 * wildcard, left to right (R14, gateway.md §18.1); of one path the exact
 * method, then GET for HEAD, then "*". segments: decoded, from the endpoint
 * path on. ret_path_exists (may be NULL): an endpoint of some method matches.
 */
const struct dm_policy_endpoint *dm_policy_match(const struct dm_policy_api *api, dm_view method,
                                                 const dm_view *segments, size_t n,
                                                 bool *ret_path_exists);
/* Path sent upstream, re-encoded: endpoint_uri with the parameters of the
 * client path (by name, else by position), or the client's path where there is
 * no rewrite. */
void dm_policy_upstream_path(const struct dm_policy_endpoint *e, const dm_view *segments, size_t n,
                             struct dm_buf *out);
bool dm_strs_has(const struct dm_strs *sorted, dm_view v);

/* CORS of one API (gateway.md §7.1). */
bool dm_policy_cors_origin(const struct dm_policy_cors *c, dm_view origin);
bool dm_policy_cors_method(const struct dm_policy_cors *c, dm_view method);
bool dm_policy_cors_headers(const struct dm_policy_cors *c,
                            dm_view requested); /* the header's value */

struct dm_policy_user_key {
    dm_view group, key; /* as stored, so mostly sealed */
};

/* A user as the data plane needs it: fetched on demand, cached, counted,
 * immutable. */
struct dm_policy_user {
    _Atomic unsigned refs_;
    dm_view username, role;
    struct dm_strs groups; /* sorted */
    struct dm_strs apis;   /* subscriptions, "name/version", sorted */
    size_t n_keys;         /* API keys of its own, instead of its groups' */
    struct dm_policy_user_key *keys;
    bool active;
    struct {
        bool enabled;
        int64_t limit, window_seconds;
    } rate;
    struct {
        bool enabled;
        int64_t limit, queue, window_seconds;
        dm_time wait;
    } throttle;
    struct {
        bool enabled;
        int64_t limit, window_seconds;
    } bandwidth;
    struct dm_policy_storage *storage_;
};
/* user: projection of `users`; subscriptions and credits: those of `subscriptions` and
 * `user_credits`, or NULL. */
enum dm_code dm_policy_user_build(const struct dm_json *user, const struct dm_json *subscriptions,
                                  const struct dm_json *credits, struct dm_policy_user **ret,
                                  struct dm_error *err) DM_MUST_USE;
/* The user's own key for the group, as stored; ptr NULL: none. */
dm_view dm_policy_user_key(const struct dm_policy_user *u, dm_view group);
/* Bytes it keeps, about: for caches that are bounded by them. */
size_t dm_policy_user_size(const struct dm_policy_user *u);
struct dm_policy_user *dm_policy_user_ref(struct dm_policy_user *u);
void dm_policy_user_unref(struct dm_policy_user *u);

/* Building. The builder holds the objects in force by (kind, id) and makes the
 * next snapshot, reusing what did not change. Not shared: one loader owns it.
 * Kinds and their ids: api (api_id), endpoint (endpoint_id; waits until its
 * api_id comes), role (role_name), routing (client_key), credit_def
 * (api_credit_group), security_settings (any); other kinds are no concern of
 * the data plane and are passed over. */
struct dm_policy_builder;
struct dm_policy_builder *dm_policy_builder_new(void);
void dm_policy_builder_free(struct dm_policy_builder *b);
/* doc NULL: the object was deleted. A projection that cannot be compiled:
 * DM_INVALID, nothing changes. */
enum dm_code dm_policy_builder_put(struct dm_policy_builder *b, dm_view kind, dm_view id,
                                   const struct dm_json *doc, struct dm_error *err) DM_MUST_USE;
struct dm_policy *dm_policy_builder_build(struct dm_policy_builder *b, uint64_t generation,
                                          dm_time wall);
