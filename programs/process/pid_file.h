/* PID_FILE: who runs here. Its process holds a lock on it as long as it lives, so a file that was
 * left behind, or tells a number that somebody else got since, is never mistaken for a running
 * program. Control thread, or a command. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct pid_file {
    char *path; /* NULL: not ours */
    int fd;
};

enum pid_taken { PID_TAKEN = 0, PID_HELD, PID_UNWRITABLE };

enum pid_taken pid_file_take(struct pid_file *f, const char *path);
void pid_file_drop(struct pid_file *f); /* removes it; not taken: fine */
pid_t pid_file_find(const char *path);  /* of the process that holds it; 0: nobody does */
