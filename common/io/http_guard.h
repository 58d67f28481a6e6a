/* What llhttp lets through and we do not: one judgement over a parsed request head and its raw
 * bytes (design.md §3, gateway.md §1.1). Ambiguity is refused, never repaired: two servers in a row
 * must read the same request. Pure; fuzzed by tests/fuzz/fuzz_headers.c and fuzz_listener.c. */
#pragma once

#include "base/error.h"
#include "io/exchange.h"

enum dm_guard {
    DM_GUARD_OK = 0,
#define DM_GUARD_FAULT(id, err, reason) DM_GUARD_##id,
#include "io/http_guard.def"
#undef DM_GUARD_FAULT
    DM_GUARD_COUNT_
};

struct dm_guard_limits {
    size_t max_head, max_target, max_fields; /* MAX_HEADER_BYTES, MAX_URI_BYTES, MAX_HEADER_COUNT */
};

/* In: method, target and fields (names and values, ids unset) as views into `raw`, the bytes from
 * the first of the request to the end of its head. Out, on OK: ids, values without trailing blanks,
 * host, minor, length, chunked, expect_continue, upgrade; fields that no client may send are gone.
 * Ids are set whatever the verdict. */
enum dm_guard dm_http_guard(struct dm_request_head *head, dm_view raw,
                            const struct dm_guard_limits *limits);
/* Drops from trailers all that must not come late: framing, routing, credentials, anything we know.
 */
enum dm_guard dm_http_guard_trailers(struct dm_fields *trailers);
/* No control bytes but tab: fit for a field's value on the wire, either way. */
bool dm_http_value_ok(dm_view value);
/* The connection stays open after this request, as far as the client is concerned (RFC 9112 §9.3).
 */
bool dm_http_keeps_alive(const struct dm_request_head *head);

enum dm_err dm_guard_err(enum dm_guard g);
const char *
dm_guard_reason(enum dm_guard g); /* a word of a closed set: metric label, X-Doorman-Reason */
