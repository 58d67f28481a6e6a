#include "support.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/password.h"

static dm_view hash(struct dm_buf *b, dm_view password)
{
    dm_buf_init(b, 256);
    assert_int_equal(dm_password_hash(password, b), DM_OK);
    return dm_buf_view(b);
}

static void a_new_hash_is_argon2id_with_the_ruled_cost(void **state)
{
    (void)state;
    struct dm_buf b, again;
    bool rehash = true;
    dm_view h = hash(&b, DM_LIT("correct horse"));
    assert_true(dm_view_starts(h, DM_LIT("$argon2id$v=19$m=19456,t=2,p=1$")));
    assert_true(dm_password_verify(DM_LIT("correct horse"), h, &rehash));
    assert_false(rehash);
    assert_false(dm_password_verify(DM_LIT("correct hors"), h, &rehash));
    assert_false(dm_password_verify(DM_LIT(""), h, NULL));
    dm_view h2 = hash(&again, DM_LIT("correct horse"));
    assert_false(dm_view_eq(h, h2)); /* salted */
    dm_buf_done(&b);
    dm_buf_done(&again);
}

static void passwords_may_be_long_and_hold_any_byte(void **state)
{
    (void)state;
    struct dm_buf b;
    char *text = calloc(1, DM_PASSWORD_MAX + 1);
    memset(text, 'p', DM_PASSWORD_MAX + 1);
    text[500] = '\0';
    dm_view h = hash(&b, dm_view_make(text, DM_PASSWORD_MAX));
    assert_true(dm_password_verify(dm_view_make(text, DM_PASSWORD_MAX), h, NULL));
    assert_false(
        dm_password_verify(dm_view_make(text, DM_PASSWORD_MAX - 1), h, NULL)); /* no 72-byte rule */
    assert_false(dm_password_verify(dm_view_make(text, 500), h, NULL));
    assert_false(dm_password_verify(dm_view_make(text, DM_PASSWORD_MAX + 1), h, NULL));
    assert_int_equal(dm_password_hash(dm_view_make(text, DM_PASSWORD_MAX + 1), &b), DM_LIMIT);
    free(text);
    dm_buf_done(&b);
}

/* The first two are published with crypt_blowfish and with Python's bcrypt. */
static void bcrypt_hashes_verify_and_ask_to_be_replaced(void **state)
{
    (void)state;
    static const struct {
        const char *password, *hash;
    } rows[] = {{"U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"},
                {"Kk4DQuMMfZL9o", "$2b$04$cVWp4XaNU8a4v1uMRum2SO026BWLIoQMD/TXg5uZV.0P.uO8m3YEm"},
                {"correct horse", "$2y$04$2mvGzD2cauiujau955PBNubKv6VTqjwMndjLCpqWokg9UOU6Zgrti"}};
    for (size_t i = 0; i < DM_COUNT_OF(rows); i++) {
        bool rehash = false;
        assert_true(
            dm_password_verify(dm_view_of(rows[i].password), dm_view_of(rows[i].hash), &rehash));
        assert_true(rehash);
        assert_false(dm_password_verify(DM_LIT("wrong"), dm_view_of(rows[i].hash), &rehash));
        assert_false(rehash);
    }
    assert_false(dm_password_verify(dm_view_make("U*U\0x", 5), dm_view_of(rows[0].hash), NULL));
}

static void an_unknown_users_password_never_fits(void **state)
{
    (void)state;
    bool rehash = true;
    assert_false(dm_password_verify(DM_LIT("x"), DM_VIEW_NONE, &rehash));
    assert_false(rehash);
    assert_false(dm_password_verify(DM_VIEW_NONE, DM_VIEW_NONE, &rehash));
}

static void malformed_and_greedy_hashes_are_false(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "plain",
        "$argon2id$",
        "$argon2id$v=19$m=19456,t=2,p=1$",
        "$argon2i$v=19$m=19456,t=2,p=1$aaaa$aaaa",
        "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "$argon2id$v=19$m=19456,t=4000000,p=1$c29tZXNhbHRzb21lc2FsdA$"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "$argon2id$v=19$m=,t=,p=1$c29tZXNhbHRzb21lc2FsdA$aaaa",
        "$2b$31$cVWp4XaNU8a4v1uMRum2SO026BWLIoQMD/TXg5uZV.0P.uO8m3YEm",
        "$2b$xx$cVWp4XaNU8a4v1uMRum2SO026BWLIoQMD/TXg5uZV.0P.uO8m3YEm",
        "$2b$04$cVWp4XaNU8a4v1uMRum2SO026BWLIoQMD/TXg5uZV.0P.uO8m3YE",
        "$1$aaaa$aaaaaaaaaaaaaaaaaaaaaa",
        "*0",
        "*1"};
    for (size_t i = 0; i < DM_COUNT_OF(bad); i++)
        assert_false(dm_password_verify(DM_LIT("Kk4DQuMMfZL9o"), dm_view_of(bad[i]), NULL));
}

static void *verify_once(void *arg)
{
    return dm_password_verify(DM_LIT("p"), *(dm_view *)arg, NULL) ? NULL : arg;
}

static void more_callers_than_places_all_get_their_turn(void **state)
{
    (void)state;
    struct dm_buf b;
    dm_view h = hash(&b, DM_LIT("p"));
    pthread_t threads[5];
    for (size_t i = 0; i < DM_COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, verify_once, &h), 0);
    for (size_t i = 0; i < DM_COUNT_OF(threads); i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    dm_buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_hash_is_argon2id_with_the_ruled_cost),
        cmocka_unit_test(passwords_may_be_long_and_hold_any_byte),
        cmocka_unit_test(bcrypt_hashes_verify_and_ask_to_be_replaced),
        cmocka_unit_test(an_unknown_users_password_never_fits),
        cmocka_unit_test(malformed_and_greedy_hashes_are_false),
        cmocka_unit_test(more_callers_than_places_all_get_their_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
