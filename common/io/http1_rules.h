/* What the carrier needs of the settings, worked out once per settings snapshot: limits, deadlines
 * and the block of security headers ready to be copied (operations.md §8.8). Counted by its worker
 * alone, so pinning one per request costs no atomic. Loop thread. */
#pragma once

#include "io/headers.h"
#include "io/http_guard.h"
#include "model/settings.h"

enum { HTTP1_SECURITY_LINES = 6 };

struct http1_rules {
    unsigned refs_;
    const struct dm_settings *settings; /* one reference of ours */
    struct dm_guard_limits guard;
    uint64_t max_body;
    size_t arena_cap;
    dm_time header_timeout, body_timeout, body_deadline, idle_timeout; /* body_deadline 0: none */
    dm_view security;                                                  /* all lines, each ended */
    size_t n_lines;
    struct {
        enum dm_header_id id;
        dm_view line;
    } lines[HTTP1_SECURITY_LINES];
    char text_[];
};

struct http1_rules *http1_rules_new(const struct dm_settings *s);
struct http1_rules *http1_rules_ref(struct http1_rules *r);
void http1_rules_unref(struct http1_rules *r); /* NULL is fine */
