/* Bodies, documents and projections by the field tables: platform-access.md §3, §8,
 * platform-apis.md §0.2, §1.6, §3.2, §5.2, gateway.md §29.1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/record.h"

#include <stdio.h>
#include <string.h>

static struct dm_json *json_of(const char *text)
{
    struct dm_json *j = NULL;
    struct dm_error err = {0};
    if (dm_json_parse(dm_view_of(text), &dm_json_default, &j, &err) != DM_OK)
        fail_msg("%s: %s", text, err.text);
    return j;
}

static const char *text_of(const struct dm_json *j)
{
    static char text[8192];
    struct dm_buf b;
    dm_buf_init(&b, sizeof(text));
    dm_json_write(j, &b);
    (void)snprintf(text, sizeof(text), "%.*s", DM_FMT(dm_buf_view(&b)));
    dm_buf_done(&b);
    return text;
}

/* What a value becomes; "!" when it is refused. */
static const char *coerced(enum dm_field_type type, const char *value)
{
    const struct dm_field f = {.name = "f", .type = type, .min = 1, .max = 0};
    DM_DEFER(dm_json_freep) struct dm_json *v = json_of(value);
    DM_DEFER(dm_json_freep) struct dm_json *out = NULL;
    return dm_field_coerce(&f, v, &out) == DM_OK ? text_of(out) : "!";
}

static void values_are_taken_as_pydantic_takes_them(void **state)
{
    (void)state;
    static const struct {
        enum dm_field_type type;
        const char *value, *becomes;
    } rows[] = {
        {DM_FIELD_STR, "\"a\"", "\"a\""},
        {DM_FIELD_STR, "\"\"", "\"\""},
        {DM_FIELD_STR, "1", "\"1\""},
        {DM_FIELD_STR, "-9223372036854775808", "\"-9223372036854775808\""},
        {DM_FIELD_STR, "true", "\"True\""},
        {DM_FIELD_STR, "false", "\"False\""},
        {DM_FIELD_STR, "[]", "!"},
        {DM_FIELD_STR, "{}", "!"},
        {DM_FIELD_STR, "null", "!"},
        /* str(float), checked against Python 3.11 */
        {DM_FIELD_STR, "1.0", "\"1.0\""},
        {DM_FIELD_STR, "1.5", "\"1.5\""},
        {DM_FIELD_STR, "-0.0", "\"-0.0\""},
        {DM_FIELD_STR, "0.1", "\"0.1\""},
        {DM_FIELD_STR, "100.0", "\"100.0\""},
        {DM_FIELD_STR, "123456.789", "\"123456.789\""},
        {DM_FIELD_STR, "0.30000000000000004", "\"0.30000000000000004\""},
        {DM_FIELD_STR, "1e15", "\"1000000000000000.0\""},
        {DM_FIELD_STR, "9007199254740993.0", "\"9007199254740992.0\""},
        {DM_FIELD_STR, "1e16", "\"1e+16\""},
        {DM_FIELD_STR, "1.5e300", "\"1.5e+300\""},
        {DM_FIELD_STR, "0.0001", "\"0.0001\""},
        {DM_FIELD_STR, "0.00012", "\"0.00012\""},
        {DM_FIELD_STR, "0.00001", "\"1e-05\""},
        {DM_FIELD_STR, "-1.25e-7", "\"-1.25e-07\""},
        {DM_FIELD_STR, "5e-324", "\"5e-324\""},
        {DM_FIELD_STR, "1.7976931348623157e308", "\"1.7976931348623157e+308\""},
        {DM_FIELD_INT, "5", "5"},
        {DM_FIELD_INT, "5.7", "5"},
        {DM_FIELD_INT, "-5.7", "-5"},
        {DM_FIELD_INT, "\"3\"", "3"},
        {DM_FIELD_INT, "\"-3\"", "-3"},
        {DM_FIELD_INT, "\"+3\"", "3"},
        {DM_FIELD_INT, "\"3.9\"", "!"},
        {DM_FIELD_INT, "\"+-3\"", "!"},
        {DM_FIELD_INT, "\"\"", "!"},
        {DM_FIELD_INT, "\"0x10\"", "!"},
        {DM_FIELD_INT, "true", "1"},
        {DM_FIELD_INT, "false", "0"},
        {DM_FIELD_INT, "1e19", "!"},
        {DM_FIELD_INT, "-1e300", "!"},
        {DM_FIELD_INT, "9223372036854775808", "!"},
        {DM_FIELD_INT, "null", "!"},
        {DM_FIELD_INT, "[1]", "!"},
        {DM_FIELD_FLOAT, "1", "1.0"},
        {DM_FIELD_FLOAT, "0.5", "0.5"},
        {DM_FIELD_FLOAT, "\"0.5\"", "0.5"},
        {DM_FIELD_FLOAT, "\"x\"", "!"},
        {DM_FIELD_BOOL, "true", "true"},
        {DM_FIELD_BOOL, "0", "false"},
        {DM_FIELD_BOOL, "1", "true"},
        {DM_FIELD_BOOL, "1.0", "true"},
        {DM_FIELD_BOOL, "2", "!"},
        {DM_FIELD_BOOL, "-1", "!"},
        {DM_FIELD_BOOL, "\"YES\"", "true"},
        {DM_FIELD_BOOL, "\"t\"", "true"},
        {DM_FIELD_BOOL, "\"Off\"", "false"},
        {DM_FIELD_BOOL, "\"n\"", "false"},
        {DM_FIELD_BOOL, "\"enabled\"", "!"},
        {DM_FIELD_BOOL, "\" true\"", "!"},
        {DM_FIELD_BOOL, "null", "!"},
        {DM_FIELD_STRS, "[\"a\",1,true,2.5]", "[\"a\",\"1\",\"True\",\"2.5\"]"},
        {DM_FIELD_STRS, "[]", "[]"},
        {DM_FIELD_STRS, "[null]", "!"},
        {DM_FIELD_STRS, "[[\"a\"]]", "!"},
        {DM_FIELD_STRS, "\"a\"", "!"},
        {DM_FIELD_STRS, "{}", "!"},
        {DM_FIELD_OBJECT, "{\"a\":[1]}", "{\"a\":[1]}"},
        {DM_FIELD_OBJECT, "[]", "!"},
        {DM_FIELD_OBJECT, "\"{}\"", "!"},
        {DM_FIELD_ANY, "null", "null"},
        {DM_FIELD_ANY, "[1,{}]", "[1,{}]"},
    };
    for (size_t i = 0; i < DM_COUNT_OF(rows); i++) {
        const char *becomes = coerced(rows[i].type, rows[i].value);
        if (strcmp(becomes, rows[i].becomes) != 0)
            fail_msg("%s became %s, not %s", rows[i].value, becomes, rows[i].becomes);
    }
}

