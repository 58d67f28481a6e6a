/* Numbers of JSON: exact integers, shortest text of doubles. For the files of codec/json. Pure. */
#pragma once

#include "codec/json.h"

enum { DM_JSON_NUMBER_TEXT = 40 }; /* any int64 or double in the forms written here, with room */

bool dm_json_i64_is_small(int64_t n);   /* a double holds it exactly: at most 2^53 from zero */
bool dm_json_f64_looks_whole(double n); /* small in the same sense and without a fraction */
bool dm_json_f64_is_finite(double n);
bool dm_json_f64_to_i64(double n, int64_t *ret); /* false when it has a fraction or does not fit */

/* Both give the length written, not NUL-ended. The double's text is the shortest that reads back as
 * the same double and always reads as a double ("1.0"). */
size_t dm_json_format_i64(int64_t n, char out[DM_JSON_NUMBER_TEXT]);
size_t dm_json_format_f64(double n, char out[DM_JSON_NUMBER_TEXT]);

/* Text of a number in a tree: borrowed from it or written into scratch. */
dm_view dm_json_number_text(const struct dm_json *j, char scratch[DM_JSON_NUMBER_TEXT]);
bool dm_json_number_equal(const struct dm_json *a, const struct dm_json *b); /* 1 equals 1.0 */
