/* The audit event of a call: one record per mutating call and per refusal of permission, in the
 * trail of the log, which never drops it, and in the chain of the documents (services/trail.h),
 * before the answer (operations.md §8.5). */
#pragma once

#include "admin/call.h"
#include "model/watch.h"

/* An error: it is in the log alone, which is said there. Whoever answers a change looks at it. */
enum dm_code adm_audit_write(struct adm_call *c, dm_view action, const char *status,
                             struct dm_error *err);
/* auth.suspicious, beside the event of the call itself (operations.md §8.5). */
void adm_audit_suspicious(struct adm_call *c, dm_view target, const char *reason);
/* The same for what only many of make suspicious: counts one by `who`, told once too many. */
void adm_audit_watch(struct adm_call *c, enum dm_watch_kind kind, dm_view who, dm_view target);
