/* Server addresses of a pool, parsed once. What the admin refuses on save cannot come here; what does come
 * all the same (a document from elsewhere) is skipped with a warning. */
#include "base/log.h"
#include "model/policy_storage.h"

enum { HOST_CAP = 300 }; /* a host name has at most 253 bytes, plus brackets and port */

static uint16_t default_port(dm_view scheme)
{
    return dm_view_eq(scheme, DM_LIT("https")) || dm_view_eq(scheme, DM_LIT("grpcs")) ? 443 : 80;
}

static void add_host(struct dm_buf *b, const struct dm_url *url, bool with_port)
{
    bool v6 = dm_view_find_byte(url->host, ':', 0) < url->host.len;

    dm_buf_addf(b, v6 ? "[%.*s]" : "%.*s", DM_FMT(url->host));
    if (with_port)
        dm_buf_addf(b, ":%u", url->port);
}

/* Host as a client would send it: no port where it is the scheme's own. */
static void fill_names(struct dm_policy_storage *s, struct dm_policy_server *server)
{
    const struct dm_url *url = &server->url;
    struct dm_buf b;

    if (dm_view_eq(url->scheme, DM_LIT("unix"))) {
        server->key = url->host;
        server->host_header = DM_LIT("localhost");
        return;
    }
    dm_buf_init(&b, HOST_CAP);
    add_host(&b, url, true);
    server->key = policy_text(s, dm_buf_view(&b));
    dm_buf_clear(&b);
    add_host(&b, url, url->bare ? url->port != 80 : url->port != default_port(url->scheme));
    server->host_header = policy_text(s, dm_buf_view(&b));
    dm_buf_done(&b);
}

void policy_pool_build(struct dm_policy_storage *s, const struct dm_json *servers, uint32_t slot,
                       struct dm_policy_pool *ret)
{
    struct dm_strs texts = policy_strs(s, servers);
    struct dm_error err;

    ret->slot = slot;
    ret->n_servers = 0;
    ret->servers = texts.count > 0 ? policy_take(s, texts.count * sizeof(*ret->servers)) : NULL;
    for (size_t i = 0; i < texts.count; i++) {
        struct dm_policy_server *server = &ret->servers[ret->n_servers];

        if (dm_url_parse(texts.items[i], &server->url, &err) != DM_OK) {
            DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "policy.server.skipped", DM_F("server", texts.items[i]),
                   DM_FC("reason", err.text));
            continue;
        }
        server->text = texts.items[i];
        fill_names(s, server);
        ret->n_servers++;
    }
}
