#include "io/resolver.h"

#include <ares.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>

#include "base/assert.h"
#include "base/map.h"
#include "io/timer.h"

enum {
    NAME_MAX_LEN = 254, /* RFC 1035 §2.3.4, with the dot at the end */
    CACHE_MAX = 1024,   /* names: more than any policy holds upstreams */
    QUERY_TIMEOUT_MS = 1000,
    QUERY_TRIES = 3
};
/* TTL 0 must not mean a query per connection; a day must not outlive a moved service. */
static const dm_time TTL_MIN = 1 * DM_SEC, TTL_MAX = 300 * DM_SEC;
/* Short: a name that is created now is usable now, and a storm of calls is still one query a
 * second. */
static const dm_time TTL_NEGATIVE = 1 * DM_SEC;

struct watch { /* one socket of c-ares */
    struct dm_io io;
    struct dm_link link;
    struct dm_resolver *resolver;
};

struct entry {
    struct dm_resolver *resolver;
    struct dm_link age; /* oldest first */
    struct dm_link waiters;
    enum dm_code rc; /* DM_AGAIN: being asked for */
    struct dm_addresses addresses;
    dm_time until;
    unsigned turn;
    char name[NAME_MAX_LEN + 1];
};

struct dm_resolver {
    struct dm_loop *loop;
    ares_channel channel;
    struct dm_link watches, ages;
    struct dm_map *names;
    struct dm_timer timer;
};

/* --- c-ares on the loop --- */

static void rearm(struct dm_resolver *r)
{
    struct timeval tv;
    if (ares_timeout(r->channel, NULL, &tv) == NULL)
        dm_timer_stop(&r->timer);
    else
        dm_timer_start(r->loop, &r->timer, tv.tv_sec * DM_SEC + tv.tv_usec * DM_US);
}

static void on_timer(struct dm_timer *t)
{
    struct dm_resolver *r = DM_CONTAINER_OF(t, struct dm_resolver, timer);
    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    rearm(r);
}

static void on_event(struct dm_io *io, uint32_t events)
{
    struct dm_resolver *r = DM_CONTAINER_OF(io, struct watch, io)->resolver;
    int fd = io->fd; /* the watch may go away while c-ares works */
    bool in = events & (EPOLLIN | EPOLLERR | EPOLLHUP), out = events & EPOLLOUT;
    ares_process_fd(r->channel, in ? fd : ARES_SOCKET_BAD, out ? fd : ARES_SOCKET_BAD);
    rearm(r);
}

static void on_socket(void *ctx, ares_socket_t fd, int readable, int writable)
{
    struct dm_resolver *r = ctx;
    struct watch *w = NULL;
    DM_LIST_EACH_SAFE(&r->watches, l, tmp) {
        if (DM_CONTAINER_OF(l, struct watch, link)->io.fd == fd)
            w = DM_CONTAINER_OF(l, struct watch, link);
    }
    if (!readable && !writable) {
        if (w == NULL)
            return;
        dm_loop_forget(r->loop, &w->io);
        dm_list_remove(&w->link);
        dm_mem_free(w);
        return;
    }
    if (w == NULL) {
        w = DM_NEW(struct watch);
        *w = (struct watch){.io = {.fd = fd, .fn = on_event}, .resolver = r};
        dm_list_add_tail(&r->watches, &w->link);
    }
    dm_loop_watch_level(r->loop, &w->io, (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u));
}

static void init_library(void)
{
    (void)ares_library_init(ARES_LIB_INIT_ALL);
}

enum dm_code dm_resolver_new(const struct dm_resolver_config *c, struct dm_resolver **ret,
                             struct dm_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_library);
    struct dm_resolver *r = DM_NEW(struct dm_resolver);
    r->loop = c->loop;
    dm_list_init(&r->watches);
    dm_list_init(&r->ages);
    dm_timer_init(&r->timer, on_timer);
    struct ares_options o = {
        .sock_state_cb = on_socket,
        .sock_state_cb_data = r,
        .lookups = (char *)"fb", /* /etc/hosts, then DNS */
        .timeout = QUERY_TIMEOUT_MS,
        .tries = QUERY_TRIES,
    };
    int mask = ARES_OPT_SOCK_STATE_CB | ARES_OPT_LOOKUPS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES;
