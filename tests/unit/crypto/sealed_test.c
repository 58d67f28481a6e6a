/* API keys at rest: what is sealed opens under any key of the list and under no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "crypto/fernet.h"
#include "crypto/sealed.h"

static struct dm_sealing *made(const char *setting)
{
    struct dm_secret secret = {0};
    dm_secret_set(&secret, dm_view_of(setting));
    struct dm_sealing *s = dm_sealing_new(&secret);
    dm_secret_done(&secret);
    return s;
}

/* Seals under one setting, opens under another. */
static enum dm_code cross(const char *sealed_by, const char *opened_by, const char *plain)
{
    struct dm_sealing *a = made(sealed_by), *b = made(opened_by);
    struct dm_buf stored, back;
    dm_buf_init(&stored, 4096);
    dm_buf_init(&back, 4096);
    dm_seal(a, dm_view_of(plain), 1700000000 * DM_SEC, &stored);
    enum dm_code rc = dm_unseal(b, dm_buf_view(&stored), &back);
    if (rc == DM_OK)
        assert_true(dm_view_eq(dm_buf_view(&back), dm_view_of(plain)));
    else
        assert_int_equal(dm_buf_view(&back).len, 0);
    dm_buf_done(&stored);
    dm_buf_done(&back);
    dm_sealing_unref(a);
    dm_sealing_unref(b);
    return rc;
}

static void the_first_of_a_list_seals_and_all_open(void **state)
{
    (void)state;
    assert_int_equal(cross("one", "one", "key"), DM_OK);
    assert_int_equal(cross("one", "two, one", "key"), DM_OK);
    assert_int_equal(cross("two,one", "two", "key"), DM_OK);
    assert_int_equal(cross("two,one", "one", "key"), DM_INVALID);
    assert_int_equal(cross("one", "two", "key"), DM_INVALID);
    assert_int_equal(cross("one", "", "key"), DM_INVALID);
    assert_int_equal(cross("one", "one", ""), DM_OK);
}

static void a_passphrase_with_a_comma_opens_what_it_sealed_as_a_whole(void **state)
{
    (void)state;
    struct dm_secret key = {0};
    struct dm_buf stored, back;
    struct dm_sealing *s = made("so long, farewell");
    dm_buf_init(&stored, 4096);
    dm_buf_init(&back, 4096);
    dm_fernet_key(DM_LIT("so long, farewell"), &key);
    dm_buf_add(&stored, DM_LIT("enc:"));
    dm_fernet_encrypt(&key, DM_LIT("key"), 0, &stored);
    assert_int_equal(dm_unseal(s, dm_buf_view(&stored), &back), DM_OK);
    assert_true(dm_view_eq(dm_buf_view(&back), DM_LIT("key")));
    dm_secret_done(&key);
    dm_buf_done(&stored);
    dm_buf_done(&back);
    dm_sealing_unref(s);
}

static void without_a_key_values_stay_in_clear(void **state)
{
    (void)state;
    struct dm_sealing *s = made("");
    struct dm_buf stored;
    dm_buf_init(&stored, 4096);
    dm_seal(s, DM_LIT("key"), 0, &stored);
    assert_true(dm_view_eq(dm_buf_view(&stored), DM_LIT("key")));
    dm_buf_done(&stored);
    dm_sealing_unref(s);
    assert_int_equal(cross("", "one", "key"), DM_OK); /* data from before encryption was on */
}

static void spoilt_values_are_refused(void **state)
{
    (void)state;
    struct dm_sealing *s = made("one");
    static const char *const spoilt[] = {"enc:", "enc:x", "enc:gAAAAABn", "enc:enc:key"};
    for (size_t i = 0; i < DM_COUNT_OF(spoilt); i++) {
        struct dm_buf back;
        dm_buf_init(&back, 64);
        assert_int_equal(dm_unseal(s, dm_view_of(spoilt[i]), &back), DM_INVALID);
        dm_buf_done(&back);
    }
    dm_sealing_unref(s);
}

static void many_keys_are_bounded(void **state)
{
    (void)state;
    char list[64 * 4 + 1];
    for (int i = 0; i < 64; i++)
        memcpy(list + i * 4, "abc,", 4);
    list[sizeof list - 2] = '\0';
    assert_int_equal(cross("abc", list, "key"), DM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_of_a_list_seals_and_all_open),
        cmocka_unit_test(a_passphrase_with_a_comma_opens_what_it_sealed_as_a_whole),
        cmocka_unit_test(without_a_key_values_stay_in_clear),
        cmocka_unit_test(spoilt_values_are_refused),
        cmocka_unit_test(many_keys_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
