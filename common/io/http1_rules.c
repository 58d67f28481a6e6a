#include "io/http1_rules.h"

#include <string.h>

#include "base/mem.h"

#include "base/poison.h"

enum {
    /* What one request may hold in its arena: four copies of the largest head (slow heads are
     * gathered by doubling, then copied once), and working room for the steps that serve it. */
    ARENA_ROOM = 1024 * 1024,
    ARENA_HEADS = 4
};

/* CONTENT_SECURITY_POLICY blank means this, never none (gateway.md §2.2). */
#define DEFAULT_CSP                                                                                \
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; img-src "    \
    "'self' "                                                                                      \
    "data:; connect-src 'self';"

struct line {
    enum dm_header_id id;
    dm_view value;
};

static size_t security_lines(const struct dm_settings *s, struct line out[HTTP1_SECURITY_LINES])
{
    dm_view csp = dm_view_trim(s->content_security_policy);
    const struct line all[HTTP1_SECURITY_LINES] = {
        {DM_HDR_X_CONTENT_TYPE_OPTIONS, s->security_header_x_content_type_options},
        {DM_HDR_X_FRAME_OPTIONS, s->security_header_x_frame_options},
        {DM_HDR_REFERRER_POLICY, s->security_header_referrer_policy},
        {DM_HDR_PERMISSIONS_POLICY, s->security_header_permissions_policy},
        {DM_HDR_CONTENT_SECURITY_POLICY, csp.len > 0 ? csp : DM_LIT(DEFAULT_CSP)},
        {DM_HDR_STRICT_TRANSPORT_SECURITY,
         s->secure_mode ? s->security_header_strict_transport_security : DM_VIEW_NONE},
    };
    size_t n = 0;
    for (size_t i = 0; i < HTTP1_SECURITY_LINES; i++)
        if (all[i].value.len > 0 && dm_http_value_ok(all[i].value))
            out[n++] = all[i];
    return n;
}

static char *put(char *at, dm_view v)
{
    memcpy(at, v.ptr, v.len);
    return at + v.len;
}

static void write_lines(struct http1_rules *r, const struct line *lines, size_t n)
{
    char *at = r->text_;
    for (size_t i = 0; i < n; i++) {
        char *start = at;
        at = put(at, dm_header_name(lines[i].id));
        at = put(at, DM_LIT(": "));
        at = put(at, lines[i].value);
        at = put(at, DM_LIT("\r\n"));
        r->lines[i].id = lines[i].id;
        r->lines[i].line = dm_view_make(start, (size_t)(at - start));
    }
    r->n_lines = n;
    r->security = dm_view_make(r->text_, (size_t)(at - r->text_));
}

struct http1_rules *http1_rules_new(const struct dm_settings *s)
{
    struct line lines[HTTP1_SECURITY_LINES];
    size_t n = security_lines(s, lines), size = 0;
    for (size_t i = 0; i < n; i++)
        size += dm_header_name(lines[i].id).len + lines[i].value.len + 4;
    struct http1_rules *r = dm_mem_alloc(sizeof *r + size);
    r->refs_ = 1;
    r->settings =
        dm_settings_ref((struct dm_settings *)s); /* the count is its only changing part */
    r->guard = (struct dm_guard_limits){.max_head = (size_t)s->max_header_bytes,
                                        .max_target = (size_t)s->max_uri_bytes,
                                        .max_fields = (size_t)s->max_header_count};
    r->max_body = s->disable_body_size_limit ? UINT64_MAX : (uint64_t)s->max_body_size_bytes;
    r->arena_cap = ARENA_ROOM + ARENA_HEADS * r->guard.max_head;
    r->header_timeout = s->client_header_timeout_seconds;
    r->body_timeout = s->client_body_timeout_seconds;
    r->body_deadline = s->client_body_deadline_seconds;
    r->idle_timeout = s->client_idle_timeout_seconds;
    write_lines(r, lines, n);
    return r;
}

struct http1_rules *http1_rules_ref(struct http1_rules *r)
{
    r->refs_++;
    return r;
}

void http1_rules_unref(struct http1_rules *r)
{
    if (r == NULL || --r->refs_ > 0)
        return;
    dm_settings_unref((struct dm_settings *)r->settings);
    dm_mem_free(r);
}
