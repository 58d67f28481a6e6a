/* Impossible states. Compiled in always: they print place, condition and the state set by
 * dm_assert_context (the request id), and abort. DM_REQUIRE at the door of a function, DM_ASSERT
 * inside, DM_UNREACHABLE on a branch that cannot be. */
#pragma once

_Noreturn void dm_assert_fail(const char *kind, const char *cond, const char *file, int line);
void dm_assert_context(const char *text); /* this thread's current request; borrowed, NULL clears */

#define DM_REQUIRE(cond) \
    ((cond) ? (void)0 : dm_assert_fail("require", #cond, __FILE__, __LINE__))
#define DM_ASSERT(cond) ((cond) ? (void)0 : dm_assert_fail("assert", #cond, __FILE__, __LINE__))
#define DM_UNREACHABLE() dm_assert_fail("unreachable", "", __FILE__, __LINE__)
