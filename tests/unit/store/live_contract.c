#include "live_contract.h"

#include "store/live_stream.h"

#include <stdio.h>
#include <string.h>

static void rate_counts_up_to_its_limit(void **state)
{
    struct live_rig *r = *state;
    const struct dm_counter_ask c = rig_rate(2, 60);
    for (int64_t n = 1; n <= 2; n++) {
        struct dm_admit_answer a = rig_admit(r, "ann", "t", &c, 1);
        assert_int_equal(a.verdict, DM_ADMIT_YES);
        assert_int_equal(a.count[0], n);
        assert_int_equal(a.reset_wall[0], RIG_START + 60);
        assert_int_equal(a.now_wall, (dm_time)RIG_START * DM_SEC);
    }
    for (int i = 0; i < 2; i++) {
        struct dm_admit_answer a = rig_admit(r, "ann", "t", &c, 1);
        assert_int_equal(a.verdict, DM_ADMIT_OVER);
        assert_int_equal(a.refused_by, 0);
        assert_int_equal(a.count[0], 2); /* refused calls are not counted */
        assert_int_equal(a.reset_wall[0], RIG_START + 60);
    }
    assert_int_equal(rig_admit(r, "bob", "t", &c, 1).verdict, DM_ADMIT_YES); /* counted per user */
}

static void windows_are_cut_by_the_clock(void **state)
{
    struct live_rig *r = *state;
    const struct dm_counter_ask c = rig_rate(1, 60);
    rig_step(r, 59 * DM_SEC);
    assert_int_equal(rig_admit(r, "ann", "t", &c, 1).verdict, DM_ADMIT_YES);
    assert_int_equal(rig_admit(r, "ann", "t", &c, 1).verdict, DM_ADMIT_OVER);
    rig_step(r, DM_SEC);
    struct dm_admit_answer a = rig_admit(r, "ann", "t", &c, 1);
    assert_int_equal(a.verdict, DM_ADMIT_YES);
    assert_int_equal(a.reset_wall[0], RIG_START + 120);
}

static void throttle_refuses_over_queue_and_over_delay(void **state)
{
    struct live_rig *r = *state;
    const struct dm_counter_ask queue = rig_throttle(1, 3, 100), delay = rig_throttle(1, 100, 2);
    for (int64_t n = 1; n <= 3; n++) {
        assert_int_equal(rig_admit(r, "ann", "t", &queue, 1).count[0], n);
        assert_int_equal(rig_admit(r, "bob", "t", &delay, 1).count[0], n);
    }
    assert_int_equal(rig_admit(r, "ann", "t", &queue, 1).verdict,
                     DM_ADMIT_OVER); /* n = 4 > queue */
    assert_int_equal(rig_admit(r, "bob", "t", &delay, 1).verdict,
                     DM_ADMIT_OVER); /* n - L = 3 > 2 */
    const struct dm_counter_ask small =
        rig_throttle(10, 1, 100); /* the queue caps, also below the limit */
    assert_int_equal(rig_admit(r, "cid", "t", &small, 1).verdict, DM_ADMIT_YES);
    assert_int_equal(rig_admit(r, "cid", "t", &small, 1).verdict, DM_ADMIT_OVER);
}

static void bandwidth_is_checked_before_and_added_after(void **state)
{
    struct live_rig *r = *state;
    const struct dm_counter_ask none = rig_bandwidth(100, 0), most = rig_bandwidth(100, 60);
    struct dm_counter_ask over = rig_bandwidth(100, 101);
    assert_int_equal(rig_admit(r, "ann", "t", &over, 1).verdict, DM_ADMIT_OVER);
    assert_int_equal(rig_admit(r, "ann", "t", &most, 1).verdict, DM_ADMIT_YES);
    dm_live_add_bandwidth(r->live, DM_LIT("ann"), 3600, 50);
    struct dm_admit_answer a = rig_admit(r, "ann", "t", &most, 1); /* 50 + 60 */
    assert_int_equal(a.verdict, DM_ADMIT_OVER);
    assert_int_equal(a.count[0], 50);
    assert_int_equal(rig_admit(r, "ann", "t", &none, 1).verdict, DM_ADMIT_YES);
    dm_live_add_bandwidth(r->live, DM_LIT("ann"), 3600, 50);
    assert_int_equal(rig_admit(r, "ann", "t", &none, 1).verdict, DM_ADMIT_OVER); /* used up */
    dm_live_add_bandwidth(r->live, DM_LIT("ann"), 3600, INT64_MAX);
    over.amount = INT64_MAX;
    assert_int_equal(rig_admit(r, "ann", "t", &over, 1).verdict, DM_ADMIT_OVER);
}

