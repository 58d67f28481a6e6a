#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/redact.h"

struct sample {
    const char *in, *out;
};

static void check(const struct sample *samples, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct dm_buf out;
        dm_buf_init(&out, 3 * strlen(samples[i].in) + 64);
        dm_redact(dm_view_of(samples[i].in), &out);
        assert_true(dm_buf_ok(&out));
        assert_string_equal(dm_buf_cstr(&out), samples[i].out);
        dm_buf_done(&out);
    }
}
#define CHECK(samples) check((samples), DM_COUNT_OF(samples))

static void headers_lose_their_value_to_the_end_of_the_line(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"Authorization: Bearer abc.def; x=1", "Authorization: Bearer [REDACTED]; x=1"},
        {"proxy-authorization: Basic dTpw", "proxy-authorization: Basic [REDACTED]"},
        {"AUTHORIZATION: Digest username=\"bob\", response=\"x\"",
         "AUTHORIZATION: Digest [REDACTED]"},
        {"authorization: opaque words", "authorization: [REDACTED]"},
        {"X-API-Key: a b c", "X-API-Key: [REDACTED]"},
        {"api_key=abc def", "api_key=[REDACTED]"},
        {"apikey: abc", "apikey: [REDACTED]"},
        {"Api-Secret: abc", "Api-Secret: [REDACTED]"},
        {"x Authorization: Bearer abc\nHost: y", "x Authorization: Bearer [REDACTED]\nHost: y"},
        {"Authorization:", "Authorization:"},
    };
    CHECK(samples);
}

static void cookies_go_whole_whatever_their_separators(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"Cookie: a=1; b=2; c=3", "Cookie: [REDACTED]"},
        {"set-cookie: sid=1; Path=/; HttpOnly", "set-cookie: [REDACTED]"},
        {"Cookie: \"a\"=1; b=2", "Cookie: [REDACTED]"},
        {"{\"cookie\":\"a=1; b=2\",\"x\":1}", "{\"cookie\":\"[REDACTED]\",\"x\":1}"},
    };
    CHECK(samples);
}

static void fields_lose_their_value(void **state)
{
    (void)state;
    static const char *const names[] = {
        "access_token",
        "refresh_token",
        "id_token",
        "password",
        "passwd",
        "secret",
        "client_secret",
        "csrf_token",
        "x-csrf-token",
        "session_id",
        "signature",
        "x-hub-signature-256",
        "x-webhook-signature",
        "x-agent-token",
        "x-prometheus-token",
        "clientSecret",
        "SESSION-ID",
        "accesstoken",
        "newPassword",
        "smtp_password",
    };
    static const char *const forms[] = {
        "%s=canary",
        "%s: canary",
        "x %s = canary y",
        "\"%s\": \"canary\"",
        "{\"%s\":\"canary\"}",
        "{'%s': 'canary'}",
        "a=1&%s=canary&b=2",
        "%s=\"canary canary\" y",
        "{\"m\":\"%s=canary\"}",
        "{\"m\":\"{\\\"%s\\\":\\\"canary canary\\\"}\"}",
    };
    for (size_t i = 0; i < DM_COUNT_OF(names); i++) {
        for (size_t j = 0; j < DM_COUNT_OF(forms); j++) {
            char in[256];
            struct dm_buf out;
            dm_buf_init(&out, 1024);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            (void)snprintf(in, sizeof in, forms[j], names[i]);
#pragma GCC diagnostic pop
            dm_redact(dm_view_of(in), &out);
            if (strstr(dm_buf_cstr(&out), "canary") != NULL)
                fail_msg("%s -> %s", in, dm_buf_cstr(&out));
            assert_non_null(strstr(dm_buf_cstr(&out), names[i]));
            dm_buf_done(&out);
        }
    }
}

