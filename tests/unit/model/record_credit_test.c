/* Nested values of credit definitions and balances: what is taken, and in which form it is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "model/record.h"

#define DEFINITION(more)                                                                           \
    "{\"api_credit_group\":\"g\",\"api_key\":\"k\",\"api_key_header\":\"h\"," more "}"
#define TIER                                                                                       \
    "{\"tier_name\":\"t\",\"credits\":1,\"input_limit\":2,\"output_limit\":3,"                     \
    "\"reset_frequency\":\"monthly\"}"

static enum dm_code created(const struct dm_record_type *t, const char *text, struct dm_json **ret)
{
    DM_DEFER(dm_json_freep) struct dm_json *body = NULL;
    assert_int_equal(dm_json_parse(dm_view_of(text), &dm_json_default, &body, NULL), DM_OK);
    return dm_record_create(t, body, ret, NULL);
}

static void assert_definition(const char *more, enum dm_code code)
{
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    if (created(&dm_record_credit_def, more, &doc) != code)
        fail_msg("%s", more);
}

static void tiers_are_typed_one_by_one(void **state)
{
    (void)state;
    assert_definition(DEFINITION("\"credit_tiers\":[" TIER "]"), DM_OK);
    assert_definition(DEFINITION("\"credit_tiers\":[" TIER "," TIER "]"), DM_OK);
    assert_definition(DEFINITION("\"credit_tiers\":[]"), DM_INVALID);
    assert_definition(DEFINITION("\"credit_tiers\":null"), DM_INVALID);
    assert_definition(DEFINITION("\"credit_tiers\":\"x\""), DM_INVALID);
    assert_definition(DEFINITION("\"credit_tiers\":{\"a\":1}"), DM_INVALID);
    assert_definition(DEFINITION("\"credit_tiers\":[" TIER ",7]"), DM_INVALID);
    assert_definition(DEFINITION("\"credit_tiers\":[{\"tier_name\":\"t\"}]"), DM_INVALID);
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    assert_int_equal(created(&dm_record_credit_def,
                             DEFINITION("\"credit_tiers\":[{\"tier_name\":\"t\",\"credits\":\"7\","
                                        "\"input_limit\":1.9,\"output_limit\":true,\"other\":1,"
                                        "\"reset_frequency\":5}]"),
                             &doc),
                     DM_OK);
    const struct dm_json *tier = dm_json_at(dm_json_get(doc, DM_LIT("credit_tiers")), 0);
    assert_int_equal(dm_json_i64(dm_json_get(tier, DM_LIT("credits")), 0), 7);
    assert_int_equal(dm_json_i64(dm_json_get(tier, DM_LIT("input_limit")), 0), 1);
    assert_null(dm_json_get(tier, DM_LIT("other")));
}

static void moments_are_kept_in_one_form(void **state)
{
    (void)state;
    static const struct {
        const char *sent, *kept; /* NULL: refused */
    } rows[] = {
        {"\"2030-01-01T00:00:00Z\"", "2030-01-01T00:00:00Z"},
        {"\"2030-01-01T00:00:00\"", "2030-01-01T00:00:00Z"},
        {"\"2030-01-01t00:00:00z\"", "2030-01-01T00:00:00Z"},
        {"\"2030-01-01 00:00:00.123456\"", "2030-01-01T00:00:00Z"},
        {"\"2030-01-01T02:30:00+02:30\"", "2030-01-01T00:00:00Z"},
        {"\"2029-12-31T19:00:00-0500\"", "2030-01-01T00:00:00Z"},
        {"\"2030-01-01T01:00:00.5+01\"", "2030-01-01T00:00:00Z"},
        {"1893456000", "2030-01-01T00:00:00Z"},
        {"1893456000.75", "2030-01-01T00:00:00Z"},
        {"1893456000000", "2030-01-01T00:00:00Z"},
        {"\"1893456000\"", "2030-01-01T00:00:00Z"},
        {"0", "1970-01-01T00:00:00Z"},
        {"-1", NULL},
        {"1e300", NULL},
        {"9223372036854775807", NULL},
        {"\"\"", NULL},
        {"\"soon\"", NULL},
        {"\"2030-01-01\"", NULL},
        {"\"2030-13-01T00:00:00Z\"", NULL},
        {"\"2030-02-30T00:00:00Z\"", NULL},
        {"\"9999-01-01T00:00:00Z\"", NULL},
        {"\"2030-01-01T00:00:00.Z\"", NULL},
        {"\"2030-01-01T00:00:00ZZ\"", NULL},
        {"\"2030-01-01T00:00:00+\"", NULL},
        {"\"2030-01-01T00:00:00+2\"", NULL},
        {"\"2030-01-01T00:00:00+02:\"", NULL},
        {"\"2030-01-01T00:00:00+02:6\"", NULL},
        {"\"2030-01-01T00:00:00+24:00\"", NULL},
        {"\"2030-01-01T00:00:00 +0:00\"", NULL},
        {"\"1970-01-01T00:00:00+01:00\"", NULL},
        {"true", NULL},
        {"[]", NULL},
        {"{}", NULL},
    };
    for (size_t i = 0; i < DM_COUNT_OF(rows); i++) {
        char text[512];
        DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
        (void)snprintf(text, sizeof text,
                       DEFINITION("\"credit_tiers\":[" TIER "],\"api_key_rotation_expires\":%s"),
                       rows[i].sent);
        enum dm_code rc = created(&dm_record_credit_def, text, &doc);
        dm_view kept = dm_json_str(dm_json_get(doc, DM_LIT("api_key_rotation_expires")));
        if (rc != (rows[i].kept == NULL ? DM_INVALID : DM_OK) ||
            (rc == DM_OK && !dm_view_eq(kept, dm_view_of(rows[i].kept))))
            fail_msg("%s: %.*s", rows[i].sent, DM_FMT(kept));
    }
}

