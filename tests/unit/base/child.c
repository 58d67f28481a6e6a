#include "child.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static int run(void (*fn)(void), char *text, size_t size)
{
    int ends[2], status;
    size_t len = 0;
    if (pipe(ends) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], 2);
        fn();
        _exit(0);
    }
    close(ends[1]);
    for (;;) {
        char byte;
        ssize_t n = read(ends[0], &byte, 1);
        if (n <= 0)
            break;
        if (len + 1 < size)
            text[len++] = byte;
    }
    text[len] = '\0';
    close(ends[0]);
    return waitpid(pid, &status, 0) == pid ? status : -1;
}

bool aborts(void (*fn)(void), char *text, size_t size)
{
    int status = run(fn, text, size);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

int exit_status_of(void (*fn)(void))
{
    char text[256];
    int status = run(fn, text, sizeof text);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void stderr_of(void (*fn)(void), char *text, size_t size)
{
    (void)run(fn, text, size);
}
