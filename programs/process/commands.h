/* What every program can be told to do, besides `run`; each gives the exit code of the process. */
#pragma once

#include "programs/process/program.h"

int command_check_config(const struct program *program, struct process *p, const struct options *o);
int command_print_settings(const struct program *program, const struct options *o);
int command_healthcheck(const struct program *program, struct process *p, const struct options *o);
int command_version(const struct program *program, struct process *p, const struct options *o);

/* Loads; faults go to stderr, warnings too, or into `ret_warnings` where that is not NULL. NULL:
 * there were faults (exit 78). */
struct dm_settings *load_settings(const struct program *program, const struct options *o,
                                  struct dm_buf *ret_warnings);
/* For commands that only ask where a running one is: faults are not theirs to tell, defaults stand
 * in. Never NULL. */
struct dm_settings *load_settings_leniently(const struct program *program, const struct options *o);