static void refused_call_spends_nothing_and_names_the_first_refusal(void **state)
{
    struct live_rig *r = *state;
    const struct dm_counter_ask all[] = {rig_rate(10, 60), rig_throttle(1, 1, 0),
                                         rig_bandwidth(0, 0)};
    const struct dm_counter_ask two[] = {rig_rate(10, 60), rig_throttle(1, 1, 0)};
    assert_int_equal(rig_admit(r, "ann", "t", two, 2).verdict, DM_ADMIT_YES);
    struct dm_admit_answer a = rig_admit(r, "ann", "t", all, 3);
    assert_int_equal(a.verdict, DM_ADMIT_OVER);
    assert_int_equal(a.refused_by, 1);
    a = rig_admit(r, "bob", "t", all, 3);
    assert_int_equal(a.refused_by, 2);
    assert_int_equal(rig_admit(r, "ann", "t", all, 1).count[0],
                     2); /* the rate was not spent above */
    assert_int_equal(rig_admit(r, "bob", "t", two, 2).count[1], 1);
}

static void no_counting_where_the_local_verdict_refuses(void **state)
{
    struct live_rig *r = *state;
    struct admitted x = {.times = 0};
    const struct dm_counter_ask c = rig_rate(1, 60);
    const struct dm_admit_ask ask = {DM_LIT("ann"), DM_LIT("t"), .count = false, .counters = &c,
                                     .n_counters = 1};
    dm_live_ask_admit(r->live, &ask, DM_NEVER, &x.wait, rig_on_admitted);
    rig_turn_until(r, &x.came);
    assert_int_equal(x.answer.verdict, DM_ADMIT_YES);
    assert_int_equal(rig_admit(r, "ann", "t", &c, 1).count[0], 1);
}

static void revoked_token_is_told_before_limits(void **state)
{
    struct live_rig *r = *state;
    const struct dm_counter_ask c = rig_rate(0, 60);
    rig_revoke(r, "ann", "t1", ((dm_time)RIG_START + 100) * DM_SEC);
    assert_int_equal(rig_admit(r, "ann", "t1", &c, 1).verdict, DM_ADMIT_REVOKED);
    assert_int_equal(rig_admit(r, "ann", "t2", &c, 1).verdict, DM_ADMIT_OVER);
    assert_int_equal(rig_admit(r, "bob", "t1", &c, 1).verdict, DM_ADMIT_OVER);
    assert_true(rig_is_revoked(r, "ann", "t1"));
    assert_false(rig_is_revoked(r, "ann", "t2"));
    rig_step(r, 100 * DM_SEC); /* the token's life is over, so is the entry's */
    assert_int_equal(rig_admit(r, "ann", "t1", &c, 1).verdict, DM_ADMIT_OVER);
}

static void revoke_all_lasts_until_taken_back(void **state)
{
    struct live_rig *r = *state;
    struct token_call c = {.subject = "ann"};
    rig_revoke(r, "ann", "", 0);
    rig_step(r, 1000000 * DM_SEC);
    assert_int_equal(rig_admit(r, "ann", "any", NULL, 0).verdict, DM_ADMIT_REVOKED);
    assert_true(rig_is_revoked(r, "ann", "other"));
    assert_int_equal(rig_admit(r, "an", "any", NULL, 0).verdict, DM_ADMIT_YES);
    rig_call(r, rig_run_unrevoke, &c);
    assert_int_equal(c.code, DM_OK);
    assert_int_equal(rig_admit(r, "ann", "any", NULL, 0).verdict, DM_ADMIT_YES);
    rig_call(r, rig_run_unrevoke, &c); /* nothing to take back: fine */
    assert_int_equal(c.code, DM_OK);
}

static void caller_without_token_is_not_asked_for_revocation(void **state)
{
    struct live_rig *r = *state;
    assert_int_equal(rig_admit(r, "", "", NULL, 0).verdict, DM_ADMIT_YES);
}

static void names_too_long_for_a_key_are_never_admitted(void **state)
{
    struct live_rig *r = *state;
    char name[1001];
    memset(name, 'x', sizeof name);
    name[1000] = '\0';
    assert_int_equal(rig_admit(r, name, "t", NULL, 0).verdict, DM_ADMIT_REVOKED);
    assert_int_equal(rig_admit(r, "ann", name, NULL, 0).verdict, DM_ADMIT_REVOKED);
    assert_true(rig_is_revoked(r, name, "t"));
    struct token_call c = {.subject = name};
    rig_call(r, rig_run_revoke, &c);
    assert_int_equal(c.code, DM_INVALID);
    dm_live_add_bandwidth(r->live, dm_view_of(name), 60, 1);
}