#ifdef ARES_OPT_QUERY_CACHE
    o.qcache_max_ttl = 0; /* ours is below */
    mask |= ARES_OPT_QUERY_CACHE;
#endif
    int rc = ares_init_options(&r->channel, &o, mask);
    if (rc == ARES_SUCCESS && c->servers != NULL) {
        rc = ares_set_servers_ports_csv(r->channel, c->servers);
        if (rc != ARES_SUCCESS)
            ares_destroy(r->channel);
    }
    if (rc != ARES_SUCCESS) {
        dm_mem_free(r);
        return DM_FAIL(err, DM_UNAVAILABLE, ERR_INTERNAL, "could not start the resolver: %s",
                       ares_strerror(rc));
    }
    r->names = dm_map_new(dm_mem_free);
    *ret = r;
    return DM_OK;
}

void dm_resolver_free(struct dm_resolver *r)
{
    if (r == NULL)
        return;
    DM_LIST_EACH_SAFE(&r->ages, l, tmp) {
        DM_REQUIRE(dm_list_empty(&DM_CONTAINER_OF(l, struct entry, age)->waiters));
    }
    ares_destroy(r->channel);
    DM_ASSERT(dm_list_empty(&r->watches));
    dm_timer_stop(&r->timer);
    dm_map_free(r->names);
    dm_mem_free(r);
}

/* --- answers --- */

static bool take_node(struct dm_addresses *a, const struct ares_addrinfo_node *n)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct dm_address *to = &a->items[a->count];
    *to = (struct dm_address){.unix_socket = false};
    if (n->ai_family == AF_INET) {
        memcpy(to->bytes, mapped, sizeof mapped);
        memcpy(to->bytes + 12, &((const struct sockaddr_in *)(const void *)n->ai_addr)->sin_addr,
               4);
    } else if (n->ai_family == AF_INET6) {
        memcpy(to->bytes, &((const struct sockaddr_in6 *)(const void *)n->ai_addr)->sin6_addr, 16);
    } else {
        return false;
    }
    a->count++;
    return true;
}

static dm_time take_family(struct dm_addresses *a, const struct ares_addrinfo *info, int family,
                           dm_time ttl)
{
    for (const struct ares_addrinfo_node *n = info->nodes; n != NULL; n = n->ai_next) {
        if (n->ai_family != family || a->count == DM_ADDRESSES_MAX || !take_node(a, n))
            continue;
        if (n->ai_ttl * DM_SEC < ttl)
            ttl = n->ai_ttl * DM_SEC;
    }
    return ttl;
}

/* The addresses of one family side by side, each time beginning with the next one. */
static void turn_family(const struct dm_addresses *from, unsigned first, unsigned count,
                        unsigned turn, struct dm_addresses *to)
{
    for (unsigned i = 0; i < count; i++)
        to->items[to->count++] = from->items[first + (i + turn) % count];
}

static bool is_mapped(const struct dm_address *a)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(a->bytes, mapped, sizeof mapped) == 0;
}

static void copy_turned(const struct dm_addresses *a, unsigned turn, struct dm_addresses *ret)
{
    unsigned n4 = 0;
    while (n4 < a->count && is_mapped(&a->items[n4]))
        n4++;
    ret->count = 0;
    turn_family(a, 0, n4, turn, ret);
    turn_family(a, n4, a->count - n4, turn, ret);
}

