/* Borrowed bytes: a pointer and a length, not NUL-ended, never owned. The only string type that
 * crosses a function. A view is valid as long as its owner says; copying one copies no bytes.
 * Any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dm_view {
    const char *ptr;
    size_t len;
} dm_view;

#define DM_LIT(s) ((dm_view){"" s, sizeof(s) - 1})
#define DM_VIEW_NONE ((dm_view){NULL, 0})
#define DM_FMT(v) (int)(v).len, (v).ptr /* for "%.*s"; only for views shorter than INT_MAX */

dm_view dm_view_of(const char *cstr); /* NULL gives the empty view */
static inline dm_view dm_view_make(const char *ptr, size_t len)
{
    return (dm_view){ptr, len};
}

bool dm_view_eq(dm_view a, dm_view b);
bool dm_view_eq_nocase(dm_view a, dm_view b); /* ASCII letters only */
bool dm_view_starts(dm_view v, dm_view prefix);
bool dm_view_ends(dm_view v, dm_view suffix);
int dm_view_cmp(dm_view a, dm_view b); /* bytewise; shorter first on a tie */
/* Position of the first `byte`/`needle` at or after `from`; v.len when there is none. */
size_t dm_view_find_byte(dm_view v, char byte, size_t from);
size_t dm_view_find(dm_view v, dm_view needle);
dm_view dm_view_sub(dm_view v, size_t from, size_t len); /* clamped to v */
dm_view dm_view_trim(dm_view v);                         /* blanks and tabs at both ends */
/* Cuts the next piece up to `sep` off *rest and gives it; false: *rest is used up (ptr NULL). */
bool dm_view_split(dm_view *rest, char sep, dm_view *ret_piece);
/* Keyed (SipHash-1-3, key of the process): safe for tables filled by clients. */
uint64_t dm_view_hash(dm_view v, uint64_t seed);
/* The same function under a given key: equal on every machine and in every run. */
uint64_t dm_view_siphash(dm_view v, uint64_t key0, uint64_t key1);

/* Text to number: the whole view, digits only (one leading '-' for i64), no overflow, within
 * [min,max]. */
bool dm_parse_u64(dm_view v, uint64_t max, uint64_t *ret);
bool dm_parse_i64(dm_view v, int64_t min, int64_t max, int64_t *ret);
bool dm_parse_hex_u64(dm_view v, uint64_t max, uint64_t *ret);
/* plain decimal with optional fraction and exponent; finite */
bool dm_parse_f64(dm_view v, double *ret);
bool dm_utf8_valid(dm_view v);             /* no overlongs, no surrogates, up to U+10FFFF */
/* bytes of the well-formed code point at `at` < len; 0: none */
size_t dm_utf8_step(dm_view v, size_t at);
size_t dm_utf8_count(dm_view v);           /* code points; v must be valid */
dm_view dm_utf8_cut(dm_view v, size_t max_points); /* at most so many code points */
