/* layer: model */
/* Endpoint matching against a slow, plain matcher of its own: the trie must find the same endpoint,
 * or none as well, for every set of endpoints and every path (gateway.md §18.1, R14). Input, one
 * per line: "METHOD endpoint_uri [client_uri]" adds an endpoint, "?METHOD path" asks. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "model/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ENDPOINTS = 24, SEGMENTS = 16, TEXT = 64, PARTS = 2 * TEXT, LINES = 64 };

/* --- the plain matcher: tables instead of cleverness --- */

struct piece {
    dm_view text;
    bool param;
};

enum rank { RANK_LITERAL = 0, RANK_MIXED, RANK_TEMPLATE, RANK_REST };

struct pattern {
    dm_view segments[SEGMENTS + 1];
    size_t n;
    bool rest; /* ends in any rest */
};

struct endpoint {
    char id[8];
    char method[TEXT];
    dm_view path; /* the client's */
    struct pattern pattern;
};

static size_t cut_path(dm_view path, dm_view *segments, size_t max)
{
    dm_view piece;
    size_t n = 0;
    while (dm_view_split(&path, '/', &piece)) {
        if (piece.len > 0 && n < max)
            segments[n++] = piece;
    }
    return n;
}

static void read_pattern(dm_view path, struct pattern *p)
{
    p->n = cut_path(path, p->segments, SEGMENTS);
    p->rest = p->n > 0 && dm_view_eq(p->segments[p->n - 1], DM_LIT("*"));
    p->n -= p->rest;
}

/* "{name}" with a name is a parameter wherever it begins first; all else is text. */
static size_t read_pieces(dm_view segment, struct piece *pieces)
{
    size_t n = 0, from = 0;
    for (size_t at = 0; at < segment.len;) {
        size_t close = dm_view_find_byte(segment, '}', at);
        if (segment.ptr[at] != '{' || close == segment.len || close == at + 1) {
            at++;
            continue;
        }
        if (at > from)
            pieces[n++] = (struct piece){dm_view_sub(segment, from, at - from), false};
        pieces[n++] = (struct piece){dm_view_sub(segment, at + 1, close - at - 1), true};
        at = from = close + 1;
    }
    if (segment.len > from)
        pieces[n++] = (struct piece){dm_view_sub(segment, from, SIZE_MAX), false};
    return n;
}

static bool begins_char(dm_view text, size_t at)
{
    return at == text.len || ((unsigned char)text.ptr[at] & 0xC0) != 0x80;
}

/* reached[i]: the pieces so far can end before byte i. */
static bool fits(dm_view segment, dm_view text)
{
    struct piece pieces[PARTS];
    bool reached[TEXT + 1] = {true};
    size_t n = read_pieces(segment, pieces);
    for (size_t k = 0; k < n; k++) {
        bool next[TEXT + 1] = {false};
        for (size_t from = 0; from <= text.len; from++) {
            dm_view left = dm_view_sub(text, from, SIZE_MAX);
            if (reached[from] && !pieces[k].param && dm_view_starts(left, pieces[k].text))
                next[from + pieces[k].text.len] = true;
            for (size_t to = from + 1; reached[from] && pieces[k].param && to <= text.len; to++)
                next[to] = next[to] || begins_char(text, to);
        }
        memcpy(reached, next, sizeof reached);
    }
    return reached[text.len];
}

static bool path_fits(const struct pattern *p, const dm_view *segments, size_t n)
{
    if (n < p->n || (n > p->n && !p->rest))
        return false;
    for (size_t i = 0; i < p->n; i++) {
        if (!fits(p->segments[i], segments[i]))
            return false;
    }
    return true;
}

static size_t literal_len(dm_view segment)
{
    struct piece pieces[PARTS];
    size_t n = read_pieces(segment, pieces), len = 0;
    for (size_t i = 0; i < n; i++)
        len += pieces[i].param ? 0 : pieces[i].text.len;
    return len;
}

static enum rank rank_of(const struct pattern *p, size_t depth)
{
    struct piece pieces[PARTS];
    if (depth >= p->n)
        return RANK_REST;
    size_t n = read_pieces(p->segments[depth], pieces), params = 0;
    for (size_t i = 0; i < n; i++)
        params += pieces[i].param;
    if (params == 0)
        return RANK_LITERAL;
    return n == 1 ? RANK_TEMPLATE : RANK_MIXED;
}

