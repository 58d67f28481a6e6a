/* What the tests of codec/ share: cmocka with its headers, and a view's comparison that prints. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"

#define assert_view(got, want) assert_view_((got), (want), __FILE__, __LINE__)

void assert_view_(dm_view got, dm_view want, const char *file, int line);
/* A text literal as a heap block of exactly its length, so that reading past the end is caught. */
dm_view exact(dm_view text, char **ret_owner);