static void a_value_ends_where_the_next_fact_begins(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"password=abc user=bob", "password=[REDACTED] user=bob"},
        {"password=abc&user=bob", "password=[REDACTED]&user=bob"},
        {"password=a;b,c user=bob", "password=[REDACTED] user=bob"},
        {"password=\"a \\\" b\" user=bob", "password=\"[REDACTED]\" user=bob"},
        {"password=\"never closed", "password=\"[REDACTED]"},
        {"password=a\\\\nb user=bob", "password=[REDACTED] user=bob"},
        {"password=a\\nuser=bob", "password=[REDACTED]\\nuser=bob"},
        {"/x?password=a\\nb&c", "/x?password=[REDACTED]&c"},
        {"password=", "password="},
        {"password= [REDACTED] x", "password= [REDACTED] x"},
        {"password={\"a\": \"b\"} x", "password=[REDACTED]"},
    };
    CHECK(samples);
}

static void json_stays_json(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"{\"password\":\"a\\\"b\",\"user\":\"bob\"}",
         "{\"password\":\"[REDACTED]\",\"user\":\"bob\"}"},
        {"{\"password\":\"a\\\\\",\"user\":\"bob\"}",
         "{\"password\":\"[REDACTED]\",\"user\":\"bob\"}"},
        {"{\"password\":12345,\"n\":1}", "{\"password\":\"[REDACTED]\",\"n\":1}"},
        {"{\"password\":null}", "{\"password\":\"[REDACTED]\"}"},
        {"{\"secret\":{\"a\":\"}x\",\"b\":[1]},\"n\":1}", "{\"secret\":\"[REDACTED]\",\"n\":1}"},
        {"{\"cookie\":[\"a=1\",\"b=2\"],\"n\":1}", "{\"cookie\":\"[REDACTED]\",\"n\":1}"},
        {"{\"password\" : \"x\" , \"n\":1}", "{\"password\" : \"[REDACTED]\" , \"n\":1}"},
        {"{\"password\":\"\",\"n\":\"x\"}", "{\"password\":\"\",\"n\":\"x\"}"},
        {"{\"message\":\"authorization: x y\",\"n\":1}",
         "{\"message\":\"authorization: [REDACTED]\",\"n\":1}"},
        {"{\"message\":\"cookie: a=1\\nhost: x\",\"n\":1}",
         "{\"message\":\"cookie: [REDACTED]\\nhost: x\",\"n\":1}"},
        {"{\"message\":\"password=a\\\"b c\",\"n\":1}",
         "{\"message\":\"password=[REDACTED] c\",\"n\":1}"},
        {"{\"message\":\"password:\",\"n\":\"v\"}", "{\"message\":\"password:\",\"n\":\"v\"}"},
        {"{\"message\":\"{\\\"password\\\":\\\"a\\\\\\\"b\\\",\\\"n\\\":1}\",\"z\":1}",
         "{\"message\":\"{\\\"password\\\":\\\"[REDACTED]\\\",\\\"n\\\":1}\",\"z\":1}"},
        {"[{\"password\":true}]", "[{\"password\":\"[REDACTED]\"}]"},
    };
    CHECK(samples);
}

static void a_token_needs_twenty_characters(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"token=abcdefghijklmnopqrst", "token=[REDACTED]"},
        {"token=abcdefghijklmnopqrs", "token=abcdefghijklmnopqrs"},
        {"token: Bearer abcdefghijklmnopqrstuv", "token: Bearer [REDACTED]"},
        {"{\"token\":\"abcdefghijklmnopqrst\"}", "{\"token\":\"[REDACTED]\"}"},
        {"unexpected token: comma", "unexpected token: comma"},
        {"token=short password=x", "token=short password=[REDACTED]"},
    };
    CHECK(samples);
}

