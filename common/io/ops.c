#include "io/ops.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/assert.h"
#include "crypto/equal.h"

#include "base/poison.h"

enum {
    PROBE_BODY_MAX = 256,
    /* METRICS_MAX_SERIES bounds each name; a page beyond this is a fault, not a scrape */
    METRICS_PAGE_MAX = 64 * 1024 * 1024
};
/* An event loop without a turn for so long will not come back (operations.md §8.1). */
static const dm_time STUCK_AFTER = 10 * DM_SEC;

struct page {
    bool detail; /* dependencies may be named */
    int status;
    char text[PROBE_BODY_MAX];
};
typedef void (*probe_fn)(struct dm_ops *ops, struct page *p);

static void set_page(struct page *p, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void set_page(struct page *p, int status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(p->text, sizeof p->text, fmt, args);
    va_end(args);
    DM_ASSERT(len > 0 && len < PROBE_BODY_MAX);
    p->status = status;
}

void dm_ops_beat(struct dm_ops *ops, size_t worker, dm_time now)
{
    DM_REQUIRE(worker < DM_OPS_WORKERS);
    atomic_store_explicit(&ops->beats_[worker], now, memory_order_relaxed);
}

static bool stuck(struct dm_ops *ops)
{
    dm_time now = dm_clock_mono(ops->clock);
    for (size_t i = 0; i < DM_OPS_WORKERS; i++) {
        int64_t last = atomic_load_explicit(&ops->beats_[i], memory_order_relaxed);
        if (last != 0 && now - last > STUCK_AFTER)
            return true;
    }
    return false;
}

static enum dm_ops_health health_of(struct dm_ops *ops)
{
    if (ops->health != NULL)
        return ops->health(ops->ctx);
    return atomic_load(&ops->degraded) ? DM_OPS_DEGRADED : DM_OPS_GOOD;
}

bool dm_ops_ready(struct dm_ops *ops)
{
    return atomic_load(&ops->ready) && !atomic_load(&ops->draining) && health_of(ops) != DM_OPS_BAD;
}

static const char *not_ready_word(struct dm_ops *ops)
{
    return atomic_load(&ops->draining) ? "draining" : "degraded";
}

static const char *state_of(struct dm_ops *ops, const char *(*ask)(void *ctx))
{
    return ask == NULL ? "memory" : ask(ops->ctx);
}

static void probe_liveness(struct dm_ops *ops, struct page *p)
{
    bool dead = stuck(ops);
    set_page(p, dead ? 503 : 200, "{\"status\":\"%s\"}", dead ? "stuck" : "alive");
}

static void probe_healthz(struct dm_ops *ops, struct page *p)
{
    bool dead = stuck(ops);
    set_page(p, dead ? 503 : 200, dead ? "{\"ok\":false,\"status\":\"stuck\"}" : "{\"ok\":true}");
}

static void probe_readiness(struct dm_ops *ops, struct page *p)
{
    bool ready = dm_ops_ready(ops);
    const char *word = !ready                              ? not_ready_word(ops)
                       : health_of(ops) == DM_OPS_DEGRADED ? "degraded"
                                                           : "ready";
    if (!p->detail) {
        set_page(p, ready ? 200 : 503, "{\"status\":\"%s\"}", word);
        return;
    }
    set_page(p, ready ? 200 : 503, "{\"status\":\"%s\",\"mongodb\":\"%s\",\"redis\":\"%s\"}", word,
             state_of(ops, ops->mongodb), state_of(ops, ops->redis));
}

static void probe_readyz(struct dm_ops *ops, struct page *p)
{
    if (!dm_ops_ready(ops))
        set_page(p, 503, "{\"ok\":false,\"status\":\"%s\"}", not_ready_word(ops));
    else
        set_page(p, 200, "{\"ok\":true,\"generation\":%" PRIu64 "}",
                 (uint64_t)atomic_load(&ops->generation));
}

static void probe_health(struct dm_ops *ops, struct page *p)
{
    bool ready = dm_ops_ready(ops);
    set_page(p, ready ? 200 : 503, "{\"status\":\"%s\"}", ready ? "ok" : "degraded");
}

static void probe_online(struct dm_ops *ops, struct page *p)
{
    (void)ops;
    set_page(p, 200, "{\"status\":\"online\"}");
}

static const struct {
    dm_view path;
    probe_fn probe;
} probes[] = {
    {{"/healthz", 8}, probe_healthz},
    {{"/readyz", 7}, probe_readyz},
    {{"/health", 7}, probe_health},
    {{"/api/health", 11}, probe_online},
    {{"/api/rest/health", 16}, probe_online},
    {{"/platform/monitor/liveness", 26}, probe_liveness},
    {{"/platform/monitor/readiness", 27}, probe_readiness},
};

static probe_fn find_probe(dm_view path)
{
    for (size_t i = 0; i < DM_COUNT_OF(probes); i++)
        if (dm_view_eq(probes[i].path, path))
            return probes[i].probe;
    return NULL;
}

static bool is_metrics(dm_view path)
{
    return dm_view_eq(path, DM_LIT("/metrics"));
}

bool dm_ops_owns(dm_view path)
{
    return is_metrics(path) || find_probe(path) != NULL;
}

static void reply(struct dm_exchange *x, int status, dm_view type, dm_view body)
{
    struct dm_field_line lines[] = {
        {.name = DM_LIT("Content-Type"), .value = type, .id = DM_HDR_CONTENT_TYPE},
        {.name = DM_LIT("Cache-Control"), .value = DM_LIT("no-store"), .id = DM_HDR_CACHE_CONTROL},
        {.name = DM_LIT("Allow"), .value = DM_LIT("GET, HEAD"), .id = DM_HDR_ALLOW},
        {.name = dm_header_name(DM_HDR_X_DOORMAN_REASON),
         .value = DM_LIT("route; method"),
         .id = DM_HDR_X_DOORMAN_REASON},
    };
    const size_t all = DM_COUNT_OF(lines);
    struct dm_fields fields = {.items = lines, .count = status == 405 ? all : all - 2, .size = all};
    struct dm_answer a = {.status = status, .fields = &fields};
    dm_exchange_reply(x, &a, body);
}

static void refuse_method(struct dm_exchange *x)
{
    reply(x, 405, DM_LIT("application/json"),
          DM_LIT("{\"detail\":\"Method Not Allowed\",\"error_code\":\"GTW405\","
                 "\"error_message\":\"Method Not Allowed\"}"));
}

/* ---- /metrics ---- */

static bool token_matches(const struct dm_exchange *x, dm_view token)
{
    dm_view given = dm_fields_get(&x->head.fields, DM_HDR_X_PROMETHEUS_TOKEN);
    dm_view bearer = dm_fields_get(&x->head.fields, DM_HDR_AUTHORIZATION);
    dm_view scheme = DM_LIT("Bearer ");
    if (given.len > 0 && dm_equal_secret(given, token))
        return true;
    if (!dm_view_eq_nocase(dm_view_sub(bearer, 0, scheme.len), scheme))
        return false;
    return dm_equal_secret(dm_view_trim(dm_view_sub(bearer, scheme.len, bearer.len)), token);
}

static struct dm_forwarding forwarding_of(const struct dm_exchange *x)
{
    const struct dm_fields *f = &x->head.fields;
    return (struct dm_forwarding){
        .x_forwarded_for = dm_fields_get(f, DM_HDR_X_FORWARDED_FOR),
        .x_real_ip = dm_fields_get(f, DM_HDR_X_REAL_IP),
        .cf_connecting_ip = dm_fields_get(f, DM_HDR_CF_CONNECTING_IP),
        .forwarded = dm_fields_get(f, DM_HDR_FORWARDED),
    };
}

/* operations.md §8.3.4, in its order. */
static bool may_scrape(const struct dm_exchange *x, bool status_port)
{
    const struct dm_settings *s = x->settings;
    if (s->prometheus_public && !status_port)
        return true;
    bool has_token = !dm_secret_empty(&s->prometheus_bearer_token);
    if (has_token && !token_matches(x, dm_secret_view(&s->prometheus_bearer_token)))
        return false;
    struct dm_forwarding f = forwarding_of(x);
    if (s->prometheus_allowlist != NULL) {
        struct dm_address client;
        dm_address_effective(&x->peer, s->prometheus_trust_xff, s->trusted_proxies, &f, &client);
        return dm_address_set_has(s->prometheus_allowlist, &client);
    }
    if (has_token || status_port)
        return true;
    /* what a proxy on this host passes on is no loopback client */
    return dm_address_loopback(&x->peer) && !dm_forwarding_any(&f);
}

static void serve_metrics(struct dm_ops *ops, struct dm_exchange *x, bool status_port)
{
    const dm_view type = DM_LIT("text/plain; version=0.0.4; charset=utf-8");
    if (!x->settings->prometheus_enabled) {
        reply(x, 503, type, DM_LIT("prometheus_disabled 1\n"));
        return;
    }
    if (!may_scrape(x, status_port)) {
        reply(x, 403, type, DM_LIT("prometheus_forbidden 1\n"));
        return;
    }
    if (ops->before_scrape != NULL)
        ops->before_scrape(ops->ctx);
    struct dm_buf page;
    dm_buf_init(&page, METRICS_PAGE_MAX);
    dm_metrics_write(ops->metrics, &page);
    if (dm_buf_ok(&page))
        reply(x, 200, type, dm_buf_view(&page));
    else
        dm_exchange_refuse(x, ERR_INTERNAL, DM_LIT("metrics; too large"));
    dm_buf_done(&page);
}

bool dm_ops_serve(struct dm_ops *ops, struct dm_exchange *x, dm_view path, bool status_port)
{
    probe_fn probe = find_probe(path);
    if (probe == NULL && !is_metrics(path))
        return false;
    bool reads =
        dm_view_eq(x->head.method, DM_LIT("GET")) || dm_view_eq(x->head.method, DM_LIT("HEAD"));
    if (!reads) {
        refuse_method(x);
        return true;
    }
    if (probe == NULL) {
        serve_metrics(ops, x, status_port);
        return true;
    }
    struct page p = {.detail = x->settings->readiness_public_detail};
    probe(ops, &p);
    reply(x, p.status, DM_LIT("application/json"), dm_view_of(p.text));
    return true;
}
