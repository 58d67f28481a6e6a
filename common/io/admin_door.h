/* The passage from the front door to the admin part, byte for byte: over a Unix socket to the admin
 * server of this process (with the internal headers, one connection per request, since a kept one
 * would hold a thread there while it idles), or to the front door of doorman-admin
 * (ADMIN_UPSTREAM_URL, with X-Forwarded-*). Give it a client of its own, or slow handlers eat the
 * upstreams' share of the pool. Loop thread only. */
#pragma once

#include "io/exchange.h"
#include "io/http_client.h"

struct dm_admin_origin { /* another process; borrowed */
    dm_view host, key;   /* key: "host:port" */
    uint16_t port;
};

struct dm_admin_door {
    struct dm_http_client *client;
    const char *socket_path;              /* NULL: `origin` */
    const struct dm_admin_origin *origin; /* NULL: the socket */
    dm_time timeout; /* an admin handler's time, from the last byte of the request */
};

/* Takes the exchange over: on_body, on_room, on_gone, on_done are its own from here. */
void dm_admin_door_serve(struct dm_admin_door *d, struct dm_exchange *x);
