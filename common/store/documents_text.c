#include "store/documents_text.h"

#include <string.h>

#include "base/assert.h"
#include "codec/json_scan.h"
#include "store/packed.h"

#include "base/poison.h"

/* A value escapes to at most six bytes for one; keys and names are far below. */
enum { RAW_CAP = 64 * 1024 };

static void write_raw(const struct dm_filter *f, struct dm_text_filter *t)
{
    switch (f->kind) {
    case DM_JSON_STRING:
        /* never stored, and the writer would turn it into something else */
        t->never = !dm_utf8_valid(f->str) || dm_view_find_byte(f->str, '\0', 0) < f->str.len;
        dm_json_write_str(f->str, &t->raw);
        break;
    case DM_JSON_INT:
        dm_buf_add_i64(&t->raw, f->num);
        break;
    case DM_JSON_BOOL:
        dm_buf_add(&t->raw, f->num != 0 ? DM_LIT("true") : DM_LIT("false"));
        break;
    default:
        DM_UNREACHABLE();
    }
    if (!dm_buf_ok(&t->raw))
        t->never = true;
}

static void write_needle(const struct dm_filter *f, struct dm_text_filter *t)
{
    struct dm_buf plain;
    dm_buf_init(&plain, 2 * RAW_CAP);
    if (f->op == DM_FILTER_EQ) {
        dm_json_write_str(dm_view_of(f->field), &plain);
        dm_buf_add_byte(&plain, ':');
    }
    dm_buf_add(&plain, dm_buf_view(&t->raw));
    dm_pack(dm_buf_view(&plain), &t->needle);
    dm_buf_done(&plain);
}

static void compile(const struct dm_filter *f, struct dm_text_filter *t)
{
    *t = (struct dm_text_filter){.filter = f};
    dm_buf_init(&t->raw, RAW_CAP);
    dm_buf_init(&t->needle, 2 * RAW_CAP);
    DM_REQUIRE(f->op != DM_FILTER_HAS || f->kind == DM_JSON_STRING);
    write_raw(f, t);
    if (!t->never && f->op != DM_FILTER_NE)
        write_needle(f, t);
}

void dm_text_query_init(struct dm_text_query *q, const struct dm_filter *filters, size_t n)
{
    DM_REQUIRE(n <= DM_TEXT_FILTERS_MAX);
    q->n = n;
    for (size_t i = 0; i < n; i++)
        compile(&filters[i], &q->filters[i]);
}

void dm_text_query_done(struct dm_text_query *q)
{
    for (size_t i = 0; i < q->n; i++) {
        dm_buf_done(&q->filters[i].raw);
        dm_buf_done(&q->filters[i].needle);
    }
}

static bool array_has(dm_view array, dm_view raw_string)
{
    struct dm_json_scan scan;
    dm_view raw, inner = dm_view_sub(raw_string, 1, raw_string.len - 2);
    bool found = false;
    dm_json_scan_init(&scan, array, NULL);
    enum dm_json_token token = dm_json_scan_next(&scan, &raw);
    bool is_array = token == DM_JSON_TOKEN_ARRAY;
    while (is_array && !found && token != DM_JSON_TOKEN_END && token != DM_JSON_TOKEN_FAULT) {
        token = dm_json_scan_next(&scan, &raw);
        found = token == DM_JSON_TOKEN_STRING && dm_json_scan_depth(&scan) == 1 &&
                dm_view_eq(raw, inner);
    }
    dm_json_scan_done(&scan);
    return found;
}

static bool matches(const struct dm_text_filter *t, dm_view text)
{
    dm_view member;
    bool negated = t->filter->op == DM_FILTER_NE;
    if (t->never)
        return negated;
    if (!dm_json_raw_member(text, dm_view_of(t->filter->field), &member))
        return negated;
    if (t->filter->op == DM_FILTER_HAS)
        return array_has(member, dm_buf_view(&t->raw));
    return dm_view_eq(member, dm_buf_view(&t->raw)) != negated;
}

bool dm_text_may_match(const struct dm_text_query *q, dm_view packed)
{
    for (size_t i = 0; i < q->n; i++) {
        dm_view needle = dm_buf_view(&q->filters[i].needle);
        if (needle.len > 0 && memmem(packed.ptr, packed.len, needle.ptr, needle.len) == NULL)
            return false;
    }
    return true;
}

bool dm_text_matches(const struct dm_text_query *q, dm_view text)
{
    for (size_t i = 0; i < q->n; i++) {
        if (!matches(&q->filters[i], text))
            return false;
    }
    return true;
}

bool dm_text_key_of(dm_view text, const struct dm_documents_unique *u, struct dm_text_key *ret)
{
    ret->n = 0;
    for (size_t i = 0; i < DM_TEXT_KEY_FIELDS && u->fields[i] != NULL; i++) {
        dm_view raw;
        if (!dm_json_raw_member(text, dm_view_of(u->fields[i]), &raw) || raw.ptr[0] != '"')
            return false;
        ret->raw[ret->n++] = raw;
    }
    return true;
}

static const struct dm_text_filter *asked(const struct dm_text_query *q, const char *field)
{
    for (size_t i = 0; i < q->n; i++) {
        const struct dm_filter *f = q->filters[i].filter;
        if (f->op == DM_FILTER_EQ && f->kind == DM_JSON_STRING && !q->filters[i].never &&
            strcmp(f->field, field) == 0)
            return &q->filters[i];
    }
    return NULL;
}

bool dm_text_key_asked(const struct dm_text_query *q, const struct dm_documents_unique *u,
                       struct dm_text_key *ret)
{
    ret->n = 0;
    for (size_t i = 0; i < DM_TEXT_KEY_FIELDS && u->fields[i] != NULL; i++) {
        const struct dm_text_filter *t = asked(q, u->fields[i]);
        if (t == NULL)
            return false;
        ret->raw[ret->n++] = dm_buf_view(&t->raw);
    }
    return true;
}

uint64_t dm_text_key_hash(const struct dm_text_key *k)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < k->n; i++)
        hash = dm_view_hash(k->raw[i], hash);
    return hash;
}

bool dm_text_key_eq(const struct dm_text_key *a, const struct dm_text_key *b)
{
    for (size_t i = 0; i < a->n; i++) {
        if (!dm_view_eq(a->raw[i], b->raw[i]))
            return false;
    }
    return a->n == b->n;
}
