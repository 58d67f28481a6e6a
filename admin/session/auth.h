/* Who asks: token from cookie or header, verified against the current records (platform-access.md
 * §5). */
#pragma once

#include "admin/call.h"
#include "admin/router.h"
#include "crypto/jwt.h"

enum adm_auth_outcome {
    ADM_AUTH_OK = 0,
    ADM_AUTH_UNAUTHORIZED, /* one answer for every inner reason (O4) */
    ADM_AUTH_CSRF,
    ADM_AUTH_ANSWERED /* result already set: a store is away, or no memory */
};

/* use: ANY on the refresh route, else ACCESS. Fills c->caller on OK. */
enum adm_auth_outcome adm_authenticate(struct adm_call *c, enum dm_jwt_use use);
/* Double submit (§5.6): only in secure mode, for mutating methods, when the credential came by
 * cookie. */
bool adm_csrf_ok(struct adm_call *c);
/* The value of one cookie of the request; ptr NULL when absent. */
dm_view adm_cookie(struct adm_call *c, dm_view name);
