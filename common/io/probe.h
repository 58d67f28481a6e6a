/* The other end of our own probes: one blocking GET on the loopback address, for `healthcheck` in
 * images that carry no shell and no curl. Not for a process that serves. */
#pragma once

#include "base/view.h"

bool dm_probe_ask(uint16_t port, dm_view path); /* true: 200 within 3 s */
