/* CORS of one API (gateway.md §7.1): null means everything, an empty list nothing. */
#include "model/policy_storage.h"

static const char *const default_methods[] = {"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"};

static bool holds(const struct dm_strs *list, dm_view v)
{
    for (size_t i = 0; i < list->count; i++) {
        if (dm_view_eq_nocase(list->items[i], v))
            return true;
    }
    return false;
}

static struct dm_strs methods_of(struct dm_policy_storage *s, const struct dm_json *list)
{
    struct dm_strs given = policy_strs(s, list), all = {NULL, 0};
    bool absent = !dm_json_is(list, DM_JSON_ARRAY);
    size_t n = absent ? sizeof(default_methods) / sizeof(default_methods[0]) : given.count;

    all.items = policy_take(s, (n + 1) * sizeof(*all.items));
    for (size_t i = 0; i < n; i++) {
        dm_view method = absent ? dm_view_of(default_methods[i]) : given.items[i];
        char *p = (char *)(uintptr_t)method.ptr;

        for (size_t k = 0; !absent && k < method.len; k++)
            p[k] = p[k] >= 'a' && p[k] <= 'z' ? (char)(p[k] & ~0x20) : p[k];
        all.items[all.count++] = method;
    }
    if (!holds(&all, DM_LIT("OPTIONS")))
        all.items[all.count++] = DM_LIT("OPTIONS");
    return all;
}

void policy_cors_build(struct dm_policy_storage *s, const struct dm_json *api, struct dm_policy_cors *ret)
{
    const struct dm_json *origins = dm_json_get(api, DM_LIT("api_cors_allow_origins"));
    const struct dm_json *headers = dm_json_get(api, DM_LIT("api_cors_allow_headers"));
    struct dm_strs expose = policy_strs(s, dm_json_get(api, DM_LIT("api_cors_expose_headers")));

    ret->origins = policy_strs(s, origins);
    ret->any_origin = !dm_json_is(origins, DM_JSON_ARRAY) || holds(&ret->origins, DM_LIT("*"));
    ret->methods = methods_of(s, dm_json_get(api, DM_LIT("api_cors_allow_methods")));
    ret->methods_text = policy_joined(s, &ret->methods);
    ret->headers = policy_strs(s, headers);
    ret->any_header = !dm_json_is(headers, DM_JSON_ARRAY) || holds(&ret->headers, DM_LIT("*"));
    ret->headers_text = dm_json_is(headers, DM_JSON_ARRAY) ? policy_joined(s, &ret->headers) : DM_LIT("*");
    ret->credentials = dm_json_bool(dm_json_get(api, DM_LIT("api_cors_allow_credentials")), false);
    ret->expose_text = policy_joined(s, &expose);
}

/* A pattern "https://" "*.example.com": same scheme, and a host with at least one more label. */
static bool subdomain(dm_view pattern, dm_view origin)
{
    size_t star = dm_view_find(pattern, DM_LIT("://*."));
    dm_view scheme, suffix, host;

    if (star == pattern.len)
        return false;
    scheme = dm_view_sub(pattern, 0, star + 3);
    suffix = dm_view_sub(pattern, star + 4, pattern.len); /* with its leading dot */
    if (!dm_view_starts(origin, scheme))
        return false;
    host = dm_view_sub(origin, scheme.len, origin.len);
    return host.len > suffix.len &&
           dm_view_eq_nocase(dm_view_sub(host, host.len - suffix.len, suffix.len), suffix) &&
           host.ptr[0] != '.' && dm_view_find_byte(host, '/', 0) == host.len;
}

bool dm_policy_cors_origin(const struct dm_policy_cors *c, dm_view origin)
{
    if (origin.len == 0)
        return false;
    if (c->any_origin)
        return true;
    for (size_t i = 0; i < c->origins.count; i++) {
        if (dm_view_eq(c->origins.items[i], origin) || subdomain(c->origins.items[i], origin))
            return true;
    }
    return false;
}

bool dm_policy_cors_method(const struct dm_policy_cors *c, dm_view method)
{
    return method.len == 0 || holds(&c->methods, method);
}

bool dm_policy_cors_headers(const struct dm_policy_cors *c, dm_view requested)
{
    dm_view name;

    if (c->any_header)
        return true;
    while (requested.ptr != NULL && dm_view_split(&requested, ',', &name)) {
        name = dm_view_trim(name);
        if (name.len > 0 && !holds(&c->headers, name))
            return false;
    }
    return true;
}
