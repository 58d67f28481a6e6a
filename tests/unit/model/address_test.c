/* Addresses, sets of them, and who the client is behind proxies: operations.md §8.11, gateway.md
 * §3.1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/address.h"

#include <stdio.h>
#include <string.h>

static struct dm_address parsed(const char *text)
{
    struct dm_address a;
    if (!dm_address_parse(dm_view_of(text), &a))
        fail_msg("%s is no address", text);
    return a;
}

static struct dm_address_set *set_of(const char *csv)
{
    dm_view entries[16], rest = dm_view_of(csv);
    size_t n = 0;
    struct dm_address_set *s = NULL;
    while (dm_view_split(&rest, ',', &entries[n]))
        n++;
    assert_int_equal(dm_address_set_new(entries, n, &s, NULL), DM_OK);
    return s;
}

static void addresses_are_written_in_canonical_form(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"1.2.3.4", "1.2.3.4"},
                                           {"255.255.255.255", "255.255.255.255"},
                                           {"::ffff:1.2.3.4", "1.2.3.4"},
                                           {"::FFFF:102:304", "1.2.3.4"},
                                           {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
                                           {"::", "::"},
                                           {"::1", "::1"},
                                           {"fe80:0:0:1::", "fe80:0:0:1::"},
                                           {"2001:0db8::0001:0:0:1", "2001:db8::1:0:0:1"}};
    char out[DM_ADDRESS_TEXT];
    for (size_t i = 0; i < DM_COUNT_OF(pairs); i++) {
        struct dm_address a = parsed(pairs[i][0]), again;
        assert_int_equal(dm_address_write(&a, out), strlen(pairs[i][1]));
        assert_string_equal(out, pairs[i][1]);
        again = parsed(out);
        assert_true(dm_address_eq(&a, &again));
    }
}

static void every_octet_is_written_without_leading_zeros(void **state)
{
    (void)state;
    char wanted[DM_ADDRESS_TEXT], out[DM_ADDRESS_TEXT];
    for (int n = 0; n < 256; n++) {
        int len = snprintf(wanted, sizeof(wanted), "%d.%d.%d.%d", n, 255 - n, n, 0);
        struct dm_address a = parsed(wanted);
        assert_int_equal(dm_address_write(&a, out), len);
        assert_string_equal(out, wanted);
    }
}

static void what_is_not_an_address_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "1.2.3",
                                        "1.2.3.4.5",
                                        "256.1.1.1",
                                        "01.2.3.4",
                                        "1.2.3.4 ",
                                        " 1.2.3.4",
                                        "0x7f.0.0.1",
                                        "1.2.3.4:80",
                                        "[::1]",
                                        "::1%eth0",
                                        "1::2::3",
                                        "12345::",
                                        ":1",
                                        "localhost",
                                        "1.2.3.4/32",
                                        "::ffff:1.2.3.4.5",
                                        "1,2,3,4",
                                        "2001:db8:0:0:0:0:0:0:1",
                                        "0000000000000000000000000000000000000000000001"};
    struct dm_address a;
    for (size_t i = 0; i < DM_COUNT_OF(texts); i++) {
        if (dm_address_parse(dm_view_of(texts[i]), &a))
            fail_msg("%s was taken for an address", texts[i]);
    }
    assert_false(dm_address_parse(dm_view_make("1.2.3.4\0", 8), &a));
    assert_false(dm_address_parse(DM_VIEW_NONE, &a));
}

static void loopback_is_127_8_and_one_and_a_unix_socket(void **state)
{
    (void)state;
    static const char *const yes[] = {"127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"};
    static const char *const no[] = {"128.0.0.1", "::", "::2", "126.255.255.255", "0.0.0.0"};
    for (size_t i = 0; i < DM_COUNT_OF(yes); i++) {
        struct dm_address a = parsed(yes[i]);
        assert_true(dm_address_loopback(&a));
    }
    for (size_t i = 0; i < DM_COUNT_OF(no); i++) {
        struct dm_address a = parsed(no[i]);
        assert_false(dm_address_loopback(&a));
    }
    struct dm_address_set *s = set_of("127.0.0.1");
    struct dm_address peer = {.unix_socket = true}, four = parsed("127.0.0.1");
    char out[DM_ADDRESS_TEXT];
    assert_true(dm_address_loopback(&peer) && dm_address_set_has(s, &peer) &&
                dm_address_eq(&peer, &four));
    (void)dm_address_write(&peer, out);
    assert_string_equal(out, "127.0.0.1");
    dm_address_set_free(s);
}

static void a_set_holds_addresses_and_prefixes_of_its_family(void **state)
{
    (void)state;
    struct dm_address_set *s = set_of("10.1.2.3/8, 192.168.1.7 ,2001:db8::ff/32,10.9.0.0/16,::1");
    static const struct {
        const char *text;
        bool in;
    } rows[] = {{"10.0.0.0", true},
                {"10.255.255.255", true},
                {"11.0.0.0", false},
                {"9.255.255.255", false},
                {"192.168.1.7", true},
                {"192.168.1.6", false},
                {"2001:db8:ffff::", true},
                {"2001:db9::", false},
                {"::1", true},
                {"::", false},
                {"::ffff:10.1.1.1", true},
                {"a01:203::", false}};
    assert_int_equal(dm_address_set_count(s), 5);
    assert_true(dm_view_eq(dm_view_trim(dm_address_set_text(s, 1)), DM_LIT("192.168.1.7")));
    for (size_t i = 0; i < DM_COUNT_OF(rows); i++) {
        struct dm_address a = parsed(rows[i].text);
        if (dm_address_set_has(s, &a) != rows[i].in)
            fail_msg("%s", rows[i].text);
    }
    dm_address_set_free(s);

    struct dm_address four = parsed("1.2.3.4"), six = parsed("2001::1");
    s = set_of("::/0");
    assert_true(dm_address_set_has(s, &six));
    assert_false(dm_address_set_has(s, &four));
    dm_address_set_free(s);
    s = set_of("0.0.0.0/0");
    assert_false(dm_address_set_has(s, &six));
    assert_true(dm_address_set_has(s, &four));
    dm_address_set_free(s);
    assert_false(dm_address_set_has(NULL, &four));
    assert_int_equal(dm_address_set_count(NULL), 0);
    dm_address_set_free(NULL);
}

static void a_bad_entry_is_named_and_nothing_is_built(void **state)
{
    (void)state;
    static const char *const bad[] = {"10.0.0.0/33", "::/129",   "10.0.0.0/", "10.0.0.0/-1",
                                      "10.0.0.0/08", "host",     "",          "10.0.0.0/8/8",
                                      "10.0.0.0/ 8", "1.2.3.4-5"};
    for (size_t i = 0; i < DM_COUNT_OF(bad); i++) {
        struct dm_address_set *s = NULL;
        struct dm_error err = {0};
        dm_view entries[] = {DM_LIT("1.2.3.4"), dm_view_of(bad[i])};
        assert_int_equal(dm_address_set_new(entries, 2, &s, &err), DM_INVALID);
        assert_null(s);
        assert_non_null(strstr(err.text, bad[i]));
    }
}

static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static bool covers(const struct dm_address *net, unsigned bits, const struct dm_address *a)
{
    for (unsigned i = 0; i < bits; i++) {
        if (((net->bytes[i / 8] ^ a->bytes[i / 8]) >> (7 - i % 8)) & 1)
            return false;
    }
    return true;
}

/* Drawn from few bits, so that prefixes nest and collide. */
static struct dm_address draw_address(uint64_t *seed, bool v6)
{
    struct dm_address a = parsed(v6 ? "2001:db8::" : "10.0.0.0");
    uint64_t bits = draw(seed);
    for (unsigned i = 0; i < 3; i++)
        a.bytes[13 + i] = (unsigned char)(bits >> (8 * i)) & (i == 0 ? 0x03 : i == 1 ? 0x81 : 0xc3);
    return a;
}