static void lengths_are_counted_in_code_points(void **state)
{
    (void)state;
    const struct dm_field f = {.name = "f", .type = DM_FIELD_STR, .min = 2, .max = 3};
    static const char *const good[] = {"\"ab\"", "\"äöü\"", "\"\\ud83d\\ude00x\"", "123"};
    static const char *const bad[] = {"\"a\"", "\"ä\"", "\"äöüß\"", "1234"};
    for (size_t i = 0; i < 4; i++) {
        DM_DEFER(dm_json_freep) struct dm_json *yes = json_of(good[i]), *out = NULL;
        DM_DEFER(dm_json_freep) struct dm_json *no = json_of(bad[i]);
        DM_DEFER(dm_json_freep) struct dm_json *taken = NULL;
        assert_int_equal(dm_field_coerce(&f, yes, &taken), DM_OK);
        assert_int_equal(dm_field_coerce(&f, no, &out), DM_INVALID);
        assert_null(out);
    }
}

enum op { CREATE = 0, UPDATE };

static enum dm_code run(enum op op, const struct dm_record_type *t, const char *body,
                        struct dm_json **ret)
{
    DM_DEFER(dm_json_freep) struct dm_json *j = json_of(body);
    struct dm_error err = {0};
    return op == CREATE ? dm_record_create(t, j, ret, &err) : dm_record_update(t, j, ret, &err);
}

static void expect(enum op op, const struct dm_record_type *t, const char *body,
                   const char *becomes)
{
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    enum dm_code rc = run(op, t, body, &doc);
    const char *text = rc == DM_OK ? text_of(doc) : "!";
    if (strcmp(text, becomes) != 0)
        fail_msg("%s of %s became\n%s, not\n%s", t->noun, body, text, becomes);
}

static void a_role_is_filled_with_its_defaults_in_the_order_of_the_table(void **state)
{
    (void)state;
    expect(CREATE, &dm_record_role,
           "{\"view_logs\":\"yes\",\"platform_admin\":true,\"what\":1,\"role_name\":\"ops\"}",
           "{\"role_name\":\"ops\",\"role_description\":null,\"manage_users\":false,\"manage_"
           "apis\":false,"
           "\"manage_endpoints\":false,\"manage_groups\":false,\"manage_roles\":false,\"manage_"
           "routings\":false,"
           "\"manage_gateway\":false,\"manage_subscriptions\":false,\"manage_security\":false,"
           "\"manage_tiers\":false,\"manage_rate_limits\":false,\"manage_credits\":false,\"manage_"
           "auth\":false,"
           "\"view_analytics\":false,\"view_logs\":true,\"export_logs\":false}");
    expect(CREATE, &dm_record_role, "{\"role_name\":\"ops\",\"view_logs\":null}", "!");
    expect(CREATE, &dm_record_role, "{\"role_name\":null}", "!");
    expect(CREATE, &dm_record_role, "{}", "!");
    expect(CREATE, &dm_record_role, "[]", "!");
    expect(UPDATE, &dm_record_role, "\"x\"", "!");
    expect(UPDATE, &dm_record_role,
           "{\"platform_admin\":true,\"manage_users\":null,\"view_logs\":0}",
           "{\"view_logs\":false}");
}

