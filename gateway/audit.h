/* Data-plane events of the audit trail (gateway.md §25.5, operations.md §8.5). Rare. */
#pragma once

#include "gateway/request.h"

/* A call that was blocked: action of the contract, what it aimed at, why. */
void gw_audit_blocked(const struct gw_request *rq, const char *action, dm_view target,
                      const char *reason);
void gw_audit_body_size(const struct gw_request *rq);
void gw_audit_revoked_token(const struct gw_request *rq);
