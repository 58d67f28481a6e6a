/* Per-address limits of login and registration (platform-access.md §8.1), by the route's rate
 * class. */
#pragma once

#include "admin/call.h"

void adm_login_limit(
    struct adm_call *c); /* sets 429 IP_RATE_LIMIT past the limit; adds X-RateLimit-* */
