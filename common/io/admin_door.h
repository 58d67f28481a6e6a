/* The passage from the front door to the admin server: proxies an exchange over the Unix socket,
 * byte for byte, adding the internal headers. One connection per request: a kept one would hold a
 * thread of the admin server while it idles. Give it a client of its own, or slow handlers eat the
 * upstreams' share of the pool. Loop thread only. */
#pragma once

#include "io/exchange.h"
#include "io/http_client.h"

struct dm_admin_door {
    struct dm_http_client *client;
    const char *socket_path;
    dm_time timeout; /* an admin handler's time, from the last byte of the request */
};

/* Takes the exchange over: on_body, on_room, on_gone, on_done are its own from here. */
void dm_admin_door_serve(struct dm_admin_door *d, struct dm_exchange *x);
