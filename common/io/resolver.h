/* Names to addresses on the loop: c-ares behind a small cache. Literals and cached names answer at
 * once; /etc/hosts comes before DNS; both families, IPv4 first, turned round by one each time so
 * that the addresses of a name share the load. A name is asked for once however many wait for it.
 * Loop thread only. */
#pragma once

#include "base/error.h"
#include "io/loop.h"
#include "model/address.h"

enum { DM_ADDRESSES_MAX = 16 }; /* of one name: more do not make a dial better */
struct dm_addresses {
    unsigned count;
    struct dm_address items[DM_ADDRESSES_MAX];
};

struct dm_resolver;
struct dm_resolve; /* embedded by the asker; cancelled before it goes away */
/* rc: DM_OK with addresses, DM_NOT_FOUND (no such name), DM_UNAVAILABLE (no answer). */
typedef void (*dm_resolve_fn)(struct dm_resolve *q, enum dm_code rc, const struct dm_addresses *a);
struct dm_resolve {
    struct dm_link link_;
    dm_resolve_fn fn;
};

struct dm_resolver_config {
    struct dm_loop *loop;
    const char *servers; /* "ip:port,..." instead of /etc/resolv.conf; NULL: as the system says */
};

enum dm_code dm_resolver_new(const struct dm_resolver_config *c, struct dm_resolver **ret,
                             struct dm_error *err) DM_MUST_USE;
void dm_resolver_free(struct dm_resolver *r); /* nobody may wait any more */
/* An IPv4 or IPv6 address (also in brackets) needs no resolver. */
bool dm_resolver_literal(dm_view host, struct dm_addresses *ret);
/* DM_OK: *ret filled. DM_AGAIN: q->fn will be called, from an event or a timer. Others as in q->fn;
 * DM_INVALID: not a host name. */
enum dm_code dm_resolver_ask(struct dm_resolver *r, dm_view host, struct dm_resolve *q,
                             dm_resolve_fn fn, struct dm_addresses *ret) DM_MUST_USE;
void dm_resolve_init(struct dm_resolve *q);
void dm_resolve_cancel(struct dm_resolve *q); /* twice is fine */