static void a_description_may_be_empty_at_first_and_not_later(void **state)
{
    (void)state;
    expect(CREATE, &dm_record_group, "{\"group_name\":\"g\",\"group_description\":\"\"}",
           "{\"group_name\":\"g\",\"group_description\":\"\",\"api_access\":[]}");
    expect(UPDATE, &dm_record_group, "{\"group_description\":\"\"}", "!");
    expect(UPDATE, &dm_record_group, "{\"group_description\":\"x\"}",
           "{\"group_description\":\"x\"}");
    expect(CREATE, &dm_record_group, "{\"group_name\":\"g\",\"api_access\":null}", "!");
}

static void a_user_is_checked_by_its_ranges(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "{\"username\":\"ab\",\"email\":\"a@b\",\"password\":\"0123456789abcdef\",\"role\":"
        "\"dev\"}",
        "{\"username\":\"ann\",\"email\":\"a@b\",\"password\":\"0123456789abcde\",\"role\":"
        "\"dev\"}",
        "{\"username\":\"ann\",\"email\":\"a@b\",\"password\":\"0123456789abcdef\"}",
        "{\"username\":\"a/"
        "b\",\"email\":\"a@b\",\"password\":\"0123456789abcdef\",\"role\":\"dev\"}",
        "{\"username\":\"ann\",\"email\":\"a@b\",\"password\":\"0123456789abcdef\",\"role\":"
        "\"dev\",\"groups\":null}",
        "{\"username\":\"ann\",\"email\":\"a@b\",\"password\":\"0123456789abcdef\",\"role\":"
        "\"dev\","
        "\"rate_limit_duration\":-1}",
        "{\"username\":\"ann\",\"email\":\"a@b\",\"password\":\"0123456789abcdef\",\"role\":"
        "\"dev\","
        "\"rate_limit_duration_type\":\"fortnight\"}",
        "{\"username\":\"ann\",\"email\":\"a@b\",\"password\":\"0123456789abcdef\",\"role\":"
        "\"dev\","
        "\"custom_attributes\":[]}",
    };
    for (size_t i = 0; i < DM_COUNT_OF(refused); i++)
        expect(CREATE, &dm_record_user, refused[i], "!");
    expect(CREATE, &dm_record_user,
           "{\"username\":\"ann\",\"email\":\"a@b\",\"password\":\"0123456789abcdef\",\"role\":"
           "\"dev\","
           "\"active\":null,\"bandwidth_limit_window\":null,\"rate_limit_duration\":\"7\"}",
           "{\"username\":\"ann\",\"email\":\"a@b\",\"password\":\"0123456789abcdef\",\"role\":"
           "\"dev\","
           "\"groups\":[],\"rate_limit_duration\":7,\"rate_limit_duration_type\":null,\"rate_limit_"
           "enabled\":null,"
           "\"throttle_duration\":null,\"throttle_duration_type\":null,\"throttle_wait_duration\":"
           "null,"
           "\"throttle_wait_duration_type\":null,\"throttle_queue_limit\":null,\"throttle_"
           "enabled\":null,"
           "\"custom_attributes\":null,\"bandwidth_limit_bytes\":null,\"bandwidth_limit_window\":"
           "\"day\","
           "\"bandwidth_limit_enabled\":null,\"active\":true,\"ui_access\":false,\"force_password_"
           "reset\":false}");
    expect(UPDATE, &dm_record_user, "{\"password\":\"123456\",\"email\":null}",
           "{\"password\":\"123456\"}");
    expect(UPDATE, &dm_record_user, "{\"password\":\"12345\"}", "!");
    expect(UPDATE, &dm_record_user, "{}", "{}");
}

