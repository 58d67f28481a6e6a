/* Names that must not be used: unbounded, locale-bound or stateful C functions, and the heap behind
 * the back of base/mem. A .c file includes it after every other header: from there on the compiler
 * refuses the names. free is not among them: wrappers give back what their library allocated. */
#pragma once

#undef alloca
#pragma GCC poison strcpy strcat stpcpy sprintf vsprintf strtok gets alloca
#pragma GCC poison atoi atol atoll strtol strtoll strtoul strtoull
#ifndef DM_POISON_NOT_HEAP /* defined by mem.c alone */
#pragma GCC poison malloc calloc realloc strdup strndup asprintf vasprintf
#endif