static void cleared_counters_leave_revocations_and_bandwidth(void **state)
{
    struct live_rig *r = *state;
    const struct dm_counter_ask spent[] = {rig_rate(1, 60), rig_throttle(1, 1, 0)},
                                used = rig_bandwidth(10, 1);
    enum dm_code code = DM_BUG;
    rig_revoke(r, "bob", "", 0);
    assert_int_equal(rig_admit(r, "ann", "t", spent, 2).verdict, DM_ADMIT_YES);
    dm_live_add_bandwidth(r->live, DM_LIT("ann"), 3600, 10);
    assert_int_equal(rig_admit(r, "ann", "t", spent, 2).verdict, DM_ADMIT_OVER);
    for (int i = 1; i <= 3; i++)
        rig_assert_hit(r, "1.2.3.4", DM_OK, i, 60);
    rig_call(r, rig_run_clear, &code);
    assert_int_equal(code, DM_OK);
    assert_int_equal(rig_admit(r, "ann", "t", spent, 2).verdict, DM_ADMIT_YES);
    assert_int_equal(rig_admit(r, "ann", "t", &used, 1).verdict, DM_ADMIT_OVER);
    assert_int_equal(rig_admit(r, "bob", "t", NULL, 0).verdict, DM_ADMIT_REVOKED);
    rig_assert_hit(r, "1.2.3.4", DM_OK, 1, 60);
}

static void attempts_slide_out_of_their_window(void **state)
{
    struct live_rig *r = *state;
    rig_assert_hit(r, "1.2.3.4", DM_OK, 1, 60);
    rig_step(r, 20 * DM_SEC);
    rig_assert_hit(r, "1.2.3.4", DM_OK, 2, 40);
    rig_assert_hit(r, "1.2.3.4", DM_OK, 3, 40);
    rig_assert_hit(r, "1.2.3.4", DM_LIMIT, 3, 40);
    rig_assert_hit(r, "1.2.3.5", DM_OK, 1, 60);
    rig_step(r, 39 * DM_SEC + 1);
    rig_assert_hit(r, "1.2.3.4", DM_LIMIT, 3, 1);
    rig_step(r, DM_SEC);
    rig_assert_hit(r, "1.2.3.4", DM_OK, 3,
                   20); /* the first has gone, the refused ones never counted */
    rig_assert_hit(r, "1.2.3.4", DM_LIMIT, 3, 20);
}

/* --- credits --- */

static void as_many_credits_as_there_are_are_given(void **state)
{
    struct live_rig *r = *state;
    struct reserved *asked = dm_mem_array(1000, sizeof *asked);
    size_t given = 0;
    rig_set_credits(r, "g", "ann", 100);
    for (int i = 0; i < 1000; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "r%d", i);
        const struct dm_reserve_ask ask = {.group = DM_LIT("g"),
                                           .subject = DM_LIT("ann"),
                                           .id = dm_view_of(id),
                                           .hold = 60 * DM_SEC};
        dm_live_ask_reserve(r->live, &ask, DM_NEVER, &asked[i].wait, rig_on_reserved);
        assert_int_equal(asked[i].times, 0); /* never inside the ask */
    }
    for (int i = 0; i < 1000; i++) {
        rig_turn_until(r, &asked[i].came);
        assert_int_equal(asked[i].times, 1);
        given += asked[i].verdict == DM_RESERVE_YES;
        assert_int_not_equal(asked[i].verdict, DM_RESERVE_UNKNOWN);
    }
    assert_int_equal(given, 100);
    assert_int_equal(rig_credits(r, "g", "ann"), 0);
    dm_mem_free(asked);
}

static void credit_is_spent_or_given_back_once(void **state)
{
    struct live_rig *r = *state;
    rig_set_credits(r, "g", "ann", 3);
    assert_int_equal(rig_reserve(r, "g", "ann", "a"), DM_RESERVE_YES);
    assert_int_equal(rig_reserve(r, "g", "ann", "b"), DM_RESERVE_YES);
    assert_int_equal(rig_credits(r, "g", "ann"), 1);
    for (int i = 0; i < 3; i++) { /* twice is harmless, whatever the second one says */
        rig_settle(r, "g", "ann", "a", i > 0);
        rig_settle(r, "g", "ann", "b", i == 0);
        assert_int_equal(rig_credits(r, "g", "ann"), 2);
    }
    rig_settle(r, "g", "ann", "never", false);
    rig_settle(r, "g", "bob", "a", false);
    assert_int_equal(rig_credits(r, "g", "ann"), 2);
}

