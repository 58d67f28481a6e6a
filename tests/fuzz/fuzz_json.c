/* layer: codec */
/* The strict tokenizer and the tree. What check accepts, parse accepts and no other; a tree written
 * and read again is equal; members found without a tree are those of the tree; a changed copy stays
 * whole. */
#include <stdint.h>
#include <stdlib.h>

#include "base/assert.h"
#include "codec/json.h"
#include "codec/json_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_CAP = 1 << 22 };

#ifdef DOORMAN_PLANT_BUG
/* Reached only by an array that is a member's value on the seventh level. */
static void planted(dm_view text)
{
    struct dm_json_scan s;
    dm_view raw;
    enum dm_json_token token, last = DM_JSON_TOKEN_END;
    dm_json_scan_init(&s, text, NULL);
    do {
        token = dm_json_scan_next(&s, &raw);
        if (token == DM_JSON_TOKEN_ARRAY && last == DM_JSON_TOKEN_NAME &&
            dm_json_scan_depth(&s) == 7)
            abort();
        last = token;
    } while (token != DM_JSON_TOKEN_END && token != DM_JSON_TOKEN_FAULT);
    dm_json_scan_done(&s);
}
#endif

static struct dm_json *parse_again(const struct dm_json *j, struct dm_buf *text)
{
    struct dm_json *again = NULL;
    dm_buf_init(text, OUT_CAP);
    dm_json_write(j, text);
    DM_REQUIRE(dm_buf_ok(text));
    DM_REQUIRE(dm_json_parse(dm_buf_view(text), NULL, &again, NULL) == DM_OK);
    return again;
}

static void check_round_trip(const struct dm_json *j)
{
    struct dm_buf first, second;
    struct dm_json *again = parse_again(j, &first);
    DM_REQUIRE(dm_json_equal(j, again) && dm_json_equal(again, j));
    DM_REQUIRE(dm_json_kind(j) == dm_json_kind(again));
    struct dm_json *third = parse_again(again, &second);
    DM_REQUIRE(dm_view_eq(dm_buf_view(&first), dm_buf_view(&second)));
    dm_json_free(third);
    dm_json_free(again);
    dm_buf_done(&first);
    dm_buf_done(&second);
}

/* A member's raw text, parsed by itself, is the tree's member. */
static void check_members(dm_view text, const struct dm_json *j)
{
    enum { NAMES_MAX = 16, NAME_LEN_MAX = 64 };
    unsigned n = 0;
    for (struct dm_json *m = dm_json_first(j); m != NULL && n < NAMES_MAX;
         m = dm_json_next(m), n++) {
        dm_view raw, name = dm_json_name(m);
        struct dm_json *alone = NULL;
        struct dm_buf out;
        int64_t number;
        if (!dm_json_is(j, DM_JSON_OBJECT) || name.len > NAME_LEN_MAX)
            continue;
        DM_REQUIRE(dm_json_get(j, name) == m && dm_json_at(j, n) == NULL);
        DM_REQUIRE(dm_json_raw_member(text, name, &raw));
        DM_REQUIRE(dm_json_parse(raw, NULL, &alone, NULL) == DM_OK && dm_json_equal(alone, m));
        dm_buf_init(&out, OUT_CAP);
        DM_REQUIRE(dm_json_raw_string(raw, &out) == dm_json_is(m, DM_JSON_STRING));
        DM_REQUIRE(dm_view_eq(dm_buf_view(&out), dm_json_str(m)));
        if (dm_json_raw_i64(raw, &number))
            DM_REQUIRE(dm_json_i64(m, ~number) == number && dm_json_f64(m, 0.5) != 0.5);
        dm_buf_done(&out);
        dm_json_free(alone);
    }
}

static void check_changes(const struct dm_json *j)
{
    struct dm_json *list = dm_json_new_array(), *copy = dm_json_clone(j);
    DM_REQUIRE(dm_json_equal(j, copy));
    if (dm_json_is(copy, DM_JSON_OBJECT)) {
        size_t len = dm_json_len(copy);
        bool had = dm_json_get(copy, DM_LIT("a")) != NULL;
        dm_json_set_i64(copy, DM_LIT("a"), INT64_MIN);
        dm_json_set_str(copy, DM_LIT("a"), DM_LIT("\"\n"));
        DM_REQUIRE(dm_json_len(copy) == len + !had);
        DM_REQUIRE(dm_json_remove(copy, DM_LIT("a")) && !dm_json_remove(copy, DM_LIT("a")));
        DM_REQUIRE(had || dm_json_equal(j, copy));
        dm_json_set_bool(copy, DM_LIT("a"), true);
    }
    dm_json_push(list, copy);
    dm_json_push(list, dm_json_new_f64(dm_json_f64(j, 0.1)));
    dm_json_push(list, dm_json_new_i64(dm_json_i64(j, INT64_MAX)));
    dm_json_push(list, dm_json_new_bool(dm_json_bool(j, false)));
    dm_json_push(list, dm_json_new_null());
    struct dm_json *object = dm_json_new_object();
    dm_json_set(object, DM_LIT("list"), list);
    struct dm_buf text;
    struct dm_json *again = parse_again(object, &text);
    DM_REQUIRE(dm_json_equal(object, again));
    DM_REQUIRE(dm_json_at(dm_json_get(again, DM_LIT("list")), 4) != NULL);
    dm_buf_done(&text);
    dm_json_freep(&again);
    dm_json_free(object);
}

/* Whatever the bytes, what is written is one correct string. */
static void check_write_str(dm_view bytes)
{
    struct dm_buf out, back;
    struct dm_json *clean = dm_json_new_str(bytes);
    DM_REQUIRE(dm_utf8_valid(dm_json_str(clean)) && dm_json_str(clean).len >= bytes.len);
    dm_json_free(clean);
    dm_buf_init(&out, OUT_CAP);
    dm_buf_init(&back, OUT_CAP);
    dm_json_write_str(bytes, &out);
    bool has_zero =
        dm_view_find_byte(bytes, '\0', 0) != bytes.len; /* written as \u0000, refused by us */
    DM_REQUIRE(dm_json_raw_string(dm_buf_view(&out), &back) == !has_zero);
    if (!has_zero && dm_utf8_valid(bytes))
        DM_REQUIRE(dm_view_eq(dm_buf_view(&back), bytes));
    dm_buf_done(&out);
    dm_buf_done(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct dm_json_limits tight = {.max_bytes = 64, .max_depth = 3, .max_values = 8};
    dm_view text = dm_view_make((const char *)data, size);
    struct dm_json *j = NULL;
    struct dm_error err = {0}, err2 = {0};
    enum dm_code code = dm_json_check(text, NULL, &err);
    DM_REQUIRE(dm_json_parse(text, NULL, &j, &err2) == code);
    check_write_str(text);
#ifdef DOORMAN_PLANT_BUG
    planted(text);
#endif
    if (code != DM_OK) {
        DM_REQUIRE(code == DM_INVALID || code == DM_LIMIT);
        DM_REQUIRE(dm_json_check(text, &tight, NULL) != DM_OK);
        return 0;
    }
    DM_REQUIRE(dm_utf8_valid(text));
    if (dm_json_check(text, &tight, NULL) == DM_OK)
        DM_REQUIRE(size <= tight.max_bytes);
    check_round_trip(j);
    check_members(text, j);
    check_changes(j);
    dm_json_free(j);
    return 0;
}
