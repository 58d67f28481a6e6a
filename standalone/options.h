/* The command line of doorman. */
#pragma once

#include <stdbool.h>

struct options {
    const char *command;     /* "run" when none was given */
    const char *config_file; /* --config FILE */
    const char *env;         /* --env NAME, check-config only */
    bool print_settings, json, help;
};

/* False: a sentence about the fault is on stderr, exit 64 (EX_USAGE). */
bool options_parse(int argc, char **argv, struct options *ret);
void options_help(void);