static void an_endpoint_is_put_into_its_one_spelling(void **state)
{
    (void)state;
    expect(CREATE, &dm_record_endpoint,
           "{\"api_name\":\"n\",\"api_version\":\"v1\",\"endpoint_method\":\"get\",\"endpoint_"
           "uri\":\"users/{id}\","
           "\"endpoint_description\":\"d\",\"api_id\":\"x\",\"endpoint_id\":\"y\",\"client_uri\":"
           "\"u/*\"}",
           "{\"api_name\":\"n\",\"api_version\":\"v1\",\"endpoint_method\":\"GET\",\"endpoint_"
           "uri\":\"/users/{id}\","
           "\"endpoint_description\":\"d\",\"endpoint_servers\":null,\"client_uri\":\"/u/*\"}");
    expect(UPDATE, &dm_record_endpoint, "{\"endpoint_method\":\"*\",\"endpoint_uri\":\"/*\"}",
           "{\"endpoint_method\":\"*\",\"endpoint_uri\":\"/*\"}");
    expect(UPDATE, &dm_record_endpoint,
           "{\"client_uri\":null,\"endpoint_servers\":null,\"endpoint_description\":null}",
           "{\"endpoint_servers\":null,\"client_uri\":null}");
    static const char *const refused[] = {
        "{\"endpoint_method\":\"TRACE\"}",    "{\"endpoint_method\":\"\"}",
        "{\"endpoint_method\":\"GET,POST\"}", "{\"endpoint_uri\":\"\"}",
        "{\"endpoint_uri\":\"/a\\nb\"}",      "{\"endpoint_uri\":\"/*/x\"}",
        "{\"endpoint_uri\":\"/a*\"}",         "{\"endpoint_servers\":[\"ftp://x\"]}",
        "{\"api_version\":\"123456789\"}"};
    for (size_t i = 0; i < DM_COUNT_OF(refused); i++)
        expect(UPDATE, &dm_record_endpoint, refused[i], "!");
}

static void a_uri_of_255_characters_may_still_get_its_slash(void **state)
{
    (void)state;
    char body[512], uri[257];
    memset(uri, 'u', 255);
    uri[255] = '\0';
    DM_DEFER(dm_json_freep) struct dm_json *patch = NULL;
    DM_DEFER(dm_json_freep) struct dm_json *none = NULL;
    (void)snprintf(body, sizeof(body), "{\"endpoint_uri\":\"%s\"}", uri);
    assert_int_equal(run(UPDATE, &dm_record_endpoint, body, &patch), DM_OK);
    assert_int_equal(dm_json_str(dm_json_get(patch, DM_LIT("endpoint_uri"))).len, 256);
    (void)snprintf(body, sizeof(body), "{\"endpoint_uri\":\"%su\"}", uri);
    assert_int_equal(run(UPDATE, &dm_record_endpoint, body, &none), DM_INVALID);
}

static void a_routing_starts_where_it_was_told_and_keeps_its_place(void **state)
{
    (void)state;
    expect(CREATE, &dm_record_routing,
           "{\"routing_name\":\"r\",\"routing_servers\":[\"http://a\",\"b:80\"]}",
           "{\"routing_name\":\"r\",\"routing_servers\":[\"http://"
           "a\",\"b:80\"],\"routing_description\":null,"
           "\"client_key\":null,\"server_index\":0}");
    expect(UPDATE, &dm_record_routing, "{\"server_index\":3}", "{}");
    expect(UPDATE, &dm_record_routing, "{\"server_index\":-3}", "!");
    expect(UPDATE, &dm_record_routing, "{\"routing_servers\":[]}", "!");
    expect(UPDATE, &dm_record_routing, "{\"client_key\":\"a/b\"}", "!");
}

static void security_settings_hold_only_what_was_sent(void **state)
{
    (void)state;
    expect(UPDATE, &dm_record_security_settings,
           "{\"type\":\"x\",\"auto_save_frequency_seconds\":60,\"ip_whitelist\":[\"10.0.0.0/"
           "8\"],\"dump_path\":null}",
           "{\"auto_save_frequency_seconds\":60,\"ip_whitelist\":[\"10.0.0.0/8\"]}");
    expect(UPDATE, &dm_record_security_settings, "{\"auto_save_frequency_seconds\":59}", "!");
    expect(CREATE, &dm_record_security_settings, "{\"ip_blacklist\":null}", "{}");
}

static void an_api_holds_every_field_of_its_model(void **state)
{
    (void)state;
    DM_DEFER(dm_json_freep) struct dm_json *api = NULL;
    assert_int_equal(
        run(CREATE, &dm_record_api,
            "{\"api_name\":\"orders\",\"api_version\":1,\"active\":null,\"api_path\":\"/x\"}",
            &api),
        DM_OK);
    assert_true(dm_view_eq(dm_json_str(dm_json_get(api, DM_LIT("api_version"))), DM_LIT("1")));
    assert_true(dm_json_get(api, DM_LIT("active")) !=
                NULL); /* null is a value of a bool/null field */
    assert_true(dm_json_is(dm_json_get(api, DM_LIT("active")), DM_JSON_NULL));
    assert_true(dm_json_bool(dm_json_get(api, DM_LIT("api_auth_required")), false));
    assert_true(
        dm_view_eq(dm_json_str(dm_json_get(api, DM_LIT("api_ip_mode"))), DM_LIT("allow_all")));
    assert_non_null(dm_json_get(api, DM_LIT("api_crud_schema")));
    assert_null(dm_json_get(api, DM_LIT("api_path")));
    assert_null(dm_json_get(api, DM_LIT("api_read_timeout")));
    assert_int_equal(dm_json_len(api), 46);
}

