#include "admin/cors.h"

/* What "*" stands for in ALLOW_HEADERS: credentialed requests cannot use a wildcard (§1.5). */
static const dm_view fixed_headers[] = {DM_LIT("Accept"), DM_LIT("Content-Type"),
                                        DM_LIT("X-CSRF-Token"), DM_LIT("Authorization"),
                                        DM_LIT("X-Requested-With")};

static bool listed(const struct dm_strs *list, dm_view v, bool nocase)
{
    for (size_t i = 0; i < list->count; i++) {
        if (nocase ? dm_view_eq_nocase(list->items[i], v) : dm_view_eq(list->items[i], v))
            return true;
    }
    return false;
}

/* http(s)://localhost[:port] and 127.0.0.1: the host exactly, not as a prefix. */
static bool local_origin(dm_view origin)
{
    uint64_t port;
    dm_view rest;
    size_t colon;

    if (dm_view_starts(origin, DM_LIT("http://")))
        rest = dm_view_sub(origin, 7, origin.len);
    else if (dm_view_starts(origin, DM_LIT("https://")))
        rest = dm_view_sub(origin, 8, origin.len);
    else
        return false;
    colon = dm_view_find_byte(rest, ':', 0);
    if (colon < rest.len && !dm_parse_u64(dm_view_sub(rest, colon + 1, rest.len), 65535, &port))
        return false;
    rest = dm_view_sub(rest, 0, colon);
    return dm_view_eq(rest, DM_LIT("localhost")) || dm_view_eq(rest, DM_LIT("127.0.0.1"));
}

bool adm_cors_origin_allowed(const struct dm_settings *s, dm_view origin)
{
    if (origin.len == 0)
        return false;
    if (!listed(&s->allowed_origins, DM_LIT("*"), false))
        return listed(&s->allowed_origins, origin, false);
    return !(s->cors_strict && s->allow_credentials) || local_origin(origin);
}

static bool headers_wildcard(const struct dm_settings *s)
{
    return s->allow_headers.count == 0 || listed(&s->allow_headers, DM_LIT("*"), false);
}

static bool header_allowed(const struct dm_settings *s, dm_view name)
{
    const struct dm_strs fixed = {(dm_view *)(uintptr_t)fixed_headers, DM_COUNT_OF(fixed_headers)};

    return listed(headers_wildcard(s) ? &fixed : &s->allow_headers, name, true);
}

void adm_cors_decide(const struct dm_settings *s, const struct adm_cors_ask *ask,
                     struct adm_cors_verdict *ret)
{
    ret->origin_allowed = adm_cors_origin_allowed(s, ask->origin);
    ret->method_allowed = dm_view_eq_nocase(ask->method, DM_LIT("OPTIONS")) ||
                          listed(&s->allow_methods, DM_LIT("*"), false) ||
                          listed(&s->allow_methods, ask->method, true);
    ret->headers_allowed = true;
    for (size_t i = 0; i < ask->n_headers; i++)
        ret->headers_allowed = ret->headers_allowed && header_allowed(s, ask->headers[i]);
    ret->credentials = s->allow_credentials;
}

static void join(const dm_view *items, size_t n, struct dm_buf *out)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            dm_buf_add(out, DM_LIT(", "));
        dm_buf_add(out, items[i]);
    }
}

void adm_cors_methods(const struct dm_settings *s, struct dm_buf *out)
{
    static const dm_view all = DM_LIT("GET, POST, PUT, DELETE, OPTIONS, PATCH, HEAD");

    if (listed(&s->allow_methods, DM_LIT("*"), false)) {
        dm_buf_add(out, all);
        return;
    }
    join(s->allow_methods.items, s->allow_methods.count, out);
    if (!listed(&s->allow_methods, DM_LIT("OPTIONS"), true))
        dm_buf_add(out, s->allow_methods.count > 0 ? DM_LIT(", OPTIONS") : DM_LIT("OPTIONS"));
}

void adm_cors_headers(const struct dm_settings *s, struct dm_buf *out)
{
    if (headers_wildcard(s))
        join(fixed_headers, DM_COUNT_OF(fixed_headers), out);
    else
        join(s->allow_headers.items, s->allow_headers.count, out);
}
