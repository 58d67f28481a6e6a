#include "model/policy_storage.h"

#include "base/poison.h"

/* CORS of one API (gateway.md §7.1): null means everything, an empty list
 * nothing. */

static dm_view all_methods[] = {{"GET", 3},   {"POST", 4}, {"PUT", 3},    {"DELETE", 6},
                                {"PATCH", 5}, {"HEAD", 4}, {"OPTIONS", 7}};

static bool holds(const struct dm_strs *list, dm_view v)
{
    for (size_t i = 0; i < list->count; i++) {
        if (dm_view_eq_nocase(list->items[i], v))
            return true;
    }
    return false;
}

static void build_methods(struct dm_policy_storage *s, const struct dm_json *list,
                          struct dm_policy_cors *ret)
{
    if (!dm_json_is(list, DM_JSON_ARRAY)) {
        ret->methods = (struct dm_strs){all_methods, DM_COUNT_OF(all_methods)};
        ret->methods_text = DM_LIT("GET, POST, PUT, DELETE, PATCH, HEAD, OPTIONS");
        return;
    }
    struct dm_strs given = policy_strs(s, list);
    struct dm_strs *all = &ret->methods;
    all->items = policy_take(s, (given.count + 1) * sizeof *all->items);
    for (size_t i = 0; i < given.count; i++) {
        policy_upper(given.items[i]);
        all->items[all->count++] = given.items[i];
    }
    if (!holds(all, DM_LIT("OPTIONS")))
        all->items[all->count++] = DM_LIT("OPTIONS");
    ret->methods_text = policy_joined(s, all);
}

void policy_cors_build(struct dm_policy_storage *s, const struct dm_json *api,
                       struct dm_policy_cors *ret)
{
    const struct dm_json *origins = dm_json_get(api, DM_LIT("api_cors_allow_origins"));
    const struct dm_json *headers = dm_json_get(api, DM_LIT("api_cors_allow_headers"));
    const struct dm_strs expose =
        policy_strs(s, dm_json_get(api, DM_LIT("api_cors_expose_headers")));

    ret->origins = policy_strs(s, origins);
    ret->any_origin = !dm_json_is(origins, DM_JSON_ARRAY) || holds(&ret->origins, DM_LIT("*"));
    build_methods(s, dm_json_get(api, DM_LIT("api_cors_allow_methods")), ret);
    ret->headers = policy_strs(s, headers);
    ret->any_header = !dm_json_is(headers, DM_JSON_ARRAY) || holds(&ret->headers, DM_LIT("*"));
    ret->headers_text =
        dm_json_is(headers, DM_JSON_ARRAY) ? policy_joined(s, &ret->headers) : DM_LIT("*");
    ret->credentials = dm_json_bool(dm_json_get(api, DM_LIT("api_cors_allow_credentials")), false);
    ret->expose_text = policy_joined(s, &expose);
}

static bool is_host_text(dm_view v)
{
    for (size_t i = 0; i < v.len; i++) {
        char c = v.ptr[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '-' && c != '_' && c != '.')
            return false;
    }
    return true;
}

/* Entries with "*." before the domain: same scheme, and a host with at least
 * one more label. A port counts as part of the host, so such an entry does not
 * open every port of it. */
static bool is_subdomain(dm_view pattern, dm_view origin)
{
    size_t star = dm_view_find(pattern, DM_LIT("://*."));
    if (star == pattern.len)
        return false;
    dm_view scheme = dm_view_sub(pattern, 0, star + 3);
    dm_view suffix = dm_view_sub(pattern, star + 4, SIZE_MAX); /* with its leading dot */
    dm_view host = dm_view_sub(origin, scheme.len, SIZE_MAX);
    if (!dm_view_starts(origin, scheme) || host.len <= suffix.len)
        return false;
    dm_view label = dm_view_sub(host, 0, host.len - suffix.len);
    dm_view tail = dm_view_sub(host, label.len, SIZE_MAX);
    return dm_view_eq_nocase(tail, suffix) && label.ptr[0] != '.' &&
           label.ptr[label.len - 1] != '.' && is_host_text(label);
}

bool dm_policy_cors_origin(const struct dm_policy_cors *c, dm_view origin)
{
    if (origin.len == 0)
        return false;
    if (c->any_origin)
        return true;
    for (size_t i = 0; i < c->origins.count; i++) {
        if (dm_view_eq(c->origins.items[i], origin) || is_subdomain(c->origins.items[i], origin))
            return true;
    }
    return false;
}

bool dm_policy_cors_method(const struct dm_policy_cors *c, dm_view method)
{
    if (method.len == 0)
        return true;
    for (size_t i = 0; i < c->methods.count; i++) {
        if (dm_view_eq(c->methods.items[i], method)) /* methods are case-sensitive: RFC 9110 §9.1 */
            return true;
    }
    return false;
}

bool dm_policy_cors_headers(const struct dm_policy_cors *c, dm_view requested)
{
    dm_view name;
    if (c->any_header)
        return true;
    while (dm_view_split(&requested, ',', &name)) {
        name = dm_view_trim(name);
        if (name.len > 0 && !holds(&c->headers, name))
            return false;
    }
    return true;
}