static void an_api_is_refused_where_it_would_fail_open_later(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "{\"api_name\":\"a/b\"}",
        "{\"api_version\":\"v\\u0001\"}",
        "{\"api_name\":\"\"}",
        "{\"api_ip_mode\":\"white\"}",
        "{\"api_allowed_retry_count\":-1}",
        "{\"api_servers\":[\"\"]}",
        "{\"api_servers\":[\"ftp://x\"]}",
        "{\"api_servers\":[\"http://u:p@x\"]}",
        "{\"api_servers\":\"http://x\"}",
        "{\"api_limit_on_store_down\":\"maybe\"}",
        "{\"api_credit_group\":\"a.b\"}",
        "{\"api_credit_group\":\"$x\"}",
        "{\"api_credit_group\":\"a:b\"}",
        "{\"api_read_timeout\":0}",
        "{\"api_read_timeout\":600.5}",
        "{\"api_read_timeout\":-1}",
        "{\"api_request_transform\":[]}",
        "{\"api_request_transform\":{\"headers\":[]}}",
        "{\"api_request_transform\":{\"headers\":{\"remove\":\"x\"}}}",
        "{\"api_request_transform\":{\"headers\":{\"remove\":[1]}}}",
        "{\"api_request_transform\":{\"headers\":{\"add\":{\"x y\":\"1\"}}}}",
        "{\"api_request_transform\":{\"headers\":{\"add\":{\"x\":\"a\\r\\nb\"}}}}",
        "{\"api_request_transform\":{\"headers\":{\"add\":{\"x\":{}}}}}",
        "{\"api_request_transform\":{\"headers\":{\"rename\":{\"a\":\"b:c\"}}}}",
        "{\"api_request_transform\":{\"request\":{\"query\":{\"add\":{\"x\":[]}}}}}",
        "{\"api_request_transform\":{\"request\":7}}",
        "{\"api_request_transform\":{\"body\":{\"wrap\":1}}}",
        "{\"api_request_transform\":{\"body\":{\"rename\":{\"$.a\":2}}}}",
        "{\"api_response_transform\":{\"response\":{\"status_map\":[500]}}}",
        "{\"api_response_transform\":{\"status_map\":{\"x\":500}}}",
        "{\"api_response_transform\":{\"status_map\":{\"500\":42}}}",
        "{\"api_crud_schema\":{\"f\":\"string\"}}",
        "{\"api_crud_schema\":{\"f\":{\"type\":1}}}",
        "{\"api_crud_schema\":{\"f\":{\"enum\":\"a\"}}}",
        "{\"api_crud_schema\":{\"f\":{\"min_length\":\"1\"}}}",
        "{\"api_crud_schema\":{\"f\":{\"properties\":{\"g\":{\"required\":\"yes\"}}}}}",
    };
    static const char *const taken[] = {
        "{\"api_ip_mode\":\" Whitelist \"}",
        "{\"api_servers\":[\"http://x\",\"https://y:1/b\",\"grpc://g:5\",\"grpcs://g\",\"h:80\"]}",
        "{\"api_limit_on_store_down\":\"deny\"}",
        "{\"api_read_timeout\":\"0.5\"}",
        "{\"api_connect_timeout\":600}",
        "{\"api_request_transform\":{}}",
        "{\"api_request_transform\":{\"note\":1}}",
        "{\"api_request_transform\":{\"request\":{\"headers\":{\"remove\":[\"X-A\"],\"rename\":{"
        "\"a\":\"b\"},\"add\":{\"x\":1}},"
        "\"query\":{\"remove\":[\"q\"],\"rename\":{\"a\":\"b\"},\"add\":{\"x\":true}},"
        "\"body\":{\"wrap\":\"k\",\"remove\":[\"$.a\"],\"rename\":{\"$.a\":\"$.b[0]\"},\"set\":{\"$"
        ".c\":{\"d\":null}}}}}}",
        "{\"api_response_transform\":{\"response\":{\"status_map\":{\"500\":502,\"404\":"
        "\"ignored\"}}}}",
        "{\"api_crud_schema\":{\"f\":{\"type\":\"object\",\"required\":true,\"properties\":{\"g\":{"
        "\"min_value\":0.5}}}}}",
        "{\"api_crud_schema\":{}}",
    };
    for (size_t i = 0; i < DM_COUNT_OF(refused); i++)
        expect(UPDATE, &dm_record_api, refused[i], "!");
    for (size_t i = 0; i < DM_COUNT_OF(taken); i++) {
        DM_DEFER(dm_json_freep) struct dm_json *patch = NULL;
        if (run(UPDATE, &dm_record_api, taken[i], &patch) != DM_OK || dm_json_len(patch) != 1)
            fail_msg("%s was refused", taken[i]);
    }
}

