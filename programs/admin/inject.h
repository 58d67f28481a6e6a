/* doorman-admin inject: workloads on standard input, the same with the sidecar on standard output.
 * Needs no settings, no store and no cluster. */
#pragma once

#include "programs/process/program.h"

int command_inject(const struct program *program, int argc, char **argv);
/* Its name stood behind other options: a usage error. */
int inject_unplaced(const struct program *program, struct process *p, const struct options *o);

#define INJECT_HELP                                                                                \
    "  inject         put the sidecar into Kubernetes workloads: standard input to output; see\n"  \
    "                 inject --help\n"
