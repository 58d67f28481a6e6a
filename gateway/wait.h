/* How a request is named from outside, and what it can wait for: the two things that those who
 * answer it (live store, upstream, timer) hold. Loop thread of its worker only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "io/timer.h"

/* Names a request from outside. A slot is used again, its generation is not. */
struct gw_handle {
    uint32_t slot, generation;
};

/* Everything a request can wait for; always exactly one, with a deadline. */
enum gw_wait_on {
    GW_WAIT_NOTHING = 0,
    GW_WAIT_PRINCIPAL, /* user and subscriptions, first use in this process */
    GW_WAIT_ADMISSION, /* revocation and counters: the live store */
    GW_WAIT_THROTTLE,  /* the delay that a throttle imposes */
    GW_WAIT_RESERVE,   /* one credit: the live store */
    GW_WAIT_UPSTREAM,  /* head of the upstream's answer */
    GW_WAIT_BACKOFF,   /* before the next attempt */
    GW_WAIT_ANSWER     /* the rest of the answer, and the client taking it */
};

struct gw_wait { /* written by gw_wait and gw_request_resume alone */
    enum gw_wait_on on;
    bool late; /* it ended by its deadline */
    struct dm_timer timer;
};
