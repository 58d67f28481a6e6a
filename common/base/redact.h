/* Redaction of one finished log line, one linear pass (rules: operations.md §8.6). Pure. Any
 * thread. A text that begins with { or [ is taken for JSON and stays well-formed. Where a value's
 * end is not certain more is cut rather than less. */
#pragma once

#include "base/buf.h"

/* Appends; "[REDACTED]" replaces each secret. Room for 3 * line.len + 64 bytes is always enough. */
void dm_redact(dm_view line, struct dm_buf *out);
/* True for a key of an audit/details object whose value must not be shown. */
bool dm_redact_key(dm_view key);
/* True for a value shaped like a secret (JWT, Bearer, Basic, sk-, 32+ hex digits, private key). */
bool dm_redact_value(dm_view value);
