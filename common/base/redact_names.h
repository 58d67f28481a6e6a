/* The names whose values are secret (operations.md §8.6). For redact.c only. */
#pragma once

#include "base/view.h"

enum dm_secret_name {
    DM_NAME_PLAIN = 0, /* nothing to hide */
    DM_NAME_HEADER,    /* value to the end of the line or ';' */
    DM_NAME_COOKIE,    /* value to the end of the line: ';' only begins the next cookie */
    DM_NAME_FIELD,     /* value to the next blank or '&' */
    DM_NAME_TOKEN      /* as a field, when the value is long enough to be one */
};

/* What the text that ends right before a ':' or '=' names: quotes, brackets and blanks after the
 * name are skipped, '-', '_' and blanks within it ignored, so is whatever stands before it. */
enum dm_secret_name dm_secret_name_at_end(dm_view text);
