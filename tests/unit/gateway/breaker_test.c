/* The circuit of one API as a table of events (gateway.md §14.3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/upstream/breaker.h"

static const struct gw_breaker_rule rule = {.threshold = 3, .timeout = 10 * DM_SEC};

enum event { ASK, GOOD, BAD, PROBE_GOOD, PROBE_BAD, PROBE_LOST };
struct step {
    enum event event;
    int64_t at_seconds;
    bool admitted, probe;  /* of ASK */
    int64_t left_seconds;  /* of a refused ASK */
    enum gw_circuit state; /* afterwards */
};

static void play(const struct step *steps, size_t n)
{
    struct gw_breaker b = {0};

    for (size_t i = 0; i < n; i++) {
        const struct step *s = &steps[i];
        const dm_time now = s->at_seconds * DM_SEC;
        const enum gw_circuit before = b.state;
        bool probe = false, changed = false;
        dm_time left = 0;
        switch (s->event) {
        case ASK:
            assert_int_equal(gw_breaker_admit(&b, &rule, now, &probe, &left), s->admitted);
            assert_int_equal(probe, s->probe);
            assert_int_equal(left, s->left_seconds * DM_SEC);
            break;
        case PROBE_LOST:
            gw_breaker_release(&b);
            break;
        default:
            changed = gw_breaker_report(&b, &rule, s->event == GOOD || s->event == PROBE_GOOD,
                                        s->event >= PROBE_GOOD, now);
            assert_int_equal(changed, b.state != before);
        }
        assert_int_equal(b.state, s->state);
    }
}

#define AT(e, t, ...)                                                                              \
    {                                                                                              \
        .event = (e), .at_seconds = (t), __VA_ARGS__                                               \
    }
#define PLAY(...)                                                                                  \
    do {                                                                                           \
        static const struct step steps[] = {__VA_ARGS__};                                          \
        play(steps, sizeof steps / sizeof *steps);                                                 \
    } while (0)
#define OPENED AT(BAD, 0), AT(BAD, 0), AT(BAD, 0, .state = GW_CIRCUIT_OPEN)
#define PROBING OPENED, AT(ASK, 10, .admitted = true, .probe = true, .state = GW_CIRCUIT_HALF_OPEN)

static void failures_in_a_row_open_it(void **state)
{
    (void)state;
    PLAY(AT(BAD, 0), AT(BAD, 0), AT(ASK, 0, .admitted = true), AT(BAD, 0, .state = GW_CIRCUIT_OPEN),
         AT(ASK, 4, .left_seconds = 6, .state = GW_CIRCUIT_OPEN));
}

static void a_success_between_starts_the_count_again(void **state)
{
    (void)state;
    PLAY(AT(BAD, 0), AT(BAD, 0), AT(GOOD, 0), AT(BAD, 0), AT(BAD, 0), AT(ASK, 0, .admitted = true));
}

static void half_open_lets_one_probe_through(void **state)
{
    (void)state;
    PLAY(PROBING, AT(ASK, 10, .state = GW_CIRCUIT_HALF_OPEN),
         AT(ASK, 11, .state = GW_CIRCUIT_HALF_OPEN));
}

static void a_good_probe_closes(void **state)
{
    (void)state;
    PLAY(PROBING, AT(PROBE_GOOD, 11), AT(ASK, 11, .admitted = true));
}

static void a_bad_probe_opens_for_the_whole_time_again(void **state)
{
    (void)state;
    PLAY(PROBING, AT(PROBE_BAD, 12, .state = GW_CIRCUIT_OPEN),
         AT(ASK, 13, .left_seconds = 9, .state = GW_CIRCUIT_OPEN),
         AT(ASK, 22, .admitted = true, .probe = true, .state = GW_CIRCUIT_HALF_OPEN));
}

static void a_lost_probe_makes_room_for_the_next(void **state)
{
    (void)state;
    PLAY(PROBING, AT(PROBE_LOST, 11, .state = GW_CIRCUIT_HALF_OPEN),
         AT(ASK, 11, .admitted = true, .probe = true, .state = GW_CIRCUIT_HALF_OPEN));
}

static void failures_from_before_tell_nothing(void **state)
{
    (void)state;
    PLAY(OPENED, AT(BAD, 5, .state = GW_CIRCUIT_OPEN),
         AT(ASK, 9, .left_seconds = 1, .state = GW_CIRCUIT_OPEN),
         AT(ASK, 10, .admitted = true, .probe = true, .state = GW_CIRCUIT_HALF_OPEN),
         AT(BAD, 11, .state = GW_CIRCUIT_HALF_OPEN), AT(ASK, 11, .state = GW_CIRCUIT_HALF_OPEN));
}

static void a_late_success_closes(void **state)
{
    (void)state;
    PLAY(OPENED, AT(GOOD, 5), AT(ASK, 5, .admitted = true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_in_a_row_open_it),
        cmocka_unit_test(a_success_between_starts_the_count_again),
        cmocka_unit_test(half_open_lets_one_probe_through),
        cmocka_unit_test(a_good_probe_closes),
        cmocka_unit_test(a_bad_probe_opens_for_the_whole_time_again),
        cmocka_unit_test(a_lost_probe_makes_room_for_the_next),
        cmocka_unit_test(failures_from_before_tell_nothing),
        cmocka_unit_test(a_late_success_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
