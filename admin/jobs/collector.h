/* Takes what gateways send (store/live_stream.h) and stores it: figures into minute buckets, events
 * into the audit trail; rolls figures up, and walks the audit chain every hour. A thread of its own
 * in every admin. */
#pragma once

#include "admin/app.h"

struct adm_collector;
enum dm_code adm_collector_start(struct adm_app *app, struct adm_collector **ret,
                                 struct dm_error *err) DM_MUST_USE;
/* All that waits is stored when it returns, or the store is away: before a dump. Any thread. */
void adm_collector_flush(struct adm_collector *c); /* NULL is fine */
void adm_collector_stop(struct adm_collector *c);  /* NULL is fine */
