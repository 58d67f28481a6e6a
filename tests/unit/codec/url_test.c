#include "support.h"

#include <string.h>

#include "codec/uri.h"

static void addresses_are_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text, *scheme, *host;
        unsigned port;
        const char *path, *query;
        bool bare;
    } rows[] = {
        {"http://up", "http", "up", 80, "", "", false},
        {"http://up:8080/", "http", "up", 8080, "", "", false},
        {"https://up.example.com/base/", "https", "up.example.com", 443, "/base", "", false},
        {"https://up/a/b//?x=1", "https", "up", 443, "/a/b", "x=1", false},
        {"http://up?x", "http", "up", 80, "", "x", false},
        {"http://[::1]:81/x", "http", "::1", 81, "/x", "", false},
        {"http://10.0.0.1", "http", "10.0.0.1", 80, "", "", false},
        {"http://my_service:5000", "http", "my_service", 5000, "", "", false},
        {"http://example.com./", "http", "example.com.", 80, "", "", false},
        {"grpc://g", "grpc", "g", 80, "", "", false},
        {"grpcs://g:50051", "grpcs", "g", 50051, "", "", false},
        {"localhost:50051", "", "localhost", 50051, "", "", true},
        {"unix:/run/app.sock", "unix", "/run/app.sock", 0, "", "", false},
        {"unix:/run/app.sock:/base/", "unix", "/run/app.sock", 0, "/base", "", false},
        {"unix:/run/a:b.sock:/x?y", "unix", "/run/a:b.sock", 0, "/x", "y", false}};
    for (size_t i = 0; i < DM_COUNT_OF(rows); i++) {
        struct dm_url url;
        struct dm_error err = {0};
        if (dm_url_parse(dm_view_of(rows[i].text), &url, &err) != DM_OK)
            fail_msg("%s", err.text);
        assert_view(url.scheme, dm_view_of(rows[i].scheme));
        assert_view(url.host, dm_view_of(rows[i].host));
        assert_int_equal(url.port, rows[i].port);
        assert_view(url.path, dm_view_of(rows[i].path));
        assert_view(url.query, dm_view_of(rows[i].query));
        assert_int_equal(url.bare, rows[i].bare);
    }
}

static void what_is_no_server_address_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } rows[] = {{"", "host or port"},
                {"http://", "host or port"},
                {"http:///x", "host or port"},
                {"HTTP://up", "scheme"},
                {"ftp://up", "scheme"},
                {"file:///etc/passwd", "scheme"},
                {"up", "scheme or port"},
                {"up/x", "scheme or port"},
                {"http://u:p@up", "user-info"},
                {"http://u@up/x", "user-info"},
                {"http://up:0", "host or port"},
                {"http://up:", "host or port"},
                {"http://up:65536", "host or port"},
                {"http://up:+80", "host or port"},
                {"http://up:000080", "host or port"},
                {"http://[::1", "host or port"},
                {"http://[::1]x", "host or port"},
                {"http://[fe80::1%25eth0]", "host or port"},
                {"http://::1/", "host or port"},
                {"http://a..b", "host or port"},
                {"http://-a", "host or port"},
                {"http://127.1", "host or port"},
                {"http://1.2.3.4.5", "host or port"},
                {"http://256.1.1.1", "host or port"},
                {"http://2130706433", "host or port"},
                {"http://up/a b", "byte"},
                {"http://up/\r\nx", "byte"},
                {"http://up/#f", "byte"},
                {"http://up\\x", "byte"},
                {"http://\xc3\xa9", "byte"},
                {"unix:run.sock", "socket path"},
                {"unix:/", "socket path"},
                {"unix:", "socket path"}};
    for (size_t i = 0; i < DM_COUNT_OF(rows); i++) {
        struct dm_url url;
        struct dm_error err = {0};
        assert_int_equal(dm_url_parse(dm_view_of(rows[i].text), &url, &err), DM_INVALID);
        if (strstr(err.text, rows[i].why) == NULL)
            fail_msg("%s: %s", rows[i].text, err.text);
    }
}

static void a_socket_path_fits_the_kernel(void **state)
{
    (void)state;
    char text[5 + 108 + 1] = "unix:";
    struct dm_url url;
    memset(text + 5, '/', 108);
    assert_int_equal(dm_url_parse(dm_view_make(text, 5 + 107), &url, NULL), DM_OK);
    assert_int_equal(dm_url_parse(dm_view_make(text, 5 + 108), &url, NULL), DM_INVALID);
}

static void hosts_are_names_or_addresses(void **state)
{
    (void)state;
    static const char *const good[] = {"a",
                                       "a.b",
                                       "a-b.c1",
                                       "A.B",
                                       "1.2.3.4",
                                       "[::]",
                                       "[::ffff:1.2.3.4]:1",
                                       "a:65535",
                                       "a.",
                                       "xn--bcher-kva.example",
                                       "_x",
                                       "3com.net"};
    static const char *const bad[] = {
        "",     ":80",    "a:",   "a:0",   "a:1:2",    ".",    ".a",        "a..",
        "a.-b", "a b",    "a/b",  "a?b",   "u@a",      "[]",   "[1.2.3.4]", "::1",
        "[::1", "[::1]:", "a%41", "1.2.3", "01.2.3.4", "\xff", "a,b",       "a\tb"};
    char label[64 + 1];
    for (size_t i = 0; i < DM_COUNT_OF(good); i++) {
        if (!dm_host_valid(dm_view_of(good[i])))
            fail_msg("%s was refused", good[i]);
    }
    for (size_t i = 0; i < DM_COUNT_OF(bad); i++) {
        if (dm_host_valid(dm_view_of(bad[i])))
            fail_msg("%s was taken", bad[i]);
    }
    assert_false(dm_host_valid(dm_view_make("a\0b", 3)));
    memset(label, 'a', sizeof(label));
    assert_true(dm_host_valid(dm_view_make(label, 63)));
    assert_false(dm_host_valid(dm_view_make(label, 64)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_taken_apart),
        cmocka_unit_test(what_is_no_server_address_is_refused_with_a_reason),
        cmocka_unit_test(a_socket_path_fits_the_kernel),
        cmocka_unit_test(hosts_are_names_or_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