static void unsettled_credit_comes_back_when_its_hold_ends(void **state)
{
    struct live_rig *r = *state;
    rig_set_credits(r, "g", "ann", 1);
    assert_int_equal(rig_reserve(r, "g", "ann", "a"), DM_RESERVE_YES); /* held for 60 s */
    rig_step(r, 59 * DM_SEC);
    assert_int_equal(rig_reserve(r, "g", "ann", "b"), DM_RESERVE_NONE);
    rig_step(r, DM_SEC);
    assert_int_equal(rig_reserve(r, "g", "ann", "c"), DM_RESERVE_YES);
    rig_settle(r, "g", "ann", "a", false); /* long gone: gives nothing */
    assert_int_equal(rig_credits(r, "g", "ann"), 0);
    rig_step(r, 60 * DM_SEC);
    assert_int_equal(rig_credits(r, "g", "ann"), 1); /* reading collects too */
    rig_step(r, 1000 * DM_SEC);
    assert_int_equal(rig_credits(r, "g", "ann"), 1);
}

static void nobody_has_credits_by_default(void **state)
{
    struct live_rig *r = *state;
    char name[1001];
    memset(name, 'x', sizeof name);
    name[1000] = '\0';
    rig_set_credits(r, "g", "ann", 0);
    assert_int_equal(rig_reserve(r, "g", "ann", "a"), DM_RESERVE_NONE);
    assert_int_equal(rig_reserve(r, "g", "bob", "a"), DM_RESERVE_NONE);
    assert_int_equal(rig_reserve(r, "h", "ann", "a"), DM_RESERVE_NONE);
    assert_int_equal(rig_reserve(r, "", "ann", "a"), DM_RESERVE_NONE);
    assert_int_equal(rig_reserve(r, name, "ann", "a"), DM_RESERVE_NONE);
    assert_int_equal(rig_reserve(r, "g", name, "a"), DM_RESERVE_NONE);
    rig_settle(r, name, "ann", "a", false);
    assert_int_equal(rig_credits(r, "g", "bob"), -1);
    assert_int_equal(rig_credits(r, name, "ann"), -1);
    struct credit_call c = {.group = name, .subject = "ann"};
    rig_call(r, rig_run_set_credits, &c);
    assert_int_equal(c.code, DM_INVALID);
}

static void new_balance_leaves_reservations_alone(void **state)
{
    struct live_rig *r = *state;
    rig_set_credits(r, "g", "ann", 1);
    assert_int_equal(rig_reserve(r, "g", "ann", "a"), DM_RESERVE_YES);
    rig_set_credits(r, "g", "ann", 5);
    rig_settle(r, "g", "ann", "a", false);
    assert_int_equal(rig_credits(r, "g", "ann"), 6);
    struct credit_call c = {.group = "g", .subject = "ann", .balance = 50, .unless_there = true};
    rig_call(r, rig_run_set_credits, &c);
    assert_int_equal(c.code, DM_OK);
    assert_int_equal(rig_credits(r, "g", "ann"), 6); /* the running balance is the truth */
    c.subject = "bob";
    rig_call(r, rig_run_set_credits, &c);
    assert_int_equal(rig_credits(r, "g", "bob"), 50);
}

static void deleted_account_gives_nothing_and_takes_nothing_back(void **state)
{
    struct live_rig *r = *state;
    struct credit_call c = {.group = "g", .subject = "ann"};
    rig_set_credits(r, "g", "ann", 2);
    assert_int_equal(rig_reserve(r, "g", "ann", "a"), DM_RESERVE_YES);
    rig_call(r, rig_run_delete_credits, &c);
    assert_int_equal(c.code, DM_OK);
    assert_int_equal(rig_reserve(r, "g", "ann", "b"), DM_RESERVE_NONE);
    rig_settle(r, "g", "ann", "a", false);
    assert_int_equal(rig_credits(r, "g", "ann"), -1);
    rig_set_credits(r, "g", "ann", 7); /* somebody else of that name */
    rig_settle(r, "g", "ann", "a", false);
    rig_step(r, 61 * DM_SEC);
    assert_int_equal(rig_credits(r, "g", "ann"), 7);
    rig_call(r, rig_run_delete_credits, &c);
    rig_call(r, rig_run_delete_credits, &c); /* not there: fine */
    assert_int_equal(c.code, DM_OK);
}

static void whoever_cancels_a_reservation_settles_it(void **state)
{
    struct live_rig *r = *state;
    struct reserved x = {.times = 0};
    const struct dm_reserve_ask ask = {
        .group = DM_LIT("g"), .subject = DM_LIT("ann"), .id = DM_LIT("a"), .hold = 60 * DM_SEC};
    rig_set_credits(r, "g", "ann", 1);
    dm_live_ask_reserve(r->live, &ask, DM_NEVER, &x.wait, rig_on_reserved);
    dm_live_cancel(r->live, &x.wait);
    rig_settle(r, "g", "ann", "a", false); /* never overtakes the ask */
    assert_int_equal(rig_reserve(r, "g", "ann", "b"), DM_RESERVE_YES);
    assert_int_equal(x.times, 0);
}