static void a_set_agrees_with_a_plain_search(void **state)
{
    (void)state;
    enum { ENTRIES = 40, LOOKUPS = 200 };
    uint64_t seed = 0x853c49e6748fea9bu;
    for (unsigned round = 0; round < 200; round++) {
        struct dm_address nets[ENTRIES];
        unsigned bits[ENTRIES];
        char texts[ENTRIES][64];
        dm_view entries[ENTRIES];
        size_t n = draw(&seed) % ENTRIES;
        for (size_t i = 0; i < n; i++) {
            bool v6 = draw(&seed) % 2;
            char text[DM_ADDRESS_TEXT];
            nets[i] = draw_address(&seed, v6);
            unsigned len = (unsigned)(draw(&seed) % 12);
            bits[i] = 128 - len;
            (void)dm_address_write(&nets[i], text);
            (void)snprintf(texts[i], sizeof(texts[i]), "%s/%u", text, (v6 ? 128 : 32) - len);
            entries[i] = dm_view_of(texts[i]);
        }
        struct dm_address_set *s = NULL;
        assert_int_equal(dm_address_set_new(entries, n, &s, NULL), DM_OK);
        for (unsigned k = 0; k < LOOKUPS; k++) {
            struct dm_address a = draw_address(&seed, draw(&seed) % 2);
            bool in = false;
            for (size_t i = 0; i < n; i++)
                in = in || covers(&nets[i], bits[i], &a);
            assert_int_equal(dm_address_set_has(s, &a), in);
        }
        dm_address_set_free(s);
    }
}