/* Negative: a is the better place for a path of n segments, which both fit. */
static int compare_places(const struct pattern *a, const struct pattern *b, size_t n)
{
    for (size_t depth = 0; depth < n; depth++) {
        int ranks = (int)rank_of(a, depth) - (int)rank_of(b, depth);
        if (ranks != 0)
            return ranks;
        if (rank_of(a, depth) == RANK_REST)
            return 0; /* the same rest below the same place */
        if (rank_of(a, depth) != RANK_MIXED)
            continue;
        dm_view x = a->segments[depth], y = b->segments[depth];
        if (literal_len(x) != literal_len(y))
            return literal_len(x) > literal_len(y) ? -1 : 1;
        if (!dm_view_eq(x, y))
            return dm_view_cmp(x, y);
    }
    return (int)a->rest - (int)b->rest; /* ends here, before any rest */
}

static int method_rank(const struct endpoint *e, dm_view method)
{
    dm_view own = dm_view_of(e->method);
    if (dm_view_eq(own, method))
        return 0;
    if (dm_view_eq(own, DM_LIT("GET")) && dm_view_eq(method, DM_LIT("HEAD")))
        return 1;
    return dm_view_eq(own, DM_LIT("*")) ? 2 : -1;
}

static bool better(const struct endpoint *a, const struct endpoint *b, dm_view method, size_t n)
{
    int order = compare_places(&a->pattern, &b->pattern, n);
    if (order == 0)
        order = method_rank(a, method) - method_rank(b, method);
    if (order == 0)
        order = dm_view_cmp(a->path, b->path);
    if (order == 0)
        order = strcmp(a->id, b->id);
    return order < 0;
}

static const struct endpoint *plain_match(const struct endpoint *all, size_t count, dm_view method,
                                          const dm_view *segments, size_t n, bool *ret_exists)
{
    const struct endpoint *best = NULL;
    *ret_exists = false;
    for (size_t i = 0; i < count; i++) {
        if (!path_fits(&all[i].pattern, segments, n))
            continue;
        *ret_exists = true;
        if (method_rank(&all[i], method) >= 0 && (best == NULL || better(&all[i], best, method, n)))
            best = &all[i];
    }
    return best;
}

/* --- both, side by side --- */

struct world {
    struct dm_policy_builder *builder;
    struct dm_policy *policy; /* NULL: something was added */
    struct endpoint endpoints[ENDPOINTS];
    size_t n;
};

static bool short_enough(dm_view path)
{
    dm_view segments[SEGMENTS + 2];
    size_t n = cut_path(path, segments, SEGMENTS + 2);
    for (size_t i = 0; i < n; i++) {
        if (segments[i].len > TEXT)
            return false;
    }
    return path.len > 0 && n <= SEGMENTS && dm_utf8_valid(path) &&
           dm_view_find_byte(path, '\0', 0) == path.len;
}

static void add_endpoint(struct world *w, dm_view method, dm_view uri, dm_view client)
{
    dm_view path = client.len > 0 ? client : uri;
    if (w->n == ENDPOINTS || method.len == 0 || method.len >= TEXT || !dm_utf8_valid(method) ||
        dm_view_find_byte(method, '\0', 0) != method.len || !short_enough(uri) ||
        !short_enough(path))
        return;
    struct endpoint *e = &w->endpoints[w->n];
    (void)snprintf(e->id, sizeof e->id, "e%02zu", w->n);
    struct dm_json *j = dm_json_new_object();
    dm_json_set_str(j, DM_LIT("api_id"), DM_LIT("api"));
    dm_json_set_str(j, DM_LIT("endpoint_method"), method);
    dm_json_set_str(j, DM_LIT("endpoint_uri"), uri);
    if (client.len > 0)
        dm_json_set_str(j, DM_LIT("client_uri"), client);
    enum dm_code rc =
        dm_policy_builder_put(w->builder, DM_LIT("endpoint"), dm_view_of(e->id), j, NULL);
    dm_json_free(j);
    DM_REQUIRE(rc == DM_OK);
    for (size_t i = 0; i <= method.len; i++) {
        char c = i < method.len ? method.ptr[i] : '\0';
        e->method[i] = c >= 'a' && c <= 'z' ? (char)(c & ~0x20) : c;
    }
    e->path = path;
    read_pattern(path, &e->pattern);
    w->n++;
    dm_policy_unref(w->policy);
    w->policy = NULL;
}

