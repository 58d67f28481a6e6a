/* Request targets and URLs (RFC 3986), normalised once for everyone (gateway.md §6.1): segments are
 * percent-decoded, empty ones dropped. Refused is a segment that decodes to "." or ".." (also
 * before a ";"), that holds a slash, "?", "#", a backslash or a control byte, or that is no UTF-8.
 * Pure. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

/* Deeper paths are refused: nobody publishes one, and matching stays bounded. */
enum { DM_URI_SEGMENTS_MAX = 64 };

struct dm_target {
    dm_view raw_path;  /* as received, without the query */
    dm_view raw_query; /* as received, without '?'; ptr NULL when there was none */
    dm_view segments[DM_URI_SEGMENTS_MAX]; /* decoded */
    size_t n_segments;
    bool trailing_slash;
};

/* origin-form or absolute-form (http/https; ret_authority set, else empty). CONNECT and asterisk
 * forms are DM_INVALID here. Bytes are taken from `arena` only where decoding changes something. */
enum dm_code dm_target_parse(dm_view target, struct dm_arena *arena, struct dm_target *ret,
                             dm_view *ret_authority) DM_MUST_USE;
/* "/a/b%20c": joins and re-encodes segments [from, n). No segments: "/". */
void dm_target_write_path(const struct dm_target *t, size_t from, struct dm_buf *out);
/* Escapes all but unreserved, sub-delims, ":" and "@". */
void dm_uri_encode_segment(dm_view segment, struct dm_buf *out);
/* False on a bad escape or a zero byte. */
bool dm_uri_decode(dm_view in, bool plus_is_space, struct dm_buf *out);
/* First value of a query parameter, decoded; false when absent. */
bool dm_query_get(dm_view raw_query, dm_view name, struct dm_buf *out);

struct dm_url {
    dm_view scheme; /* http, https, grpc, grpcs, unix; empty when bare. Upper case is refused */
    dm_view host;   /* without brackets for IPv6 */
    uint16_t port;  /* default of the scheme when absent */
    dm_view path;   /* from the first '/', without trailing slashes; may be empty */
    dm_view query;
    bool bare; /* "host:port" without scheme */
};
/* Server addresses as stored in api_servers; "unix:/path/sock" and "unix:/path/sock:/base" too.
 * Views point into text. User-info is refused. */
enum dm_code dm_url_parse(dm_view text, struct dm_url *ret, struct dm_error *err) DM_MUST_USE;
bool dm_host_valid(dm_view host); /* RFC 1123 name, IPv4 or bracketed IPv6, with optional port */