static void a_schema_deeper_than_any_table_is_refused(void **state)
{
    (void)state;
    char body[2048];
    size_t len = (size_t)snprintf(body, sizeof(body), "{\"api_crud_schema\":{");
    for (int i = 0; i < 20; i++)
        len += (size_t)snprintf(body + len, sizeof(body) - len, "\"f\":{\"properties\":{");
    for (int i = 0; i < 20; i++)
        len += (size_t)snprintf(body + len, sizeof(body) - len, "}}");
    (void)snprintf(body + len, sizeof(body) - len, "}}");
    expect(UPDATE, &dm_record_api, body, "!");
}

static void null_clears_only_what_may_be_cleared(void **state)
{
    (void)state;
    expect(UPDATE, &dm_record_api,
           "{\"api_description\":null,\"active\":null,\"api_servers\":null,\"api_read_timeout\":"
           "null,\"api_id\":null}",
           "{\"api_description\":null,\"api_read_timeout\":null}");
}

static void merging_counts_what_changed(void **state)
{
    (void)state;
    DM_DEFER(dm_json_freep) struct dm_json *doc = json_of("{\"a\":1,\"b\":{\"c\":[1]},\"d\":null}");
    DM_DEFER(dm_json_freep)
    struct dm_json *patch = json_of("{\"a\":1,\"b\":{\"c\":[2]},\"d\":null,\"e\":null}");
    assert_int_equal(dm_record_merge(doc, patch), 2);
    assert_string_equal(text_of(doc), "{\"a\":1,\"b\":{\"c\":[2]},\"d\":null,\"e\":null}");
    assert_int_equal(dm_record_merge(doc, patch), 0);
}

static void a_fault_names_the_field_and_not_the_value(void **state)
{
    (void)state;
    DM_DEFER(dm_json_freep)
    struct dm_json *body =
        json_of("{\"username\":\"ann\",\"email\":\"a@b\",\"password\":\"hunter2\"}");
    struct dm_json *doc = NULL;
    struct dm_error err = {0};
    assert_int_equal(dm_record_create(&dm_record_user, body, &doc, &err), DM_INVALID);
    assert_non_null(strstr(err.text, "\"password\""));
    assert_null(strstr(err.text, "hunter2"));
    assert_null(doc);
}

/* ---- properties, drawn from the tables ---- */

static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Some value, often of the right type, sometimes of any. */
static struct dm_json *draw_value(const struct dm_field *f, uint64_t *seed)
{
    static const char *const any[] = {"null",
                                      "true",
                                      "0",
                                      "3",
                                      "2.5",
                                      "\"yes\"",
                                      "\"12345678\"",
                                      "[]",
                                      "[\"10.0.0.1\"]",
                                      "{}",
                                      "\"https://host\"",
                                      "[\"http://host:1\"]",
                                      "\"*\"",
                                      "-1"};
    uint64_t pick = draw(seed);
    if (f->words != NULL && pick % 2 == 0)
        return dm_json_new_str(dm_view_of(f->words[0]));
    if (f->type == DM_FIELD_STR && pick % 3 != 0) {
        char text[64];
        size_t len = f->min > 1 && f->min < 60 ? (size_t)f->min : 1 + pick / 7 % 7;
        for (size_t i = 0; i < len; i++)
            text[i] = (char)('a' + draw(seed) % 26);
        return dm_json_new_str(dm_view_make(text, len));
    }
    return json_of(any[pick % DM_COUNT_OF(any)]);
}

static struct dm_json *draw_body(const struct dm_record_type *t, uint64_t *seed)
{
    struct dm_json *body = dm_json_new_object();
    for (size_t i = 0; i < t->n_fields; i++) {
        if ((t->fields[i].flags & DM_FIELD_REQUIRED) != 0 || draw(seed) % 8 == 0)
            dm_json_set(body, dm_view_of(t->fields[i].name), draw_value(&t->fields[i], seed));
    }
    dm_json_set_str(body, DM_LIT("unknown"), DM_LIT("dropped"));
    return body;
}

static void what_was_created_can_be_created_again_and_stays_the_same(void **state)
{
    (void)state;
    uint64_t seed = 0x2545f4914f6cdd1du;
    size_t n, made = 0;
    const struct dm_record_type *const *types = dm_record_types(&n);
    for (size_t i = 0; i < n * 3000; i++) {
        const struct dm_record_type *t = types[i % n];
        DM_DEFER(dm_json_freep) struct dm_json *body = draw_body(t, &seed);
        DM_DEFER(dm_json_freep) struct dm_json *once = NULL;
        DM_DEFER(dm_json_freep) struct dm_json *twice = NULL;
        DM_DEFER(dm_json_freep) struct dm_json *patch = NULL;
        if (dm_record_create(t, body, &once, NULL) != DM_OK)
            continue;
        made++;
        if (dm_record_create(t, once, &twice, NULL) != DM_OK || !dm_json_equal(once, twice))
            fail_msg("%s: %s is not stable", t->noun, text_of(once));
        assert_null(dm_json_get(once, DM_LIT("unknown")));
        if (dm_record_update(t, body, &patch, NULL) == DM_OK)
            assert_true(dm_record_merge(twice, patch) <= dm_json_len(patch));
    }
    assert_true(made > n * 300);
}