static void balances_are_typed_entry_by_entry(void **state)
{
    (void)state;
    static const struct {
        const char *entries;
        enum dm_code code;
    } rows[] = {
        {"{}", DM_OK},
        {"{\"g\":{\"tier_name\":\"t\",\"available_credits\":0}}", DM_OK},
        {"{\"g\":{\"tier_name\":\"t\",\"available_credits\":\"12\"},"
         "\"h\":{\"tier_name\":\"t\",\"available_credits\":1,\"user_api_key\":\"k\"}}",
         DM_OK},
        {"{\"g\":{\"tier_name\":\"t\",\"available_credits\":-1}}", DM_INVALID},
        {"{\"g\":{\"tier_name\":\"t\",\"available_credits\":9007199254740992}}", DM_INVALID},
        {"{\"g\":{\"tier_name\":\"t\",\"available_credits\":null}}", DM_INVALID},
        {"{\"g\":{\"tier_name\":\"t\"}}", DM_INVALID},
        {"{\"g\":{\"available_credits\":1}}", DM_INVALID},
        {"{\"g\":[]}", DM_INVALID},
        {"{\"g:h\":{\"tier_name\":\"t\",\"available_credits\":1}}", DM_INVALID},
        {"{\"\":{\"tier_name\":\"t\",\"available_credits\":1}}", DM_INVALID},
        {"[]", DM_INVALID},
        {"null", DM_INVALID},
        {"\"x\"", DM_INVALID},
    };
    for (size_t i = 0; i < DM_COUNT_OF(rows); i++) {
        char text[512];
        DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
        (void)snprintf(text, sizeof text, "{\"username\":\"ann\",\"users_credits\":%s}",
                       rows[i].entries);
        if (created(&dm_record_user_credits, text, &doc) != rows[i].code)
            fail_msg("%s", rows[i].entries);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiers_are_typed_one_by_one),
        cmocka_unit_test(moments_are_kept_in_one_form),
        cmocka_unit_test(balances_are_typed_entry_by_entry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