static void credits_survive_the_clearing_of_counters(void **state)
{
    struct live_rig *r = *state;
    enum dm_code code = DM_BUG;
    rig_set_credits(r, "g", "ann", 2);
    assert_int_equal(rig_reserve(r, "g", "ann", "a"), DM_RESERVE_YES);
    rig_call(r, rig_run_clear, &code);
    assert_int_equal(code, DM_OK);
    rig_settle(r, "g", "ann", "a", false);
    assert_int_equal(rig_credits(r, "g", "ann"), 2);
}

static void cancelled_ask_gets_no_answer(void **state)
{
    struct live_rig *r = *state;
    struct admitted x = {.times = 0}, y = {.times = 0};
    const struct dm_admit_ask ask = {DM_LIT("ann"), DM_LIT("t"), .count = true};
    dm_live_ask_admit(r->live, &ask, DM_NEVER, &x.wait, rig_on_admitted);
    dm_live_ask_admit(r->live, &ask, DM_NEVER, &y.wait, rig_on_admitted);
    dm_live_cancel(r->live, &x.wait);
    assert_false(x.wait.pending);
    dm_live_cancel(r->live, &x.wait); /* twice is fine */
    rig_turn_until(r, &y.came);
    assert_int_equal(x.times, 0);
    (void)rig_admit(r, "ann", "t", NULL, 0);
    assert_int_equal(x.times, 0);
    x.times = 0;
    dm_live_ask_admit(r->live, &ask, DM_NEVER, &x.wait,
                      rig_on_admitted); /* the wait can be used again */
    rig_turn_until(r, &x.came);
    assert_int_equal(x.times, 1);
}

struct chained {
    struct live_rig *rig;
    struct admitted last;
    struct dm_live_wait wait;
    int left;
    int inside;
};

static void on_chained(struct dm_live_wait *w, const struct dm_admit_answer *a)
{
    struct chained *c = DM_CONTAINER_OF(w, struct chained, wait);
    const struct dm_admit_ask ask = {DM_LIT("ann"), DM_LIT("t"), .count = true};
    assert_int_equal(a->verdict, DM_ADMIT_YES);
    assert_int_equal(c->inside, 0);
    c->inside++;
    if (--c->left > 0)
        dm_live_ask_admit(c->rig->live, &ask, DM_NEVER, w, on_chained);
    else
        dm_live_ask_admit(c->rig->live, &ask, DM_NEVER, &c->last.wait, rig_on_admitted);
    c->inside--;
}

static void callback_may_ask_again_with_the_same_wait(void **state)
{
    struct live_rig *r = *state;
    struct chained c = {.rig = r, .left = 20};
    const struct dm_admit_ask ask = {DM_LIT("ann"), DM_LIT("t"), .count = true};
    dm_live_ask_admit(r->live, &ask, DM_NEVER, &c.wait, on_chained);
    rig_turn_until(r, &c.last.came);
    assert_int_equal(c.left, 0);
}

static void published_object_is_read_until_deleted(void **state)
{
    struct live_rig *r = *state;
    const dm_view names[][2] = {{DM_LIT("user"), DM_LIT("ann")},
                                {DM_LIT("subscription"), DM_LIT("ann")},
                                {DM_LIT("user"), DM_LIT("bob")}};
    uint64_t first = rig_publish(r, "user", "ann", "{\"v\":1}");
    uint64_t second = rig_publish(r, "subscription", "ann", "{\"s\":1}");
    assert_true(first > 0 && second > first);
    struct got g = rig_get(r, names, 3);
    assert_int_equal(g.code[0], DM_OK);
    assert_string_equal(g.bytes[0], "{\"v\":1}");
    assert_int_equal(g.generation[0], first);
    assert_string_equal(g.bytes[1], "{\"s\":1}");
    assert_int_equal(g.generation[1], second);
    assert_int_equal(g.code[2], DM_NOT_FOUND);
    (void)rig_publish(r, "user", "ann", "{\"v\":2}");
    assert_string_equal(rig_get(r, names, 1).bytes[0], "{\"v\":2}");
    (void)rig_publish(r, "user", "ann", NULL);
    assert_int_equal(rig_get(r, names, 1).code[0], DM_NOT_FOUND);
}

