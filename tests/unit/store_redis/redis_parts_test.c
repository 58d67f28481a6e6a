/* The pure parts: encoding, slots, the meaning of errors, digests of scripts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "store/redis/redis_command.h"

static void commands_are_written_as_counted_arguments(void **state)
{
    (void)state;
    char out[128];
    const dm_view argv[] = {DM_LIT("SET"), dm_view_make("a\r\n\0b", 5), DM_LIT(""),
                            DM_LIT("0123456789")};
    static const char wanted[] =
        "*4\r\n$3\r\nSET\r\n$5\r\na\r\n\0b\r\n$0\r\n\r\n$10\r\n0123456789\r\n";
    size_t len = dm_redis_encoded_len(argv, 4);
    assert_int_equal(len, sizeof wanted - 1);
    assert_ptr_equal(dm_redis_encode(out, argv, 4), out + len);
    assert_memory_equal(out, wanted, len);
}

static void slots_are_those_of_redis(void **state)
{
    (void)state;
    /* CLUSTER KEYSLOT of a real server */
    static const struct {
        const char *key;
        unsigned slot;
    } known[] = {{"123456789", 12739}, {"foo", 12182},         {"{foo}bar", 12182},
                 {"a{foo}b", 12182},   {"a{foo}{bar}", 12182}, {"", 0}};
    for (size_t i = 0; i < DM_COUNT_OF(known); i++)
        assert_int_equal(dm_redis_slot(dm_view_of(known[i].key)), known[i].slot);
    /* an empty tag is none, a tag without end neither; "{{foo" is the tag "{foo" */
    assert_int_not_equal(dm_redis_slot(DM_LIT("{}foo")), dm_redis_slot(DM_LIT("{}bar")));
    assert_int_not_equal(dm_redis_slot(DM_LIT("{foo")), dm_redis_slot(DM_LIT("foo")));
    assert_int_equal(dm_redis_slot(DM_LIT("{{foo}}x")), dm_redis_slot(DM_LIT("{foo")));
}

static void errors_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum dm_redis_fault fault;
    } known[] = {
        {"ERR wrong number of arguments", DM_REDIS_FAULT_OTHER},
        {"WRONGTYPE Operation against a key", DM_REDIS_FAULT_OTHER},
        {"", DM_REDIS_FAULT_OTHER},
        {"READONLY You can't write against a read only replica.", DM_REDIS_FAULT_READONLY},
        {"READONLYISH", DM_REDIS_FAULT_OTHER},
        {"LOADING Redis is loading the dataset in memory", DM_REDIS_FAULT_UNAVAILABLE},
        {"OOM command not allowed", DM_REDIS_FAULT_UNAVAILABLE},
        {"NOAUTH Authentication required.", DM_REDIS_FAULT_UNAVAILABLE},
        {"CLUSTERDOWN Hash slot not served", DM_REDIS_FAULT_UNAVAILABLE},
        {"BUSY Redis is busy running a script.", DM_REDIS_FAULT_UNAVAILABLE},
        {"NOSCRIPT No matching script.", DM_REDIS_FAULT_NOSCRIPT},
        {"MOVED 3999 127.0.0.1:6381", DM_REDIS_FAULT_MOVED},
        {"ASK 3999 127.0.0.1:6381", DM_REDIS_FAULT_ASK},
        {"ERR Error running script (call to f_1): @user_script:1: -OOM command not allowed",
         DM_REDIS_FAULT_UNAVAILABLE},
        {"ERR Error running script (call to f_1): @user_script:1: -READONLY You can't",
         DM_REDIS_FAULT_READONLY},
        {"ERR Error running script (call to f_1): @user_script:1: -MOVED 1 a:1",
         DM_REDIS_FAULT_OTHER},
    };
    for (size_t i = 0; i < DM_COUNT_OF(known); i++)
        assert_int_equal(dm_redis_fault_of(dm_view_of(known[i].text)), known[i].fault);
}

static void a_script_is_named_by_its_sha1(void **state)
{
    (void)state;
    struct dm_redis_script s;
    dm_redis_script_init(&s, "return 1");
    assert_string_equal(s.sha1, "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_written_as_counted_arguments),
        cmocka_unit_test(slots_are_those_of_redis),
        cmocka_unit_test(errors_are_told_apart),
        cmocka_unit_test(a_script_is_named_by_its_sha1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
