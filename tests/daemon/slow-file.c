/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host whose figures come late, for LD_PRELOAD: while there is a file $SLOW_FILE, which holds the
 * end of a path, reading files whose paths end like that takes as long as it says so: asleep, or,
 * with a '!' before it, with all of a CPU's time.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static ssize_t (*real_read)(int, void *, size_t);

/* What sign says; 0 bytes when it is not there. */
static size_t
read_sign(const char *sign, char *end, size_t size_bytes)
{
    int fd = open(sign, O_RDONLY | O_CLOEXEC);
    ssize_t length_bytes = fd >= 0 ? real_read(fd, end, size_bytes) : 0;

    if (fd >= 0) {
        close(fd);
    }
    return length_bytes > 0 ? (size_t)length_bytes : 0;
}

/* '!' or ' ', or 0 when reading fd is not slow. */
static char
how_slow(int fd, const char *sign)
{
    char link[64];
    char path[4096];
    char end[256];
    ssize_t length_bytes;
    size_t end_bytes = read_sign(sign, end, sizeof end);
    char how = end[0] == '!' ? '!' : ' ';

    if (end_bytes == 0) {
        return 0;
    }
    if (how == '!') {
        memmove(end, end + 1, --end_bytes);
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length_bytes = readlink(link, path, sizeof path);
    return length_bytes >= (ssize_t)end_bytes &&
                   memcmp(path + length_bytes - end_bytes, end, end_bytes) == 0
               ? how
               : 0;
}

ssize_t
read(int fd, void *buffer, size_t size_bytes)
{
    const char *sign = getenv("SLOW_FILE");
    const struct timespec pause = {0, 10000000};
    char how;

    real_read = dlsym(RTLD_NEXT, "read");
    while (sign != NULL && (how = how_slow(fd, sign)) != 0) {
        if (how == ' ') {
            nanosleep(&pause, NULL);
        }
    }
    return real_read(fd, buffer, size_bytes);
}