static void ten_thousand_prefixes_fit_and_too_many_are_refused(void **state)
{
    (void)state;
    enum { MANY = 10000, TOO_MANY = 100001 };
    static char texts[MANY][32];
    static dm_view entries[TOO_MANY];
    struct dm_address_set *s = NULL;
    for (unsigned i = 0; i < TOO_MANY; i++) {
        if (i < MANY)
            (void)snprintf(texts[i], sizeof(texts[i]), "%u.%u.%u.0/24", 1 + i % 200, i / 200,
                           i % 7);
        entries[i] = dm_view_of(texts[i % MANY]);
    }
    assert_int_equal(dm_address_set_new(entries, MANY, &s, NULL), DM_OK);
    assert_int_equal(dm_address_set_count(s), MANY);
    for (unsigned i = 0; i < MANY; i++) {
        struct dm_address a = {0};
        assert_true(dm_address_parse(
            dm_view_sub(entries[i], 0, dm_view_find_byte(entries[i], '/', 0)), &a));
        a.bytes[15] = 77;
        assert_true(dm_address_set_has(s, &a));
        a.bytes[12] = 250;
        assert_false(dm_address_set_has(s, &a));
    }
    dm_address_set_free(s);
    s = NULL;
    assert_int_equal(dm_address_set_new(entries, TOO_MANY, &s, NULL), DM_LIMIT);
}

#define NONE DM_VIEW_NONE
struct hop {
    const char *peer;
    bool trust;
    const char *proxies; /* NULL: empty set */
    struct dm_forwarding f;
    const char *client;
};

