#include "support.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codec/base64.h"
#include "crypto/random.h"

static void requests_of_every_size_are_filled(void **state)
{
    (void)state;
    unsigned char bytes[600];
    static const size_t sizes[] = {1, 16, 127, 128, 129, 512, 600};
    for (size_t s = 0; s < DM_COUNT_OF(sizes); s++) {
        unsigned char seen[600] = {0}; /* every position must change within some tries */
        for (int round = 0; round < 40; round++) {
            memset(bytes, 0, sizeof(bytes));
            dm_random_bytes(bytes, sizes[s]);
            for (size_t i = 0; i < sizes[s]; i++)
                seen[i] |= bytes[i];
            for (size_t i = sizes[s]; i < sizeof(bytes); i++)
                assert_int_equal(bytes[i], 0);
        }
        for (size_t i = 0; i < sizes[s]; i++)
            assert_int_not_equal(seen[i], 0);
    }
}

static void values_do_not_repeat(void **state)
{
    (void)state;
    uint64_t seen[2000];
    for (size_t i = 0; i < DM_COUNT_OF(seen); i++) {
        seen[i] = dm_random_u64();
        for (size_t k = 0; k < i; k++)
            assert_true(seen[k] != seen[i]);
    }
}

static void a_uuid_has_version_4_and_its_variant(void **state)
{
    (void)state;
    char uuid[DM_UUID_LEN + 1], last[DM_UUID_LEN + 1] = "";
    for (int round = 0; round < 200; round++) {
        dm_random_uuid(uuid);
        assert_int_equal(strlen(uuid), DM_UUID_LEN);
        assert_int_equal(strspn(uuid, "0123456789abcdef-"), DM_UUID_LEN);
        assert_true(uuid[8] == '-' && uuid[13] == '-' && uuid[18] == '-' && uuid[23] == '-');
        assert_int_equal(uuid[14], '4');
        assert_non_null(strchr("89ab", uuid[19]));
        assert_string_not_equal(uuid, last);
        memcpy(last, uuid, sizeof(last));
    }
}

static void a_token_is_base64url_of_its_bytes(void **state)
{
    (void)state;
    struct dm_buf token, raw;
    dm_buf_init(&token, 500);
    dm_buf_init(&raw, 500);
    dm_random_token(32, &token);
    assert_int_equal(dm_buf_view(&token).len, 43);
    assert_true(dm_base64url_decode(dm_buf_view(&token), &raw));
    assert_int_equal(dm_buf_view(&raw).len, 32);
    dm_buf_done(&token);
    dm_buf_done(&raw);
}

static void a_child_does_not_repeat_its_parents_bytes(void **state)
{
    (void)state;
    int pipes[2];
    uint64_t parent, child;
    (void)dm_random_u64(); /* the buffer is filled now, and both sides hold it */
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        child = dm_random_u64();
        _exit(write(pipes[1], &child, sizeof(child)) == sizeof(child) ? 0 : 1);
    }
    assert_int_equal(read(pipes[0], &child, sizeof(child)), sizeof(child));
    waitpid(pid, NULL, 0);
    parent = dm_random_u64();
    assert_true(parent != child);
    close(pipes[0]);
    close(pipes[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_of_every_size_are_filled),
        cmocka_unit_test(values_do_not_repeat),
        cmocka_unit_test(a_uuid_has_version_4_and_its_variant),
        cmocka_unit_test(a_token_is_base64url_of_its_bytes),
        cmocka_unit_test(a_child_does_not_repeat_its_parents_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
