#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log_record.h"

static const dm_time sample = 1705314600 * DM_SEC + 123 * DM_MS; /* 2024-01-15T10:30:00.123Z */

static struct dm_log_format format = {
    .json = true, .utc = true, .process = "gateway", .pod = "pod-1"};
static char line[DM_LOG_LINE_MAX];

static const char *format_event(const struct dm_log_event *e)
{
    static char record[512 * 1024];
    struct dm_buf out;
    enum dm_log_level level;
    bool raw;
    size_t size = dm_log_record_size(e);
    assert_true(size <= sizeof record);
    dm_log_record_pack(e, record);
    assert_int_equal(dm_log_record_read(record, &level, &raw), size);
    assert_int_equal(level, e->level);
    assert_int_equal(raw, e->raw);
    dm_buf_init(&out, sizeof line - 1);
    dm_log_record_format(record, &format, &out);
    assert_true(dm_buf_ok(&out));
    memcpy(line, dm_buf_view(&out).ptr, dm_buf_view(&out).len);
    line[dm_buf_view(&out).len] = '\0';
    dm_buf_done(&out);
    return line;
}

static const char *format_fields(bool json, const struct dm_log_field *fields, size_t n)
{
    struct dm_log_event e = {.level = DM_LOG_INFO,
                             .wall = sample,
                             .request_id = DM_LIT("abc123"),
                             .message = DM_LIT("hello"),
                             .fields = fields,
                             .n_fields = n};
    format.json = json;
    return format_event(&e);
}

#define FIELDS(json, ...)                                                                          \
    format_fields((json), (const struct dm_log_field[]){__VA_ARGS__},                              \
                  DM_COUNT_OF(((const struct dm_log_field[]){__VA_ARGS__})))

static void a_json_line_has_its_members_in_order(void **state)
{
    (void)state;
    assert_string_equal(FIELDS(true, DM_FC("username", "bob"), DM_FI("status_code", 200),
                               DM_FB("ok", 1), DM_FMS("response_time_ms", 5123456)),
                        "{\"timestamp\":\"2024-01-15T10:30:00Z\",\"level\":\"INFO\","
                        "\"request_id\":\"abc123\",\"message\":\"hello\",\"username\":\"bob\","
                        "\"status_code\":200,\"ok\":true,\"response_time_ms\":5.123,"
                        "\"ts_ms\":1705314600123,\"process\":\"gateway\",\"pod\":\"pod-1\","
                        "\"version\":\"" DOORMAN_VERSION "\"}");
}

static void a_plain_line_quotes_values_only_where_needed(void **state)
{
    (void)state;
    assert_string_equal(FIELDS(false, DM_FC("a", "x"), DM_FC("b", "x y"), DM_FC("c", "\"q\"=1"),
                               DM_FC("d", ""), DM_FI("e", -5), DM_FMS("f", -1500000)),
                        "2024-01-15 10:30:00 INFO [request_id=abc123] hello a=x b=\"x y\" "
                        "c=\"\\\"q\\\"=1\" d=\"\" e=-5 f=-1.500");
}

static void plain_lines_can_show_local_time(void **state)
{
    (void)state;
    struct dm_log_event e = {.level = DM_LOG_WARNING, .wall = sample, .message = DM_LIT("x")};
    setenv("TZ", "UTC-2", 1); /* POSIX: two hours ahead */
    tzset();
    format = (struct dm_log_format){.utc = false, .process = "p", .pod = "q"};
    assert_string_equal(format_event(&e), "2024-01-15 12:30:00 WARNING [request_id=-] x");
    format.json = true; /* JSON never does, also right after a plain line of the same second */
    assert_non_null(strstr(format_event(&e), "\"2024-01-15T10:30:00Z\""));
    format.utc = true;
    setenv("TZ", "UTC", 1);
    tzset();
}

static void an_unknown_value_is_left_out_and_an_empty_one_shown(void **state)
{
    (void)state;
    const char *text = FIELDS(true, DM_F("username", DM_VIEW_NONE), DM_F("path", DM_LIT("")));
    assert_null(strstr(text, "username"));
    assert_non_null(strstr(text, "\"path\":\"\""));
}

static void bytes_that_could_forge_a_line_are_escaped(void **state)
{
    (void)state;
    struct dm_log_event e = {.level = DM_LOG_ERROR,
                             .wall = sample,
                             .request_id = DM_LIT("a\nb"),
                             .message =
                                 DM_LIT("x\r\n\t\x1b[31m\x7f\0\xff \xC2\x9B \xC3\xA4 \\ \"q\"")};
    format.json = false;
    assert_string_equal(format_event(&e),
                        "2024-01-15 10:30:00 ERROR [request_id=a\\nb] "
                        "x\\r\\n\\t\\x1b[31m\\x7f\\x00\\xff \\x9b \xC3\xA4 \\\\ \"q\"");
    format.json = true;
    const char *json = format_event(&e);
    assert_non_null(strstr(json, "\"message\":\"x\\r\\n\\t\\u001b[31m\\u007f\\u0000\\\\xff \\u009b "
                                 "\xC3\xA4 \\\\ \\\"q\\\"\""));
    assert_non_null(strstr(json, "\"request_id\":\"a\\nb\""));
}

