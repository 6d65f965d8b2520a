/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host whose figures come late, for LD_PRELOAD: reading a file called meminfo takes as long as
 * the file $SLOW_MEMINFO is there.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int
is_meminfo(int fd)
{
    char link[64];
    char path[4096];
    ssize_t length_bytes;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length_bytes = readlink(link, path, sizeof path);
    return length_bytes > 8 && memcmp(path + length_bytes - 8, "/meminfo", 8) == 0;
}

ssize_t
read(int fd, void *buffer, size_t size_bytes)
{
    ssize_t (*real)(int, void *, size_t) = dlsym(RTLD_NEXT, "read");
    const char *sign = getenv("SLOW_MEMINFO");
    const struct timespec pause = {0, 10000000};

    while (sign != NULL && is_meminfo(fd) && access(sign, F_OK) == 0) {
        nanosleep(&pause, NULL);
    }
    return real(fd, buffer, size_bytes);
}