static void entry_set(struct entry *e, int status, const struct ares_addrinfo *info)
{
    dm_time ttl = TTL_MAX, now = dm_loop_now(e->resolver->loop);
    e->addresses.count = 0;
    if (status == ARES_SUCCESS && info != NULL) {
        ttl = take_family(&e->addresses, info, AF_INET, ttl);
        ttl = take_family(&e->addresses, info, AF_INET6, ttl);
    }
    if (e->addresses.count > 0) {
        e->rc = DM_OK;
        e->until = now + (ttl < TTL_MIN ? TTL_MIN : ttl);
        return;
    }
    bool absent = status == ARES_SUCCESS || status == ARES_ENOTFOUND || status == ARES_ENODATA;
    e->rc = absent ? DM_NOT_FOUND : DM_UNAVAILABLE;
    e->until = now + TTL_NEGATIVE;
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    (void)timeouts;
    struct entry *e = arg;
    entry_set(e, status, info);
    if (info != NULL)
        ares_freeaddrinfo(info);
    struct dm_link told;
    dm_list_init(&told);
    unsigned turn = e->turn;
    for (struct dm_link *l; (l = dm_list_pop(&e->waiters)) != NULL; e->turn++)
        dm_list_add_tail(&told, l);
    /* who is told may ask for other names, and that may push this entry out */
    const struct dm_addresses found = e->addresses;
    enum dm_code rc = e->rc;
    for (struct dm_link *l; (l = dm_list_pop(&told)) != NULL;) {
        struct dm_resolve *q = DM_CONTAINER_OF(l, struct dm_resolve, link_);
        struct dm_addresses turned;
        copy_turned(&found, turn++, &turned);
        q->fn(q, rc, &turned);
    }
}

/* --- asking --- */

static bool name_of(dm_view host, char out[NAME_MAX_LEN + 1])
{
    if (host.len == 0 || host.len > NAME_MAX_LEN)
        return false;
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c | 0x20);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_'))
            return false;
        out[i] = c;
    }
    out[host.len] = '\0';
    return true;
}

static bool drop_oldest(struct dm_resolver *r)
{
    DM_LIST_EACH_SAFE(&r->ages, l, tmp) {
        struct entry *e = DM_CONTAINER_OF(l, struct entry, age);
        if (e->rc == DM_AGAIN)
            continue; /* c-ares still knows it */
        dm_list_remove(&e->age);
        dm_map_remove(r->names, dm_view_of(e->name));
        return true;
    }
    return false;
}

static struct entry *entry_new(struct dm_resolver *r, const char *name)
{
    if (dm_map_count(r->names) >= CACHE_MAX && !drop_oldest(r))
        return NULL;
    struct entry *e = DM_NEW(struct entry);
    e->resolver = r;
    e->rc = DM_UNAVAILABLE;
    dm_list_init(&e->waiters);
    dm_list_add_tail(&r->ages, &e->age);
    memcpy(e->name, name, strlen(name) + 1);
    dm_map_put(r->names, dm_view_of(name), e);
    return e;
}

static void entry_ask(struct entry *e)
{
    static const struct ares_addrinfo_hints hints = {
        .ai_flags = ARES_AI_NOSORT, /* sorting opens a socket per address */
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
    };
    struct dm_resolver *r = e->resolver;
    e->rc = DM_AGAIN;
    dm_list_remove(&e->age);
    dm_list_add_tail(&r->ages, &e->age);
    ares_getaddrinfo(r->channel, e->name, NULL, &hints, on_answer, e); /* may answer at once */
    rearm(r);
}

bool dm_resolver_literal(dm_view host, struct dm_addresses *ret)
{
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = dm_view_sub(host, 1, host.len - 2);
    if (!dm_address_parse(host, &ret->items[0]))
        return false;
    ret->count = 1;
    return true;
}

enum dm_code dm_resolver_ask(struct dm_resolver *r, dm_view host, struct dm_resolve *q,
                             dm_resolve_fn fn, struct dm_addresses *ret)
{
    char name[NAME_MAX_LEN + 1];
    if (dm_resolver_literal(host, ret))
        return DM_OK;
    if (!name_of(host, name))
        return DM_INVALID;
    struct entry *e = dm_map_get(r->names, dm_view_of(name));
    if (e == NULL && (e = entry_new(r, name)) == NULL)
        return DM_UNAVAILABLE;
    if (e->rc != DM_AGAIN && e->until <= dm_loop_now(r->loop))
        entry_ask(e);
    if (e->rc == DM_OK)
        copy_turned(&e->addresses, e->turn++, ret);
    if (e->rc != DM_AGAIN)
        return e->rc;
    DM_REQUIRE(dm_list_empty(&q->link_));
    q->fn = fn;
    dm_list_add_tail(&e->waiters, &q->link_);
    return DM_AGAIN;
}

void dm_resolve_init(struct dm_resolve *q)
{
    dm_list_init(&q->link_);
}

void dm_resolve_cancel(struct dm_resolve *q)
{
    dm_list_remove(&q->link_);
}
