#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store/redis/live_redis_priv.h"

static void announcement_says_what_was_built(void **state)
{
    char long_name[DM_LIVE_SUBJECT_MAX], long_id[DM_LIVE_JTI_MAX];
    memset(long_name, ' ', sizeof long_name);
    memset(long_id, '7', sizeof long_id);
    const struct live_revocation all[] = {
        {true, DM_LIT("ann"), DM_LIT("t-1"), 1700000000123},
        {true, DM_LIT("ann"), DM_LIT(""), 0},
        {false, DM_LIT("a 7 b:c"), DM_LIT(""), 0},
        {true, dm_view_make(long_name, sizeof long_name), dm_view_make(long_id, sizeof long_id),
         INT64_MAX},
    };
    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(all); i++) {
        struct live_revocation_text text;
        struct live_revocation r;
        live_revocation_build(&text, &all[i]);
        assert_true(live_revocation_parse(dm_view_make(text.bytes, text.len), &r));
        assert_int_equal(r.revoked, all[i].revoked);
        assert_int_equal(r.expires_ms, all[i].expires_ms);
        assert_true(dm_view_eq(r.user, all[i].user));
        assert_true(dm_view_eq(r.jti, all[i].jti));
    }
}

static void what_is_no_announcement_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "+",
                                      "x0 3 ann",
                                      "+0 3",
                                      "+0",
                                      "+0 0 ",
                                      "+0 4 ann",
                                      "+0 -1 ann",
                                      "+-1 3 ann",
                                      "+1e3 3 ann",
                                      "+0 03x ann",
                                      "+ 3 ann",
                                      "+99999999999999999999 3 ann"};
    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(bad); i++) {
        struct live_revocation r;
        if (live_revocation_parse(dm_view_of(bad[i]), &r))
            fail_msg("taken: \"%s\"", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(announcement_says_what_was_built),
        cmocka_unit_test(what_is_no_announcement_is_refused),
    };
    return cmocka_run_group_tests_name("live_revocation", tests, NULL, NULL);
}
