/* `smoke`: does an installation work. Creates an API and a user, subscribes, calls through the
 * gateway (200, 401, 429), removes both again. helm test runs it. */
#pragma once

#include "programs/process/program.h"

#define SMOKE_HELP                                                                                 \
    "  smoke          check a running installation: an API, a user, calls through the gateway;\n"  \
    "                 SMOKE_ADMIN_URL, SMOKE_GATEWAY_URL, SMOKE_REST_UPSTREAM, SMOKE_EMAIL,\n"     \
    "                 SMOKE_PASSWORD or SMOKE_PASSWORD_FILE; exit 0, 1 or 64;\n"                   \
    "                 SMOKE_GATEWAY_URL=none: publish, but call nothing\n"

int command_smoke(const struct program *program, struct process *p, const struct options *o);
