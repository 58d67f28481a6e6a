"""A wall clock that a test moves, for servers of others: a library to preload.

It reads the time (nanoseconds since 1970, eight bytes, machine order) from a mapped file.
libfaketime cannot do this for redis-server: its allocator asks for the time before that library is
ready.
"""

import os
import pathlib
import struct
import subprocess

SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void)
{
    static const volatile int64_t *clock;
    if (clock == NULL) {
        int fd = open(getenv("MOVED_CLOCK"), O_RDONLY | O_CLOEXEC);
        void *map = mmap(NULL, sizeof *clock, PROT_READ, MAP_SHARED, fd, 0);
        if (fd < 0 || map == MAP_FAILED)
            _exit(99);
        close(fd);
        clock = map;
    }
    return *clock;
}

int clock_gettime(clockid_t id, struct timespec *ret)
{
    if (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE)
        return (int)syscall(SYS_clock_gettime, id, ret);
    int64_t at = now();
    ret->tv_sec = at / 1000000000;
    ret->tv_nsec = at % 1000000000;
    return 0;
}

int gettimeofday(struct timeval *ret, void *zone)
{
    int64_t at = now();
    (void)zone;
    ret->tv_sec = at / 1000000000;
    ret->tv_usec = at % 1000000000 / 1000;
    return 0;
}

time_t time(time_t *ret)
{
    time_t at = now() / 1000000000;
    if (ret != NULL)
        *ret = at;
    return at;
}
"""


class MovedClock:
    """The file, and the environment of a process that shall live by it."""

    def __init__(self, folder, seconds):
        self.file = pathlib.Path(folder) / "clock"
        self.set(seconds)
        self.library = pathlib.Path(folder) / "moved_clock.so"
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-Wall", "-Werror",
                        "-fno-builtin", "-x", "c", "-", "-o", str(self.library)], check=True,
                       text=True, input=SOURCE)

    def set(self, seconds):
        self.seconds = seconds
        with open(self.file, "r+b" if self.file.exists() else "wb") as file:  # it is mapped
            file.write(struct.pack("=q", int(seconds * 10**9)))

    def environment(self):
        return {"LD_PRELOAD": str(self.library), "MOVED_CLOCK": str(self.file)}