static void tokens_are_known_by_their_shape(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"x eyJhbGc.eyJzdWI.c2ln y", "x [REDACTED] y"},
        {"/path/eyJhbGc.eyJzdWI.c2ln/rest", "/path/[REDACTED]/rest"},
        {"glued_eyJhbGc.eyJzdWI.c2ln", "glued_[REDACTED]"},
        {"eyJhbGc.eyJzdWI.", "[REDACTED]"},
        {"{\"m\":\"\\neyJhbGc.eyJzdWI.c2ln\"}", "{\"m\":\"\\n[REDACTED]\"}"},
        {"eyJhbGc.c2ln.eyJzdWI", "eyJhbGc.c2ln.eyJzdWI"},
        {"eyJhbGc.eyJzdWI", "eyJhbGc.eyJzdWI"},
        {"got Bearer abcdefghijklmnop here", "got Bearer [REDACTED] here"},
        {"Basic plan, bearer bonds", "Basic plan, bearer bonds"},
    };
    CHECK(samples);
}

static void private_keys_keep_their_marker_lines_only(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY----- x",
         "-----BEGIN PRIVATE KEY-----[REDACTED]-----END PRIVATE KEY----- x"},
        {"{\"m\":\"-----BEGIN RSA PRIVATE KEY-----\\nMIIE\\n-----END RSA PRIVATE KEY-----\"}",
         "{\"m\":\"-----BEGIN RSA PRIVATE KEY-----[REDACTED]-----END RSA PRIVATE KEY-----\"}"},
        {"secret=-----BEGIN EC PRIVATE KEY-----\\nMI IE",
         "secret=-----BEGIN EC PRIVATE KEY-----[REDACTED]"},
        {"{\"m\":\"-----BEGIN PRIVATE KEY-----\\nMIIE\",\"n\":1}",
         "{\"m\":\"-----BEGIN PRIVATE KEY-----[REDACTED]\",\"n\":1}"},
        {"-----begin private key-----x-----end private key-----",
         "-----begin private key-----[REDACTED]-----end private key-----"},
        {"-----BEGIN CERTIFICATE-----\nMIIE", "-----BEGIN CERTIFICATE-----\nMIIE"},
    };
    CHECK(samples);
}

static void user_info_of_urls_goes(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"redis://user:pass@host:6379/0", "redis://[REDACTED]@host:6379/0"},
        {"https://p@ss@host/x", "https://[REDACTED]@host/x"},
        {"https://host/a@b", "https://host/a@b"},
        {"{\"url\":\"mongodb:\\/\\/u:p@h\\/db\"}", "{\"url\":\"mongodb:\\/\\/[REDACTED]@h\\/db\"}"},
        {"http://host:80/", "http://host:80/"},
    };
    CHECK(samples);
}

static void query_parameters_keep_their_names(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"GET /x?token=abc&b=1 HTTP/1.1", "GET /x?token=[REDACTED]&b=1 HTTP/1.1"},
        {"\"GET /x?api_key=abc HTTP/1.1\" 200 \"http://r/?password=abc\" \"curl\"",
         "\"GET /x?api_key=[REDACTED] HTTP/1.1\" 200 \"http://r/?password=[REDACTED]\" \"curl\""},
        {"{\"path\":\"/x?a=1&access_token=abc\",\"n\":1}",
         "{\"path\":\"/x?a=1&access_token=[REDACTED]\",\"n\":1}"},
        {"next=%2Fa%3Ftoken%3Dabc%26b%3D1", "next=%2Fa%3Ftoken%3D[REDACTED]%26b%3D1"},
        {"/x?user[password]=abc&b", "/x?user[password]=[REDACTED]&b"},
    };
    CHECK(samples);
}

static void ordinary_lines_stay_as_they_are(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "{",
        "\"",
        "{\"timestamp\":\"2024-01-15T10:30:00Z\",\"level\":\"INFO\",\"request_id\":\"a:b\","
        "\"message\":\"GET /api/rest/orders/v1 - 200 - 5ms\",\"api_key_group\":\"x\",\"n\":1.5}",
        "2024-01-15 10:30:00 INFO [request_id=abc123] policy loaded apis=10 tokens=3",
        "authorized: yes, cookies: 3, secretary=bob, tokens=abcdefghijklmnopqrstuvwxyz",
        "a == b :: c %3 %3D",
        "\\\\\\\"\\",
    };
    for (size_t i = 0; i < DM_COUNT_OF(lines); i++) {
        const struct sample same = {lines[i], lines[i]};
        check(&same, 1);
    }
}

