/* The command line, alike for all programs. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct options {
    const char *command;     /* "run" when none was given */
    const char *config_file; /* --config FILE */
    const char *env;         /* --env NAME, check-config only */
    bool print_settings, json, help;
    uint64_t wait; /* --wait SECONDS, drain only: how long it stays afterwards */
    bool status;   /* --status, of commands that change something: only tell */
    int notify_fd; /* no option: set for the process that `start` makes */
};

/* False: a sentence about the fault is on stderr, exit 64 (EX_USAGE). */
bool options_parse(const char *program, int argc, char **argv, struct options *ret);

/* The part of --help that all programs share. */
#define OPTIONS_HELP                                                                               \
    "  run            serve in the foreground (default)\n"                                         \
    "  start          serve in the background; returns when it serves\n"                           \
    "  stop           drain and end it, wait for its end\n"                                        \
    "  restart        stop, start; a configuration with faults stops nothing\n"                    \
    "  reload         read the configuration again, print the outcome (SIGHUP), exit 0 or 78\n"    \
    "  drain          not ready any more (503 on /readyz), but still serving (SIGUSR2)\n"          \
    "  check-config   load and check the settings, print every fault, exit 0 or 78\n"              \
    "  healthcheck    ask the local liveness probe, exit 0 or 1\n"                                 \
    "  version        print the version\n"
#define OPTIONS_HELP_FLAGS                                                                         \
    "\n"                                                                                           \
    "  --config FILE      settings file (YAML or JSON); default: DOORMAN_CONFIG_FILE,\n"           \
    "                     else /etc/doorman/config/doorman.yaml where it exists\n"                 \
    "  --env NAME         check-config: check as if ENV were NAME (production)\n"                  \
    "  --print-settings   print every setting with its value and origin, and exit\n"               \
    "  --json             with --print-settings: as JSON\n"                                        \
    "  --status           migrate: tell what was done and when, change nothing\n"                  \
    "  --wait SECONDS     drain: return that much later, or when the process has ended\n"          \
    "  --help             this text\n"                                                             \
    "\n"                                                                                           \
    "Settings come from the environment, the file, or defaults, in this order; "                   \
    "docs/settings.md\nlists them. "
#define OPTIONS_HELP_EXIT                                                                          \
    "exit:    0 clean    64 usage    69 port or store not to be had    70 internal    78 "         \
    "configuration\n"
