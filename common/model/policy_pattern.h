/* URI templates of endpoints: "/items/{id}", "/f/{id}.json", "/app/" followed by "*". A parameter stands for
 * one or more characters of one segment; everything else is literal and case-sensitive (gateway.md §18.1).
 * For the files of the policy room alone. Immutable after parsing. */
#pragma once

#include "model/policy_storage.h"

enum { PATTERN_PARTS_MAX = 9 }; /* of one segment: four parameters with text around them */

struct pattern_part {
    bool param;
    dm_view text; /* the literal, or the parameter's name */
};
struct pattern_segment {
    size_t n_parts, n_params;
    size_t literal_len;
    struct pattern_part *parts;
};
struct pattern {
    struct pattern_segment *segments;
    size_t n_segments;
    bool wildcard; /* a last segment "*": any rest, also none */
};

void pattern_parse(struct dm_policy_storage *s, dm_view uri, struct pattern *ret);
bool pattern_literal(const struct pattern_segment *seg); /* no parameter in it */
dm_view pattern_literal_text(const struct pattern_segment *seg);
/* captures (may be NULL): one per parameter of the segment, in order. */
bool pattern_segment_match(const struct pattern_segment *seg, dm_view text, dm_view *captures);