static const struct dm_field *field_of(const struct dm_record_type *t, dm_view name)
{
    for (size_t i = 0; i < t->n_fields; i++) {
        if (dm_view_eq(dm_view_of(t->fields[i].name), name))
            return &t->fields[i];
    }
    return NULL;
}

/* Whatever a document holds, the gateway's copy holds no secret and nothing personal. */
static void a_projection_never_leaks(void **state)
{
    (void)state;
    static const char *const private[] = {"password",        "email",           "custom_attributes",
                                          "api_ws_security", "api_crud_schema", "role_description"};
    size_t n;
    const struct dm_record_type *const *types = dm_record_types(&n);
    for (size_t i = 0; i < n; i++) {
        struct dm_json *doc = dm_json_new_object();
        for (size_t k = 0; k < types[i]->n_fields; k++)
            dm_json_set_str(doc, dm_view_of(types[i]->fields[k].name), DM_LIT("canary"));
        dm_json_set_str(doc, DM_LIT("_id"), DM_LIT("canary"));
        struct dm_json *out = dm_record_project(types[i], doc);
        for (struct dm_json *m = dm_json_first(out); m != NULL; m = dm_json_next(m)) {
            const struct dm_field *f = field_of(types[i], dm_json_name(m));
            assert_non_null(f);
            assert_true((f->flags & DM_FIELD_PROJECTED) != 0 && (f->flags & DM_FIELD_SECRET) == 0);
        }
        for (size_t k = 0; k < DM_COUNT_OF(private); k++)
            assert_null(dm_json_get(out, dm_view_of(private[k])));
        dm_json_free(out);
        dm_json_free(doc);
    }
}

static void the_gateway_gets_the_fields_of_its_contract(void **state)
{
    (void)state;
    static const struct {
        const struct dm_record_type *type;
        const char *fields;
    } rows[] = {
        /* gateway.md §29.1, and the ids that tie the objects together */
        {&dm_record_api,
         "api_id api_name api_version api_path active api_public api_auth_required "
         "api_allowed_roles "
         "api_allowed_groups api_servers api_allowed_retry_count api_retry_non_idempotent "
         "api_strict_envelope "
         "api_limit_on_store_down api_allowed_headers api_authorization_field_swap "
         "api_credits_enabled "
         "api_credit_group api_cors_allow_origins api_cors_allow_methods api_cors_allow_headers "
         "api_cors_allow_credentials api_cors_expose_headers api_ip_mode api_ip_whitelist "
         "api_ip_blacklist "
         "api_trust_x_forwarded_for api_request_transform api_response_transform api_soap_version "
         "api_wsdl_url "
         "api_graphql_max_depth api_grpc_package api_grpc_allowed_packages "
         "api_grpc_allowed_services "
         "api_grpc_allowed_methods api_grpc_web_enabled api_is_crud api_connect_timeout "
         "api_read_timeout "
         "api_write_timeout api_pool_timeout"},
        {&dm_record_endpoint,
         "endpoint_id api_id endpoint_method endpoint_uri client_uri endpoint_servers"},
        {&dm_record_user,
         "username role groups active rate_limit_enabled rate_limit_duration "
         "rate_limit_duration_type "
         "throttle_enabled throttle_duration throttle_duration_type throttle_wait_duration "
         "throttle_wait_duration_type throttle_queue_limit bandwidth_limit_enabled "
         "bandwidth_limit_bytes "
         "bandwidth_limit_window"},
        {&dm_record_subscription, "apis"},
        {&dm_record_role, "role_name platform_admin manage_gateway"},
        {&dm_record_routing, "routing_servers server_index"},
        {&dm_record_group, ""},
        {&dm_record_credit_def, "api_credit_group api_key api_key_header api_key_new "
                                "api_key_rotation_expires"},
        {&dm_record_user_credits, ""}, /* projected by its service: the keys alone */
        {&dm_record_security_settings, "ip_whitelist ip_blacklist trust_x_forwarded_for "
                                       "xff_trusted_proxies allow_localhost_bypass"},
    };
    for (size_t i = 0; i < DM_COUNT_OF(rows); i++) {
        size_t projected = 0, named = 0;
        dm_view rest = dm_view_of(rows[i].fields), name;
        for (size_t k = 0; k < rows[i].type->n_fields; k++)
            projected += (rows[i].type->fields[k].flags & DM_FIELD_PROJECTED) != 0;
        while (rest.len > 0 && dm_view_split(&rest, ' ', &name)) {
            const struct dm_field *f = field_of(rows[i].type, name);
            if (f == NULL || (f->flags & DM_FIELD_PROJECTED) == 0)
                fail_msg("%s.%.*s is not projected", rows[i].type->noun, DM_FMT(name));
            named++;
        }
        assert_int_equal(projected, named);
    }
}

