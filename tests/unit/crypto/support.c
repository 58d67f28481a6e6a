#include "support.h"

#include <stdio.h>
#include <string.h>

void assert_view_(dm_view got, dm_view want, const char *file, int line)
{
    if (dm_view_eq(got, want))
        return;
    print_error("got  \"%.*s\"\nwant \"%.*s\"\n", DM_FMT(got), DM_FMT(want));
    _fail(file, line);
}

void assert_hex_(const unsigned char *got, size_t len, const char *want, const char *file, int line)
{
    char text[2 * 256 + 1] = "";
    for (size_t i = 0; i < len; i++)
        snprintf(text + 2 * i, 3, "%02x", got[i]);
    assert_view_(dm_view_of(text), dm_view_of(want), file, line);
}
