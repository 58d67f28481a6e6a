/* The audit event of a call: one record per mutating call and per refusal of permission, written
 * before the answer (operations.md §8.5). The trail is never dropped by the log. */
#pragma once

#include "admin/call.h"

void adm_audit_write(struct adm_call *c, dm_view action, const char *status);
