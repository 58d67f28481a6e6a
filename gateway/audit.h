/* Data-plane events of the audit trail (gateway.md §25.5, operations.md §8.5). Rare. */
#pragma once

#include "gateway/request.h"
#include "model/watch.h"

/* A call that was blocked: action of the contract, what it aimed at, why. */
void gw_audit_blocked(const struct gw_request *rq, const char *action, dm_view target,
                      const char *reason);
void gw_audit_body_size(const struct gw_request *rq);
/* auth.suspicious: a revoked token was used; told once in a minute. */
void gw_audit_revoked_token(const struct gw_request *rq);
/* The same for what only many of make suspicious: counts one by its address, told once too many. */
void gw_audit_watch(const struct gw_request *rq, enum dm_watch_kind kind,
                    const struct dm_address *who);
