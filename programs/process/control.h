/* Commands that act on a program which runs already, found by PID_FILE: start, stop, restart,
 * reload, drain. Each gives the exit code of its process. */
#pragma once

#include "programs/process/program.h"

int command_start(const struct program *program, struct process *p, const struct options *o);
int command_stop(const struct program *program, struct process *p, const struct options *o);
int command_restart(const struct program *program, struct process *p, const struct options *o);
int command_reload(const struct program *program, struct process *p, const struct options *o);
int command_drain(const struct program *program, struct process *p, const struct options *o);

/* --- the other end, in the process that runs --- */
struct dm_json;
char *control_outcome_path(const char *pid_file); /* where it is told; owned by the caller */
/* False: another one holds PID_FILE, and this one was told to start as a service. */
bool control_take_pid_file(struct process *p, const struct options *o);
void control_started(struct process *p); /* tells the `start` that waits */
/* What a reload came to, for the command that asked. Control thread. */
void control_tell_reload(struct process *p, const struct dm_json *report, bool by_signal);
void control_end(struct process *p); /* the last thing: nobody runs here any more */
