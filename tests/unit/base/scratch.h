/* A directory of its own for one test, and whole files as text. */
#pragma once

#include <stddef.h>

void scratch_make(void);   /* cmocka setup calls it */
void scratch_remove(void); /* with all files in it */
const char *scratch_path(const char *name); /* borrowed, of 4 at a time */
char *scratch_read(const char *name); /* dm_mem_free; NULL when there is no such file */
size_t count_of(const char *text, const char *part);
