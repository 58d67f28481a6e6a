/* Request targets and URLs (RFC 3986), normalised once for everyone (gateway.md §6.1): segments are
 * percent-decoded, empty ones dropped; a segment that decodes to "." or "..", or holds "/", "?", "#",
 * "\", or a control byte, is refused. Pure. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

enum { DM_URI_SEGMENTS_MAX = 64 }; /* deeper paths are refused: nobody publishes one, matching stays bounded */

struct dm_target {
    dm_view raw_path;  /* as received, without the query */
    dm_view raw_query; /* as received, without '?'; ptr NULL when there was none */
    dm_view segments[DM_URI_SEGMENTS_MAX]; /* decoded */
    size_t n_segments;
    bool trailing_slash;
};

/* origin-form or absolute-form (http/https; ret_authority set, else empty). CONNECT and asterisk forms are
 * DM_INVALID here. Bytes are taken from `arena` only where decoding changes something. */
enum dm_code dm_target_parse(dm_view target, struct dm_arena *arena, struct dm_target *ret,
                             dm_view *ret_authority) DM_MUST_USE;
/* "/a/b%20c": joins and re-encodes segments [from, n). No segments: "/". */
void dm_target_write_path(const struct dm_target *t, size_t from, struct dm_buf *out);
void dm_uri_encode_segment(dm_view segment, struct dm_buf *out); /* all but unreserved, sub-delims, ":", "@" */
bool dm_uri_decode(dm_view in, bool plus_is_space, struct dm_buf *out); /* false on a bad escape or NUL */
/* First value of a query parameter, decoded; false when absent. */
bool dm_query_get(dm_view raw_query, dm_view name, struct dm_buf *out);

struct dm_url {
    dm_view scheme;   /* lower-case in the input, else refused: "http" "https" "grpc" "grpcs" "unix" */
    dm_view host;     /* without brackets for IPv6 */
    uint16_t port;    /* default of the scheme when absent */
    dm_view path;     /* from the first '/', without trailing slashes; may be empty */
    dm_view query;
    bool bare;        /* "host:port" without scheme */
};
/* Server addresses as stored in api_servers; "unix:/path/sock" and "unix:/path/sock:/base" too.
 * Views point into text. User-info is refused. */
enum dm_code dm_url_parse(dm_view text, struct dm_url *ret, struct dm_error *err) DM_MUST_USE;
bool dm_host_valid(dm_view host); /* RFC 1123 name, IPv4 or bracketed IPv6, with optional port */