static void the_client_is_the_first_from_the_right_that_is_no_proxy(void **state)
{
    (void)state;
    const struct hop rows[] = {
        /* trust */
        {"9.9.9.9", false, "9.9.9.9", {.x_forwarded_for = DM_LIT("1.1.1.1")}, "9.9.9.9"},
        {"9.9.9.9", true, "8.8.8.8", {.x_forwarded_for = DM_LIT("1.1.1.1")}, "9.9.9.9"},
        {"9.9.9.9", true, NULL, {.x_forwarded_for = DM_LIT("1.1.1.1")}, "9.9.9.9"},
        {"127.0.0.1", true, NULL, {.x_forwarded_for = DM_LIT("1.1.1.1")}, "1.1.1.1"},
        {"127.0.0.1", true, "8.8.8.8", {.x_forwarded_for = DM_LIT("1.1.1.1")}, "127.0.0.1"},
        {"9.9.9.9", true, "9.0.0.0/8", {NONE, NONE, NONE, NONE}, "9.9.9.9"},
        /* X-Forwarded-For */
        {"9.9.9.9", true, "9.0.0.0/8", {.x_forwarded_for = DM_LIT("6.6.6.6, 1.1.1.1")}, "1.1.1.1"},
        {"9.9.9.9",
         true,
         "9.0.0.0/8",
         {.x_forwarded_for = DM_LIT("6.6.6.6,1.1.1.1,9.1.1.1 , 9.2.2.2")},
         "1.1.1.1"},
        {"9.9.9.9", true, "9.0.0.0/8", {.x_forwarded_for = DM_LIT("junk, 1.1.1.1")}, "1.1.1.1"},
        {"9.9.9.9", true, "9.0.0.0/8", {.x_forwarded_for = DM_LIT("1.1.1.1, junk")}, "9.9.9.9"},
        {"9.9.9.9",
         true,
         "9.0.0.0/8",
         {.x_forwarded_for = DM_LIT("1.1.1.1, junk, 9.1.1.1")},
         "9.9.9.9"},
        {"9.9.9.9", true, "9.0.0.0/8", {.x_forwarded_for = DM_LIT("1.1.1.1,")}, "9.9.9.9"},
        {"9.9.9.9", true, "9.0.0.0/8", {.x_forwarded_for = DM_LIT("")}, "9.9.9.9"},
        {"9.9.9.9", true, "9.0.0.0/8", {.x_forwarded_for = DM_LIT("9.1.1.1, 9.1.1.2")}, "9.9.9.9"},
        {"9.9.9.9", true, "9.0.0.0/8", {.x_forwarded_for = DM_LIT("1.1.1.1:4444")}, "1.1.1.1"},
        {"9.9.9.9",
         true,
         "9.0.0.0/8",
         {.x_forwarded_for = DM_LIT("[2001:db8::1]:80")},
         "2001:db8::1"},
        {"9.9.9.9", true, "9.0.0.0/8", {.x_forwarded_for = DM_LIT("2001:db8::1")}, "2001:db8::1"},
        {"9.9.9.9", true, "9.0.0.0/8", {.x_forwarded_for = DM_LIT("[1.1.1.1]")}, "9.9.9.9"},
        {"9.9.9.9", true, "9.0.0.0/8", {.x_forwarded_for = DM_LIT("[2001:db8::1")}, "9.9.9.9"},
        {"9.9.9.9", true, "9.0.0.0/8", {.x_forwarded_for = DM_LIT("1.1.1.1:")}, "9.9.9.9"},
        {"9.9.9.9", true, "9.0.0.0/8", {.x_forwarded_for = DM_LIT("1.1.1.1:99999")}, "9.9.9.9"},
        {"9.9.9.9", true, "9.0.0.0/8", {.x_forwarded_for = DM_LIT("::ffff:1.1.1.1")}, "1.1.1.1"},
        /* the others, in their order */
        {"9.9.9.9",
         true,
         "9.9.9.9",
         {.x_forwarded_for = DM_LIT("1.1.1.1"), .x_real_ip = DM_LIT("2.2.2.2")},
         "1.1.1.1"},
        {"9.9.9.9",
         true,
         "9.9.9.9",
         {.x_real_ip = DM_LIT("2.2.2.2"), .cf_connecting_ip = DM_LIT("3.3.3.3")},
         "2.2.2.2"},
        {"9.9.9.9",
         true,
         "9.9.9.9",
         {.cf_connecting_ip = DM_LIT("3.3.3.3"), .forwarded = DM_LIT("for=4.4.4.4")},
         "3.3.3.3"},
        {"9.9.9.9", true, "9.9.9.9", {.x_real_ip = DM_LIT("2.2.2.2, 1.1.1.1")}, "9.9.9.9"},
        /* Forwarded (RFC 7239) */
        {"9.9.9.9", true, "9.9.9.9", {.forwarded = DM_LIT("for=4.4.4.4")}, "4.4.4.4"},
        {"9.9.9.9",
         true,
         "9.9.9.9",
         {.forwarded = DM_LIT("For=\"[2001:db8:cafe::17]:4711\"")},
         "2001:db8:cafe::17"},
        {"9.9.9.9",
         true,
         "9.9.9.9",
         {.forwarded = DM_LIT("for=6.6.6.6, for=4.4.4.4;proto=http;by=203.0.113.43")},
         "4.4.4.4"},
        {"9.9.9.9",
         true,
         "9.9.9.9",
         {.forwarded = DM_LIT("proto=https; for=\"4.4.4.4:1\" , for=9.9.9.9")},
         "4.4.4.4"},
        {"9.9.9.9", true, "9.9.9.9", {.forwarded = DM_LIT("for=4.4.4.4, for=unknown")}, "9.9.9.9"},
        {"9.9.9.9", true, "9.9.9.9", {.forwarded = DM_LIT("for=4.4.4.4, for=_hidden")}, "9.9.9.9"},
        {"9.9.9.9", true, "9.9.9.9", {.forwarded = DM_LIT("for=4.4.4.4, proto=http")}, "9.9.9.9"},
        {"9.9.9.9", true, "9.9.9.9", {.forwarded = DM_LIT("for=4.4.4.4;for=5.5.5.5")}, "9.9.9.9"},
        {"9.9.9.9",
         true,
         "9.9.9.9",
         {.forwarded = DM_LIT("by=\"a,for=6.6.6.6\";for=4.4.4.4")},
         "4.4.4.4"},
        {"9.9.9.9", true, "9.9.9.9", {.forwarded = DM_LIT("by=\"a\\\",for=6.6.6.6")}, "9.9.9.9"},
        {"9.9.9.9", true, "9.9.9.9", {.forwarded = DM_LIT("for=4.4.4.4, by=\"open")}, "9.9.9.9"},
        {"9.9.9.9", true, "9.9.9.9", {.forwarded = DM_LIT("for=\"4.4.4.4\\")}, "9.9.9.9"},
        {"9.9.9.9", true, "9.9.9.9", {.forwarded = DM_LIT("")}, "9.9.9.9"},
    };
    for (size_t i = 0; i < DM_COUNT_OF(rows); i++) {
        struct dm_address peer = parsed(rows[i].peer), client;
        struct dm_address_set *proxies = rows[i].proxies == NULL ? NULL : set_of(rows[i].proxies);
        char text[DM_ADDRESS_TEXT];
        dm_address_effective(&peer, rows[i].trust, proxies, &rows[i].f, &client);
        (void)dm_address_write(&client, text);
        if (strcmp(text, rows[i].client) != 0)
            fail_msg("row %zu: %s, not %s", i, text, rows[i].client);
        dm_address_set_free(proxies);
    }
}

