#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "model/policy_storage.h"

#include "base/poison.h"

/* Server addresses of a pool, parsed once. What the admin refuses on save
 * cannot come here; what does come all the same (a document from elsewhere) is
 * skipped with a warning. */

enum { NAME_CAP = 300 }; /* a host name has at most 253 bytes, plus brackets, port and mark */

/* Servers and their texts in one run: most pools hold one address, and there is
 * one pool per API. */
struct pool_memory {
    _Atomic unsigned refs;
    struct dm_policy_storage *names; /* those that do not stand in the texts; NULL: none */
    struct dm_policy_server servers[];
};

static struct pool_memory *memory_of(const struct dm_policy_pool *p)
{
    return (struct pool_memory *)(uintptr_t)((const char *)p->servers -
                                             offsetof(struct pool_memory, servers));
}

static bool is_tls(const struct dm_url *url)
{
    return dm_view_eq(url->scheme, DM_LIT("https")) || dm_view_eq(url->scheme, DM_LIT("grpcs"));
}

static void add_host(struct dm_buf *b, const struct dm_url *url)
{
    bool v6 = dm_view_find_byte(url->host, ':', 0) < url->host.len;
    dm_buf_addf(b, v6 ? "[%.*s]" : "%.*s", DM_FMT(url->host));
}

/* Mostly the name stands in the address as it was saved. */
static dm_view text_within(struct pool_memory *m, dm_view text, dm_view name)
{
    size_t at = dm_view_find(text, name);
    if (at < text.len)
        return dm_view_sub(text, at, name.len);
    if (m->names == NULL)
        m->names = policy_storage_new();
    return policy_text(m->names, name);
}

static void fill_names(struct pool_memory *m, struct dm_policy_server *server)
{
    const struct dm_url *url = &server->url;
    if (dm_view_eq(url->scheme, DM_LIT("unix"))) {
        server->key = url->host;
        server->host_header = DM_LIT("localhost");
        return;
    }
    struct dm_buf b;
    dm_buf_init(&b, NAME_CAP);
    if (is_tls(url)) /* never a plain connection where TLS is asked for, or the
                        other way round */
        dm_buf_add(&b, DM_LIT("tls:"));
    add_host(&b, url);
    dm_buf_addf(&b, ":%u", url->port);
    server->key = text_within(m, server->text, dm_buf_view(&b));
    dm_buf_clear(&b);
    add_host(&b, url);
    if (url->port != (is_tls(url) ? 443 : 80)) /* as a browser would send it */
        dm_buf_addf(&b, ":%u", url->port);
    server->host_header = text_within(m, server->text, dm_buf_view(&b));
    dm_buf_done(&b);
}

static bool readable(dm_view text)
{
    struct dm_error err;
    struct dm_url url;
    if (dm_url_parse(text, &url, &err) == DM_OK)
        return true;
    DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "policy.server.skipped", DM_F("server", text),
           DM_FC("reason", err.text));
    return false;
}

static void add_server(struct pool_memory *m, struct dm_policy_server *server, dm_view text,
                       char *own)
{
    memcpy(own, text.ptr, text.len);
    server->text = dm_view_make(own, text.len);
    enum dm_code rc =
        dm_url_parse(server->text, &server->url, NULL); /* its views point into our text */
    DM_ASSERT(rc == DM_OK);
    fill_names(m, server);
}

static void fill(struct dm_policy_pool *ret, const dm_view *texts, size_t n)
{
    size_t servers = n * sizeof(struct dm_policy_server), len = 0;
    for (size_t i = 0; i < n; i++)
        len += texts[i].len;
    struct pool_memory *m = dm_mem_alloc(sizeof *m + servers + len);
    char *own = (char *)m->servers + servers;
    atomic_init(&m->refs, 1);
    for (size_t i = 0; i < n; i++) {
        add_server(m, &m->servers[i], texts[i], own);
        own += texts[i].len;
    }
    ret->servers = m->servers;
    ret->n_servers = (uint32_t)n;
}

void policy_pool_build(const struct dm_json *servers, struct dm_policy_pool *ret)
{
    *ret = (struct dm_policy_pool){0};
    if (!dm_json_is(servers, DM_JSON_ARRAY) || dm_json_len(servers) == 0)
        return;
    dm_view *texts = dm_mem_array(dm_json_len(servers), sizeof *texts);
    size_t n = 0;
    for (const struct dm_json *item = dm_json_first(servers); item != NULL;
         item = dm_json_next(item)) {
        if (readable(dm_json_str(item)))
            texts[n++] = dm_json_str(item);
    }
    if (n > 0)
        fill(ret, texts, n);
    dm_mem_free(texts);
}

void policy_pool_ref(const struct dm_policy_pool *p)
{
    if (p->servers != NULL)
        atomic_fetch_add_explicit(&memory_of(p)->refs, 1, memory_order_relaxed);
}

void policy_pool_unref(struct dm_policy_pool *p)
{
    struct pool_memory *m = p->servers == NULL ? NULL : memory_of(p);
    p->servers = NULL;
    p->n_servers = 0;
    if (m == NULL || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    policy_storage_unref(m->names);
    dm_mem_free(m);
}
