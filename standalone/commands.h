/* What doorman can be told to do; each gives the exit code of the process. */
#pragma once

#include "model/settings.h"
#include "standalone/options.h"

int command_run(const struct options *o);
int command_check_config(const struct options *o);
int command_print_settings(const struct options *o);
int command_healthcheck(const struct options *o);
int command_version(const struct options *o);

/* Loads, prints warnings and faults to stderr. NULL: there were faults (exit 78). */
struct dm_settings *load_settings(const struct options *o);