static void any_forwarding_header_counts_even_an_empty_one(void **state)
{
    (void)state;
    struct dm_forwarding f = {NONE, NONE, NONE, NONE};
    assert_false(dm_forwarding_any(&f));
    f.forwarded = DM_LIT("");
    assert_true(dm_forwarding_any(&f));
    f = (struct dm_forwarding){.cf_connecting_ip = DM_LIT("x")};
    assert_true(dm_forwarding_any(&f));
    f = (struct dm_forwarding){.x_real_ip = DM_LIT("x")};
    assert_true(dm_forwarding_any(&f));
    f = (struct dm_forwarding){.x_forwarded_for = DM_LIT("x")};
    assert_true(dm_forwarding_any(&f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_written_in_canonical_form),
        cmocka_unit_test(every_octet_is_written_without_leading_zeros),
        cmocka_unit_test(what_is_not_an_address_is_refused),
        cmocka_unit_test(loopback_is_127_8_and_one_and_a_unix_socket),
        cmocka_unit_test(a_set_holds_addresses_and_prefixes_of_its_family),
        cmocka_unit_test(a_bad_entry_is_named_and_nothing_is_built),
        cmocka_unit_test(a_set_agrees_with_a_plain_search),
        cmocka_unit_test(ten_thousand_prefixes_fit_and_too_many_are_refused),
        cmocka_unit_test(the_client_is_the_first_from_the_right_that_is_no_proxy),
        cmocka_unit_test(any_forwarding_header_counts_even_an_empty_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
