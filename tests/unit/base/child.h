/* Runs a function in a child process and catches what it writes to stderr: for code that aborts. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* True when fn ended the child by SIGABRT; text gets what it wrote to stderr. */
bool aborts(void (*fn)(void), char *text, size_t size);
/* The exit status of a child that ran fn. */
int exit_status_of(void (*fn)(void));
/* What a child that ran fn wrote to stderr. */
void stderr_of(void (*fn)(void), char *text, size_t size);
