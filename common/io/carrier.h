/* What carries exchanges (HTTP/1 today; HTTP/2 streams later): the functions behind io/exchange.h.
 * For exchange.c and carriers only. Loop thread. */
#pragma once

#include "io/exchange.h"

/* What a carrier calls instead of handler->on_room. */
void dm_exchange_room(struct dm_exchange *x);

struct dm_carrier {
    enum dm_code (*pull)(struct dm_exchange *x, dm_view *ret_bytes);
    void (*consume)(struct dm_exchange *x, size_t len);
    void (*limit_body)(struct dm_exchange *x, uint64_t max);
    uint64_t (*body_limit)(const struct dm_exchange *x);
    const struct dm_fields *(*trailers)(struct dm_exchange *x);
    void (*answer)(struct dm_exchange *x, const struct dm_answer *a);
    void (*inform)(struct dm_exchange *x, int status, const struct dm_fields *fields);
    size_t (*push)(struct dm_exchange *x, dm_view bytes);
    /* What push did not take of a whole body: copied, sent as there is room, then finish takes
     * effect. */
    void (*keep)(struct dm_exchange *x, dm_view rest);
    void (*trailer)(struct dm_exchange *x, dm_view name, dm_view value);
    void (*finish)(struct dm_exchange *x);
    void (*abort)(struct dm_exchange *x);
    bool (*draining)(const struct dm_exchange *x);
};