static void a_projection_leaves_nulls_and_defaults_out(void **state)
{
    (void)state;
    DM_DEFER(dm_json_freep)
    struct dm_json *doc =
        json_of("{\"username\":\"ann\",\"email\":\"e\",\"groups\":[],\"role\":\"user\",\"rate_"
                "limit_duration\":null,\"active\":false,\"bandwidth_limit_window\":\"day\"}");
    DM_DEFER(dm_json_freep) struct dm_json *out = dm_record_project(&dm_record_user, doc);
    assert_string_equal(text_of(out), "{\"username\":\"ann\",\"role\":\"user\",\"active\":false}");
}

static void the_schema_says_what_the_table_says(void **state)
{
    (void)state;
    DM_DEFER(dm_json_freep) struct dm_json *create = dm_record_schema(&dm_record_group, false);
    DM_DEFER(dm_json_freep) struct dm_json *update = dm_record_schema(&dm_record_group, true);
    assert_string_equal(
        text_of(create),
        "{\"type\":\"object\",\"properties\":{\"group_name\":{\"type\":\"string\",\"minLength\":1,"
        "\"maxLength\":50},"
        "\"group_description\":{\"type\":[\"string\",\"null\"],\"maxLength\":255},\"api_access\":{"
        "\"type\":\"array\","
        "\"items\":{\"type\":\"string\"},\"default\":[]}},\"required\":[\"group_name\"]}");
    assert_string_equal(text_of(update), "{\"type\":\"object\",\"properties\":{\"group_name\":{"
                                         "\"type\":\"string\",\"minLength\":1,\"maxLength\":50},"
                                         "\"group_description\":{\"type\":\"string\",\"minLength\":"
                                         "1,\"maxLength\":255},\"api_access\":{\"type\":\"array\","
                                         "\"items\":{\"type\":\"string\"}}}}");
    DM_DEFER(dm_json_freep) struct dm_json *user = dm_record_schema(&dm_record_user, false);
    const struct dm_json *fields = dm_json_get(user, DM_LIT("properties"));
    assert_true(dm_json_bool(
        dm_json_get(dm_json_get(fields, DM_LIT("password")), DM_LIT("writeOnly")), false));
    DM_DEFER(dm_json_freep) struct dm_json *api = dm_record_schema(&dm_record_api, true);
    fields = dm_json_get(api, DM_LIT("properties"));
    assert_null(dm_json_get(fields, DM_LIT("api_id")));
    assert_string_equal(
        text_of(dm_json_get(fields, DM_LIT("api_limit_on_store_down"))),
        "{\"type\":[\"string\",\"null\"],\"enum\":[\"deny\",\"allow\",\"local\",null]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_taken_as_pydantic_takes_them),
        cmocka_unit_test(lengths_are_counted_in_code_points),
        cmocka_unit_test(a_role_is_filled_with_its_defaults_in_the_order_of_the_table),
        cmocka_unit_test(a_description_may_be_empty_at_first_and_not_later),
        cmocka_unit_test(a_user_is_checked_by_its_ranges),
        cmocka_unit_test(an_endpoint_is_put_into_its_one_spelling),
        cmocka_unit_test(a_uri_of_255_characters_may_still_get_its_slash),
        cmocka_unit_test(a_routing_starts_where_it_was_told_and_keeps_its_place),
        cmocka_unit_test(security_settings_hold_only_what_was_sent),
        cmocka_unit_test(an_api_holds_every_field_of_its_model),
        cmocka_unit_test(an_api_is_refused_where_it_would_fail_open_later),
        cmocka_unit_test(a_schema_deeper_than_any_table_is_refused),
        cmocka_unit_test(null_clears_only_what_may_be_cleared),
        cmocka_unit_test(merging_counts_what_changed),
        cmocka_unit_test(a_fault_names_the_field_and_not_the_value),
        cmocka_unit_test(what_was_created_can_be_created_again_and_stays_the_same),
        cmocka_unit_test(a_projection_never_leaks),
        cmocka_unit_test(the_gateway_gets_the_fields_of_its_contract),
        cmocka_unit_test(a_projection_leaves_nulls_and_defaults_out),
        cmocka_unit_test(the_schema_says_what_the_table_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
