/* One blocking HTTP/1.1 call at a time, plain TCP, for commands that check a running product from
 * outside (smoke). Not for a process that serves. One thread. */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "codec/uri.h"

struct call {
    const struct dm_url *to; /* http only */
    const char *method;
    dm_view path;
    dm_view token; /* Bearer; empty: none */
    dm_view body;  /* JSON; empty: none */
};

/* The status of the answer, its body in *ret_body (initialised by the caller); 0: none came, and
 * err tells why. */
int call_make(const struct call *c, struct dm_buf *ret_body, struct dm_error *err);
