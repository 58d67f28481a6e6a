/* What GET /platform/monitor/metrics answers (operations.md §8.2), out of the minute buckets and
 * what was rolled up of them. Blocking, any thread. */
#pragma once

#include "admin/app.h"

struct adm_figures_question {
    int64_t now;     /* Unix seconds */
    int64_t seconds; /* back from now */
    dm_view period;  /* "24h": told back */
    bool by_day, descending;
};
enum dm_code adm_figures_report(struct adm_app *app, const struct adm_figures_question *q,
                                struct dm_json **ret, struct dm_error *err) DM_MUST_USE;