static const struct dm_policy_endpoint *match(const struct world *w,
                                              const struct dm_policy_api *api, dm_view method,
                                              const dm_view *segments, size_t n, bool *ret_exists)
{
    const struct dm_policy_endpoint *found = dm_policy_match(api, method, segments, n, ret_exists);
#ifdef DOORMAN_PLANT_BUG
    /* Does not come back from a literal that led nowhere. */
    for (size_t i = 0; found != NULL && n == 2 && i < w->n; i++) {
        const struct pattern *p = &w->endpoints[i].pattern;
        if (p->n > 0 && dm_view_eq(p->segments[0], segments[0]) && found->uri.len > 1 &&
            found->uri.ptr[1] == '{')
            return NULL;
    }
#else
    (void)w;
#endif
    return found;
}

/* What goes upstream is a path of plain ASCII whatever was asked. */
static void check_upstream(const struct dm_policy_endpoint *e, const dm_view *segments, size_t n)
{
    struct dm_buf out;
    dm_buf_init(&out, 1 << 20);
    dm_policy_upstream_path(e, segments, n, &out);
    dm_view path = dm_buf_view(&out);
    DM_REQUIRE(dm_buf_ok(&out) && path.len > 0 && path.ptr[0] == '/');
    for (size_t i = 0; i < path.len; i++)
        DM_REQUIRE((unsigned char)path.ptr[i] > 0x20 && (unsigned char)path.ptr[i] < 0x7F &&
                   strchr("?#\\", path.ptr[i]) == NULL);
    dm_buf_done(&out);
}

static void ask(struct world *w, dm_view method, dm_view path)
{
    dm_view segments[SEGMENTS + 1];
    bool exists = false, plain_exists = false;
    if (!short_enough(path))
        return;
    if (w->policy == NULL)
        w->policy = dm_policy_builder_build(w->builder, 1, 0);
    const struct dm_policy_api *api = dm_policy_api(w->policy, DM_LIT("a"), DM_LIT("v1"));
    DM_REQUIRE(api != NULL && api->n_endpoints == w->n);
    size_t n = cut_path(path, segments, SEGMENTS);
    const struct endpoint *wanted =
        plain_match(w->endpoints, w->n, method, segments, n, &plain_exists);
    const struct dm_policy_endpoint *found = match(w, api, method, segments, n, &exists);
    DM_REQUIRE((wanted == NULL) == (found == NULL));
    DM_REQUIRE(wanted == NULL || dm_view_eq(found->endpoint_id, dm_view_of(wanted->id)));
    DM_REQUIRE(exists == plain_exists);
    if (found != NULL)
        check_upstream(found, segments, n);
}

static void run_line(struct world *w, dm_view line)
{
    dm_view words[3] = {DM_VIEW_NONE, DM_VIEW_NONE, DM_VIEW_NONE};
    for (size_t i = 0; i < DM_COUNT_OF(words) && dm_view_split(&line, ' ', &words[i]); i++)
        ;
    if (words[0].len > 0 && words[0].ptr[0] == '?')
        ask(w, dm_view_sub(words[0], 1, SIZE_MAX), words[1]);
    else
        add_endpoint(w, words[0], words[1], words[2]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.builder = dm_policy_builder_new()};
    dm_view rest = dm_view_make((const char *)data, size), line;
    struct dm_json *api = dm_json_new_object();
    dm_json_set_str(api, DM_LIT("api_id"), DM_LIT("api"));
    dm_json_set_str(api, DM_LIT("api_name"), DM_LIT("a"));
    dm_json_set_str(api, DM_LIT("api_version"), DM_LIT("v1"));
    enum dm_code rc = dm_policy_builder_put(w.builder, DM_LIT("api"), DM_LIT("api"), api, NULL);
    DM_REQUIRE(rc == DM_OK);
    dm_json_free(api);
    for (int lines = 0; lines < LINES && dm_view_split(&rest, '\n', &line); lines++)
        run_line(&w, line);
    dm_policy_unref(w.policy);
    dm_policy_builder_free(w.builder);
    return 0;
}