/* Every prefix and every garbling of a nasty line: never past the promised room, never a crash. */
static void any_bytes_are_survived_within_the_promised_room(void **state)
{
    (void)state;
    static const char line[] = "{\"m\":\"secret=\\\"a\\\\\",'token':{[-----BEGIN PRIVATE KEY-----"
                               "http://u:p@h?token%3D\\,eyJ.eyJ.\"password\":[\"}\",{}],cookie=;&";
    uint64_t random = 1;
    for (int round = 0; round < 20000; round++) {
        char text[sizeof line];
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t len = (size_t)(random >> 33) % sizeof line;
        memcpy(text, line, len);
        for (int i = 0; i < 3 && len > 0; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            text[(random >> 33) % len] = line[(random >> 43) % (sizeof line - 1)];
        }
        struct dm_buf out;
        dm_buf_init(&out, 3 * len + 64);
        dm_redact(dm_view_make(text, len), &out);
        assert_true(dm_buf_ok(&out));
        dm_buf_done(&out);
    }
}

static void keys_of_details_are_judged_by_what_they_hold(void **state)
{
    (void)state;
    static const char *const secret[] = {"password",   "user_password", "API_KEY",
                                         "authToken",  "cookie",        "x-hub-signature-256",
                                         "Session-Id", "author"};
    static const char *const plain[] = {"api_authorization_field_swap", "name", "username",
                                        "status", ""};
    for (size_t i = 0; i < DM_COUNT_OF(secret); i++)
        assert_true(dm_redact_key(dm_view_of(secret[i])));
    for (size_t i = 0; i < DM_COUNT_OF(plain); i++)
        assert_false(dm_redact_key(dm_view_of(plain[i])));
}

static void values_of_details_are_judged_by_their_shape(void **state)
{
    (void)state;
    static const char *const secret[] = {
        "eyJhbGc.eyJzdWI.c2ln",
        "Bearer x",
        " basic x",
        "sk-abcdefghijklmnopqrstuvwxyz012345",
        "0123456789abcdef0123456789ABCDEF",
        "sha256=0123456789abcdef0123456789ABCDEF",
        "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----",
        "redis://u:p@h",
    };
    static const char *const plain[] = {
        "",         "orders", "0123456789abcdef0123456789ABCDE",
        "sk-short", "sk-",    "550e8400-e29b-41d4-a716-446655440000",
        "Bearers"};
    for (size_t i = 0; i < DM_COUNT_OF(secret); i++)
        assert_true(dm_redact_value(dm_view_of(secret[i])));
    for (size_t i = 0; i < DM_COUNT_OF(plain); i++)
        assert_false(dm_redact_value(dm_view_of(plain[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_lose_their_value_to_the_end_of_the_line),
        cmocka_unit_test(cookies_go_whole_whatever_their_separators),
        cmocka_unit_test(fields_lose_their_value),
        cmocka_unit_test(a_value_ends_where_the_next_fact_begins),
        cmocka_unit_test(json_stays_json),
        cmocka_unit_test(a_token_needs_twenty_characters),
        cmocka_unit_test(tokens_are_known_by_their_shape),
        cmocka_unit_test(private_keys_keep_their_marker_lines_only),
        cmocka_unit_test(user_info_of_urls_goes),
        cmocka_unit_test(query_parameters_keep_their_names),
        cmocka_unit_test(ordinary_lines_stay_as_they_are),
        cmocka_unit_test(any_bytes_are_survived_within_the_promised_room),
        cmocka_unit_test(keys_of_details_are_judged_by_what_they_hold),
        cmocka_unit_test(values_of_details_are_judged_by_their_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