static void long_values_are_cut_between_characters(void **state)
{
    (void)state;
    char text[2000];
    memset(text, 'a', sizeof text);
    memcpy(text + 255, "\xC3\xA4", 2); /* byte 256 is the second of two */
    const char *json = FIELDS(true, DM_F("path", dm_view_make(text, sizeof text)));
    char expected[300];
    memset(expected, 'a', 255);
    memcpy(expected + 255, "...\",\"ts_ms\"", sizeof "...\",\"ts_ms\"");
    assert_non_null(strstr(json, expected));

    struct dm_log_event e = {.level = DM_LOG_INFO, .message = dm_view_make(text, sizeof text)};
    json = format_event(&e);
    assert_non_null(strstr(json, "aaa...\",\"ts_ms\""));
    assert_in_range(strlen(json), 1024, 1024 + 300);
}

static void audit_lines_are_json_whatever_the_format(void **state)
{
    (void)state;
    const struct dm_log_field details = DM_FJ("details", DM_LIT("{\"a\":\n1}"));
    struct dm_log_event e = {.level = DM_LOG_AUDIT,
                             .wall = sample,
                             .request_id = DM_LIT("r"),
                             .message = DM_LIT("auth.login"),
                             .fields = &details,
                             .n_fields = 1};
    format.json = false;
    const char *json = format_event(&e);
    assert_non_null(strstr(json, "{\"timestamp\":\"2024-01-15T10:30:00Z\",\"level\":\"INFO\","
                                 "\"request_id\":\"r\",\"message\":\"auth.login\","
                                 "\"details\":{\"a\": 1},\"log\":\"audit\",\"ts_ms\""));
}

static void json_beyond_its_limit_becomes_a_text(void **state)
{
    (void)state;
    static char big[DM_LOG_JSON_MAX + 1];
    memset(big, '1', sizeof big);
    const char *json = FIELDS(true, DM_FJ("details", dm_view_make(big, sizeof big)));
    assert_non_null(strstr(json, "\"details\":\"1111"));
    assert_non_null(strstr(json, "111...\",\"ts_ms\""));
    json = FIELDS(true, DM_FJ("details", dm_view_make(big, sizeof big - 1)));
    assert_non_null(strstr(json, "\"details\":1111"));
}

static void a_ready_line_loses_nothing_but_control_bytes(void **state)
{
    (void)state;
    struct dm_log_event e = {
        .level = DM_LOG_INFO, .raw = true, .message = DM_LIT("1.2.3.4 \"GET \\x\"\n")};
    assert_string_equal(format_event(&e), "1.2.3.4 \"GET \\x\"\\n");
}

static void the_longest_event_fits_a_line(void **state)
{
    (void)state;
    static char big[DM_LOG_JSON_MAX];
    struct dm_log_field fields[DM_LOG_FIELDS_MAX];
    memset(big, '\1', sizeof big);
    for (size_t i = 0; i < DM_LOG_FIELDS_MAX; i++)
        fields[i] = i % 2 == 0 ? DM_FJ("j", dm_view_make(big, sizeof big))
                               : DM_F("s", dm_view_make(big, sizeof big));
    (void)format_fields(true, fields, DM_LOG_FIELDS_MAX);
    for (size_t i = 0; i < DM_LOG_FIELDS_MAX; i++)
        fields[i] = DM_FJ("j", dm_view_make(big, sizeof big));
    assert_true(strlen(format_fields(false, fields, DM_LOG_FIELDS_MAX)) < DM_LOG_LINE_MAX / 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_json_line_has_its_members_in_order),
        cmocka_unit_test(a_plain_line_quotes_values_only_where_needed),
        cmocka_unit_test(plain_lines_can_show_local_time),
        cmocka_unit_test(an_unknown_value_is_left_out_and_an_empty_one_shown),
        cmocka_unit_test(bytes_that_could_forge_a_line_are_escaped),
        cmocka_unit_test(long_values_are_cut_between_characters),
        cmocka_unit_test(audit_lines_are_json_whatever_the_format),
        cmocka_unit_test(json_beyond_its_limit_becomes_a_text),
        cmocka_unit_test(a_ready_line_loses_nothing_but_control_bytes),
        cmocka_unit_test(the_longest_event_fits_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
