#include "admin/router.h"

#include "codec/uri.h"

enum { SEGMENTS_MAX = 64 }; /* the longest pattern has 7; an endpoint's URI may add more */

struct path {
    dm_view text; /* decoded */
    dm_view segments[SEGMENTS_MAX];
    size_t n;
    bool slash; /* it ended in a slash, which is no segment (O8) */
};

/* Decoded as a whole before matching, so an encoded slash separates (platform-access.md §1.8). */
static bool split_path(dm_view raw, struct dm_arena *arena, struct path *p)
{
    struct dm_buf decoded;
    dm_view rest, piece;
    bool good;

    dm_buf_init(&decoded, raw.len + 1);
    good = dm_uri_decode(raw, false, &decoded);
    p->text = good ? dm_arena_copy(arena, dm_buf_view(&decoded)) : DM_VIEW_NONE;
    dm_buf_done(&decoded);
    p->n = 0;
    if (!good || p->text.ptr == NULL || p->text.len == 0 || p->text.ptr[0] != '/')
        return false;
    rest = dm_view_sub(p->text, 1, p->text.len);
    p->slash = rest.len > 0 && rest.ptr[rest.len - 1] == '/';
    if (p->slash)
        rest.len--;
    while (rest.ptr != NULL && dm_view_split(&rest, '/', &piece)) {
        if (p->n == SEGMENTS_MAX)
            return false;
        p->segments[p->n++] = piece;
    }
    return true;
}

static bool is_rest(dm_view part)
{
    return dm_view_starts(part, DM_LIT("{")) && dm_view_ends(part, DM_LIT("...}"));
}

/* From the first byte of segment `at` to the end of the last one; empty after a slash that ends the
 * path: the endpoint "/" has no other name. */
static dm_view rest_of(const struct path *p, size_t at)
{
    if (at == p->n)
        return DM_LIT("");
    dm_view last = p->segments[p->n - 1];

    return dm_view_make(p->segments[at].ptr, (size_t)(last.ptr + last.len - p->segments[at].ptr));
}

static bool match(const char *pattern, const struct path *p, dm_view params[ADM_PARAMS_MAX],
                  size_t *ret_n)
{
    dm_view rest = dm_view_of(pattern + 1), part;
    size_t at = 0, n = 0;

    while (rest.ptr != NULL && dm_view_split(&rest, '/', &part)) {
        if (at >= p->n && !(at == p->n && p->slash && is_rest(part)))
            return false;
        if (is_rest(part)) {
            params[n++] = rest_of(p, at);
            *ret_n = n;
            return true;
        }
        if (part.ptr[0] == '{') {
            if (p->segments[at].len == 0)
                return false;
            params[n++] = p->segments[at];
        } else if (!dm_view_eq(part, p->segments[at])) {
            return false;
        }
        at++;
    }
    *ret_n = n;
    return at == p->n;
}

const struct adm_route *adm_route_find(dm_view method, dm_view path, struct dm_arena *arena,
                                       dm_view params[ADM_PARAMS_MAX], size_t *ret_n_params,
                                       dm_view *ret_allow)
{
    size_t n_routes;
    const struct adm_route *routes = adm_routes(&n_routes);
    struct path p;

    *ret_allow = DM_VIEW_NONE;
    if (!split_path(path, arena, &p))
        return NULL;
    for (size_t i = 0; i < n_routes; i++) {
        dm_view known = dm_view_of(routes[i].method);

        if (!match(routes[i].path, &p, params, ret_n_params))
            continue;
        if (dm_view_eq(known, method))
            return &routes[i];
        if (dm_view_find(*ret_allow, known) == ret_allow->len)
            *ret_allow = ret_allow->len == 0 ? known
                                             : dm_arena_fmt(arena, "%.*s, %s", DM_FMT(*ret_allow),
                                                            routes[i].method);
    }
    return NULL;
}
