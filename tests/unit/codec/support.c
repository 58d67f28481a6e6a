#include "support.h"

#include <stdlib.h>
#include <string.h>

void assert_view_(dm_view got, dm_view want, const char *file, int line)
{
    if (dm_view_eq(got, want))
        return;
    print_error("got  \"%.*s\"\nwant \"%.*s\"\n", DM_FMT(got), DM_FMT(want));
    _fail(file, line);
}

dm_view exact(dm_view text, char **ret_owner)
{
    *ret_owner = malloc(text.len == 0 ? 1 : text.len);
    memcpy(*ret_owner, text.ptr, text.len);
    return dm_view_make(*ret_owner, text.len);
}