static void objects_with_no_or_too_long_a_name_are_refused(void **state)
{
    struct live_rig *r = *state;
    char name[1001];
    memset(name, 'x', sizeof name);
    name[1000] = '\0';
    const struct dm_live_change faulty[] = {{DM_LIT(""), DM_LIT("a"), DM_LIT("{}")},
                                            {DM_LIT("user"), DM_LIT(""), DM_LIT("{}")},
                                            {DM_LIT("user"), dm_view_of(name), DM_LIT("{}")}};
    for (size_t i = 0; i < DM_COUNT_OF(faulty); i++) {
        struct change_call c = {.changes = &faulty[i], .n = 1};
        rig_call(r, rig_run_publish, &c);
        assert_int_equal(c.code, DM_INVALID);
    }
    const dm_view names[][2] = {{DM_LIT("user"), dm_view_of(name)}};
    assert_int_equal(rig_get(r, names, 1).code[0], DM_NOT_FOUND);
}

static void subscriber_hears_first_of_everything_even_of_nothing(void **state)
{
    struct live_rig *r = *state;
    struct heard empty = {.subscriber = {.on_change = rig_on_change}},
                 late = {.subscriber = {.on_change = rig_on_change}};
    dm_live_subscribe(r->live, &empty.subscriber);
    assert_int_equal(empty.n, 0);
    rig_hear(r, &empty);
    assert_int_equal(empty.n, 1);
    assert_int_equal(empty.n_changes[0], 0);
    (void)rig_publish(r, "api", "1", "{}");
    (void)rig_publish(r, "user", "ann", "{}");
    (void)rig_publish(r, "user_credits", "ann", "{}");
    (void)rig_publish(r, "api", "2", "{}");
    uint64_t last = rig_publish(r, "api", "1", NULL);
    while (empty.generations[empty.n - 1] < last) /* published is one thing, heard of another */
        rig_hear(r, &empty);
    dm_live_subscribe(r->live, &late.subscriber);
    rig_hear(r, &late);
    assert_int_equal(late.n, 1);
    assert_string_equal(late.text[0], "api/2={} "); /* neither users nor what was deleted */
    assert_int_equal(late.generations[0], last);
    dm_live_unsubscribe(&empty.subscriber);
    dm_live_unsubscribe(&late.subscriber);
}

static void subscriber_hears_every_generation_in_order(void **state)
{
    struct live_rig *r = *state;
    struct heard h = {.subscriber = {.on_change = rig_on_change, .on_revoked = rig_on_revoked}};
    char bytes[] = "{\"v\":1}";
    const struct dm_live_change pair[] = {{DM_LIT("api"), DM_LIT("1"), dm_view_of(bytes)},
                                          {DM_LIT("user"), DM_LIT("ann"), DM_VIEW_NONE}};
    struct change_call c = {.changes = pair, .n = 2};
    dm_live_subscribe(r->live, &h.subscriber);
    rig_hear(r, &h);
    rig_call(r, rig_run_publish, &c);
    assert_int_equal(c.code, DM_OK);
    bytes[5] = '9'; /* the change was copied */
    while (h.n < 2) /* several at once may be told as one */
        rig_hear(r, &h);
    uint64_t second = rig_publish(r, "api", "1", "{\"v\":2}");
    while (h.n < 3)
        rig_hear(r, &h);
    assert_string_equal(h.text[1], "api/1={\"v\":1} user/ann=- ");
    assert_int_equal(h.generations[1], c.generation);
    assert_string_equal(h.text[2], "api/1={\"v\":2} ");
    assert_int_equal(h.generations[2], second);
    atomic_store(&h.came, false);
    rig_revoke(r, "ann", "", 0);
    if (h.revoked[0] == '\0')
        rig_hear(r, &h);
    assert_string_equal(h.revoked, "ann");
    dm_live_unsubscribe(&h.subscriber);
    (void)rig_publish(r, "api", "1", NULL);
    (void)rig_admit(r, "x", "t", NULL, 0);
    assert_int_equal(h.n, 3);
}

static void subscriber_may_unsubscribe_itself_and_others_when_called(void **state)
{
    struct live_rig *r = *state;
    struct heard a = {.subscriber = {.on_change = rig_on_change}},
                 b = {.subscriber = {.on_change = rig_on_change}};
    dm_live_subscribe(r->live, &a.subscriber);
    dm_live_subscribe(r->live, &b.subscriber);
    rig_hear(r, &a);
    rig_hear(r, &b);
    a.drop = &b.subscriber;
    (void)rig_publish(r, "api", "1", "{}");
    while (a.n < 2)
        rig_hear(r, &a);
    assert_int_equal(b.n, 1);
    a.drop = &a.subscriber;
    (void)rig_publish(r, "api", "2", "{}");
    while (a.n < 3)
        rig_hear(r, &a);
    (void)rig_publish(r, "api", "3", "{}");
    (void)rig_admit(r, "x", "t", NULL, 0);
    assert_int_equal(a.n, 3);
}

