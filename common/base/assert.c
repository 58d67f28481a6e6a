#include "base/assert.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/poison.h"

static _Thread_local const char *context;

void dm_assert_context(const char *text)
{
    context = text;
}

_Noreturn void dm_assert_fail(const char *kind, const char *cond, const char *file, int line)
{
    /* dprintf: one write without the buffers of stdio, whatever state they are in */
    (void)dprintf(2, "doorman: %s failed at %s:%d: %s [request_id=%s]\n", kind, file, line, cond,
                  context == NULL ? "-" : context);
    abort();
}
