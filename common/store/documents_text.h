/* Filters and keys over documents kept as compact JSON text, packed, without building trees. The
 * texts are our own (dm_json_write), so equal strings have equal bytes, also escaped, and a
 * document can only hold `"name":"value"` where these bytes, packed, stand in it. For
 * documents_memory.c only. Pure. */
#pragma once

#include "store/documents.h"

enum { DM_TEXT_FILTERS_MAX = 8 }; /* no query of ours has more than four */

struct dm_text_filter {
    const struct dm_filter *filter;
    struct dm_buf raw;    /* the value as it stands in a text */
    struct dm_buf needle; /* bytes every matching document holds packed; empty: unknown */
    bool never;           /* no document can match */
};
struct dm_text_query {
    struct dm_text_filter filters[DM_TEXT_FILTERS_MAX];
    size_t n;
};

void dm_text_query_init(struct dm_text_query *q, const struct dm_filter *filters, size_t n);
void dm_text_query_done(struct dm_text_query *q);
/* False: the text of this packed one cannot match; most need not be unpacked. */
bool dm_text_may_match(const struct dm_text_query *q, dm_view packed);
bool dm_text_matches(const struct dm_text_query *q, dm_view text);

/* Raw tokens of a unique key's fields; false when one is absent or no string: such a document is
 * not held to the key. */
enum { DM_TEXT_KEY_FIELDS = DM_DOCUMENTS_KEY_MAX };
struct dm_text_key {
    dm_view raw[DM_TEXT_KEY_FIELDS];
    size_t n;
};
bool dm_text_key_of(dm_view text, const struct dm_documents_unique *u, struct dm_text_key *ret);
/* The key that the filters ask for; false unless they name every field of it as EQ and string. */
bool dm_text_key_asked(const struct dm_text_query *q, const struct dm_documents_unique *u,
                       struct dm_text_key *ret);
uint64_t dm_text_key_hash(const struct dm_text_key *k);
bool dm_text_key_eq(const struct dm_text_key *a, const struct dm_text_key *b);
