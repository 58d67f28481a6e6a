/* URI templates of endpoints, read from their text: "/items/{id}",
 * "/f/{id}.json", "/app/" followed by "*". A parameter stands for one or more
 * characters of one segment; everything else is literal and case-sensitive
 * (gateway.md §18.1). For the files of the policy room alone. Pure. */
#pragma once

#include "model/policy.h"

enum {
    POLICY_URI_MAX = 2048, /* the admin takes 255; other writers may not make a match slow */
    POLICY_PARAMS_MAX = 96 /* of one template: 255 characters hold 85 */
};

enum policy_class { /* in the order in which a match prefers them */
                    POLICY_LITERAL = 0,
                    POLICY_MIXED,   /* "{id}.json" */
                    POLICY_TEMPLATE /* "{id}" */
};

/* Cuts the next non-empty segment off *rest; false at the end and before a last
 * "*", which sets *ret_any. */
bool policy_segment_next(dm_view *rest, dm_view *ret_segment, bool *ret_any);
enum policy_class policy_segment_class(dm_view segment, size_t *ret_literal_len);

struct policy_part {
    bool param;
    dm_view text; /* the literal, or the parameter's name */
};
/* Cuts the next part off *rest of a segment. */
bool policy_part_next(dm_view *rest, struct policy_part *ret);

struct policy_captures {
    size_t n;
    dm_view names[POLICY_PARAMS_MAX], values[POLICY_PARAMS_MAX];
};
/* captures may be NULL. Between literals a parameter takes as little as it can.
 */
bool policy_segment_match(dm_view pattern, dm_view text, struct policy_captures *captures);

/* DM_INVALID: longer, deeper or with more parameters than the bounds allow. */
enum dm_code policy_uri_check(dm_view uri, struct dm_error *err) DM_MUST_USE;
