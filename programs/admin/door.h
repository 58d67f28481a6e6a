/* The front door of doorman-admin: everything but probes goes to the admin server; data-plane paths
 * are 404. Each worker has its own view of the settings in force. */
#pragma once

#include "io/front.h"
#include "programs/process/process.h"

/* Threads run, the port is not open yet. socket_path outlives it. False: a sentence was logged. */
bool door_make(struct process *p, const char *socket_path, struct dm_front **ret);
