/* Paths below /api that belong to no API: /api/status, redirects for a missing or surplus slash,
 * and 404 for the rest (gateway.md §1.1, §23). The probes are answered by io/ops, /api/caches by
 * the admin. */
#pragma once

#include "gateway/pipeline.h"

struct gw_fixed {
    dm_view path;
    unsigned methods;
    dm_view allow;
    enum gw_next (*answer)(struct gw_request *rq); /* after identify and permit */
};

enum gw_next gw_fixed_resolve(struct gw_request *rq);
