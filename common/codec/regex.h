/* Regular expressions over PCRE2 with match, depth and heap limits and JIT. A compiled pattern is
 * immutable: any thread. */
#pragma once

#include "base/error.h"

struct dm_regex;
enum dm_code dm_regex_new(dm_view pattern, bool nocase, struct dm_regex **ret,
                          struct dm_error *err) DM_MUST_USE;
void dm_regex_free(struct dm_regex *re);
/* DM_OK on a match anywhere (anchor in the pattern), DM_NOT_FOUND, DM_LIMIT past a limit. */
enum dm_code dm_regex_match(const struct dm_regex *re, dm_view text) DM_MUST_USE;