static void unsubscribed_before_the_first_call_hears_nothing(void **state)
{
    struct live_rig *r = *state;
    struct heard h = {.subscriber = {.on_change = rig_on_change}};
    dm_live_subscribe(r->live, &h.subscriber);
    dm_live_unsubscribe(&h.subscriber);
    (void)rig_publish(r, "api", "1", "{}");
    (void)rig_admit(r, "x", "t", NULL, 0);
    assert_int_equal(h.n, 0);
}

/* --- records for the admin --- */

struct stream_call {
    enum dm_stream stream;
    struct dm_live_batch *batch;
    enum dm_code code;
};

static void run_take(struct live_rig *r, void *ctx)
{
    struct stream_call *c = ctx;
    c->code = dm_live_take(r->admin, c->stream, &c->batch, NULL);
}

static void run_done(struct live_rig *r, void *ctx)
{
    struct stream_call *c = ctx;
    c->code = dm_live_done(r->admin, c->stream, c->batch, NULL);
}

/* Records leave soon, and come again after DM_STREAM_IDLE: asked for until they are there. */
static struct dm_live_batch *take(struct live_rig *r, enum dm_stream s)
{
    struct stream_call c = {.stream = s};
    for (long tries = 0; c.batch == NULL && tries < 10000000; tries++) {
        rig_call(r, run_take, &c);
        assert_int_equal(c.code, DM_OK);
    }
    assert_non_null(c.batch);
    return c.batch;
}

static bool nothing_to_take(struct live_rig *r, enum dm_stream s)
{
    struct stream_call c = {.stream = s};
    rig_call(r, run_take, &c);
    assert_int_equal(c.code, DM_OK);
    return c.batch == NULL;
}

static void end(struct live_rig *r, enum dm_stream s, struct dm_live_batch *b)
{
    struct stream_call c = {.stream = s, .batch = b};
    rig_call(r, run_done, &c);
    assert_int_equal(c.code, DM_OK);
    dm_live_batch_free(b);
}

static void emit(struct live_rig *r, enum dm_stream s, int n)
{
    char id[16], record[32];
    snprintf(id, sizeof id, "a-%d", n);
    snprintf(record, sizeof record, "{\"n\":%d}", n);
    assert_int_equal(dm_live_emit(r->live, s, dm_view_of(id), dm_view_of(record)), 0);
}

static void assert_entry(const struct dm_live_entry *e, int n)
{
    char id[16], record[32];
    snprintf(id, sizeof id, "a-%d", n);
    snprintf(record, sizeof record, "{\"n\":%d}", n);
    assert_true(dm_view_eq(e->id, dm_view_of(id)));
    assert_true(dm_view_eq(e->record, dm_view_of(record)));
}

static void records_come_in_order_and_once_when_done(void **state)
{
    struct live_rig *r = *state;
    enum { MANY = 3 * DM_STREAM_TAKE_MAX };
    for (int n = 0; n < MANY; n++)
        emit(r, DM_STREAM_METRICS, n);
    for (int n = 0; n < MANY;) {
        struct dm_live_batch *b = take(r, DM_STREAM_METRICS);
        for (size_t i = 0; i < b->n; i++)
            assert_entry(&b->entries[i], n++);
        end(r, DM_STREAM_METRICS, b);
    }
    assert_true(nothing_to_take(r, DM_STREAM_METRICS));
    while (dm_live_emit_pending(r->live, DM_STREAM_METRICS) > 0) /* the store's answer */
        (void)dm_loop_turn(r->loop, 10 * DM_MS);
}

static void record_that_was_not_done_comes_again(void **state)
{
    struct live_rig *r = *state;
    emit(r, DM_STREAM_AUDIT, 1);
    dm_live_batch_free(take(r, DM_STREAM_AUDIT)); /* whoever took it died */
    rig_step(r, 2 * DM_STREAM_IDLE);
    struct dm_live_batch *b = take(r, DM_STREAM_AUDIT);
    assert_int_equal(b->n, 1);
    assert_entry(&b->entries[0], 1);
    end(r, DM_STREAM_AUDIT, b);
    rig_step(r, 2 * DM_STREAM_IDLE);
    assert_true(nothing_to_take(r, DM_STREAM_AUDIT));
}

static void streams_do_not_mix(void **state)
{
    struct live_rig *r = *state;
    emit(r, DM_STREAM_AUDIT, 1);
    emit(r, DM_STREAM_METRICS, 2);
    struct dm_live_batch *audit = take(r, DM_STREAM_AUDIT), *metrics = take(r, DM_STREAM_METRICS);
    assert_entry(&audit->entries[0], 1);
    assert_entry(&metrics->entries[0], 2);
    end(r, DM_STREAM_AUDIT, audit);
    end(r, DM_STREAM_METRICS, metrics);
}

