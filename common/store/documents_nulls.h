/* Nulls of stored documents, kept once: records hold every field of their model, most of them null,
 * and thousands of documents have the same ones. The names of a document's null members are
 * interned as a list; its text holds the others. Any thread (a lock inside, taken to intern only).
 */
#pragma once

#include "codec/json.h"

struct dm_nulls;
struct dm_nulls *dm_nulls_new(void);
void dm_nulls_free(struct dm_nulls *n); /* after every document that uses it */

/* Writes the object without its null members; gives their names, immutable and owned by n, or NULL
 * where there are none (or too many different lists by now: then the nulls are in the text). */
const struct dm_json *dm_nulls_split(struct dm_nulls *n, const struct dm_json *object,
                                     struct dm_buf *text);
/* Puts them back, behind the others. names NULL: nothing to do. */
void dm_nulls_join(const struct dm_json *names, struct dm_json *object);
