/* Redaction of one finished log line, one linear pass (rules: operations.md §8.6). Pure. Any thread. */
#pragma once

#include "base/buf.h"

void dm_redact(dm_view line, struct dm_buf *out); /* appends; "[REDACTED]" replaces each secret */
/* True for a key of an audit/details object whose value must not be shown. */
bool dm_redact_key(dm_view key);
/* True for a value shaped like a secret (JWT, Bearer, Basic, sk-, 32+ hex digits, PEM private key). */
bool dm_redact_value(dm_view value);