static void too_large_a_record_is_lost_and_told(void **state)
{
    struct live_rig *r = *state;
    static char large[DM_STREAM_RECORD_MAX + 1];
    memset(large, ' ', sizeof large);
    assert_int_equal(dm_live_emit(r->live, DM_STREAM_AUDIT, DM_LIT("a-1"),
                                  dm_view_make(large, sizeof large)),
                     1);
    assert_true(nothing_to_take(r, DM_STREAM_AUDIT));
}

/* Nobody takes: figures give up their oldest, audit events the new one; both are told. */
static void waiting_records_are_bounded(void **state)
{
    struct live_rig *r = *state;
    static char large[DM_STREAM_RECORD_MAX];
    size_t lost[DM_STREAMS] = {0};
    char id[16];
    memset(large, ' ', sizeof large);
    for (int n = 0; n < 200; n++) { /* 25 MB: no turn of the loop in between */
        snprintf(id, sizeof id, "a-%d", n);
        for (int s = 0; s < DM_STREAMS; s++)
            lost[s] += dm_live_emit(r->live, (enum dm_stream)s, dm_view_of(id),
                                    dm_view_make(large, sizeof large));
    }
    for (int s = 0; s < DM_STREAMS; s++) {
        assert_in_range(lost[s], 1, 199);
        struct dm_live_batch *b = take(r, (enum dm_stream)s);
        snprintf(id, sizeof id, "a-%zu", s == DM_STREAM_METRICS ? lost[s] : 0);
        assert_true(dm_view_eq(b->entries[0].id, dm_view_of(id)));
        dm_live_batch_free(b);
    }
}

static void run_ping(struct live_rig *r, void *ctx)
{
    *(enum dm_code *)ctx = dm_live_ping(r->admin, NULL);
}

static void ping_answers(void **state)
{
    enum dm_code code = DM_BUG;
    rig_call(*state, run_ping, &code);
    assert_int_equal(code, DM_OK);
}

int live_contract_run(const char *name, const struct live_factory *factory)
{
#define CONTRACT(test) cmocka_unit_test_setup_teardown(test, rig_open, rig_close)
    const struct CMUnitTest tests[] = {
        CONTRACT(rate_counts_up_to_its_limit),
        CONTRACT(windows_are_cut_by_the_clock),
        CONTRACT(throttle_refuses_over_queue_and_over_delay),
        CONTRACT(bandwidth_is_checked_before_and_added_after),
        CONTRACT(refused_call_spends_nothing_and_names_the_first_refusal),
        CONTRACT(no_counting_where_the_local_verdict_refuses),
        CONTRACT(revoked_token_is_told_before_limits),
        CONTRACT(revoke_all_lasts_until_taken_back),
        CONTRACT(caller_without_token_is_not_asked_for_revocation),
        CONTRACT(names_too_long_for_a_key_are_never_admitted),
        CONTRACT(cleared_counters_leave_revocations_and_bandwidth),
        CONTRACT(attempts_slide_out_of_their_window),
        CONTRACT(as_many_credits_as_there_are_are_given),
        CONTRACT(credit_is_spent_or_given_back_once),
        CONTRACT(unsettled_credit_comes_back_when_its_hold_ends),
        CONTRACT(nobody_has_credits_by_default),
        CONTRACT(new_balance_leaves_reservations_alone),
        CONTRACT(deleted_account_gives_nothing_and_takes_nothing_back),
        CONTRACT(whoever_cancels_a_reservation_settles_it),
        CONTRACT(credits_survive_the_clearing_of_counters),
        CONTRACT(cancelled_ask_gets_no_answer),
        CONTRACT(callback_may_ask_again_with_the_same_wait),
        CONTRACT(published_object_is_read_until_deleted),
        CONTRACT(objects_with_no_or_too_long_a_name_are_refused),
        CONTRACT(subscriber_hears_first_of_everything_even_of_nothing),
        CONTRACT(subscriber_hears_every_generation_in_order),
        CONTRACT(subscriber_may_unsubscribe_itself_and_others_when_called),
        CONTRACT(unsubscribed_before_the_first_call_hears_nothing),
        CONTRACT(records_come_in_order_and_once_when_done),
        CONTRACT(record_that_was_not_done_comes_again),
        CONTRACT(streams_do_not_mix),
        CONTRACT(too_large_a_record_is_lost_and_told),
        CONTRACT(waiting_records_are_bounded),
        CONTRACT(ping_answers),
    };
#undef CONTRACT
    live_factory = factory;
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}
