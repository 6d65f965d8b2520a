/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A death at a chosen step, for LD_PRELOAD: before and after each system call that changes the
 * journal, and after each write of a knob, is a step, and at that of number $DIE_AT_STEP the
 * process kills itself, as kill -9 would.  Before a knob's write a plain file, unlike the kernel's,
 * would be empty; the step after the journal's is the same moment.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_int steps_count;

/* The path of an open file; empty when it has none. */
static void
find_path(int fd, char *path, size_t size_bytes)
{
    char link[64];
    ssize_t length_bytes;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length_bytes = readlink(link, path, size_bytes - 1);
    path[length_bytes < 0 ? 0 : length_bytes] = '\0';
}

static void
step(void)
{
    const char *wanted = getenv("DIE_AT_STEP");
    int number = ++steps_count;

    if (wanted != NULL && number == strtol(wanted, NULL, 10)) {
        kill(getpid(), SIGKILL);
    }
}

ssize_t
write(int fd, const void *buffer, size_t size_bytes)
{
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    ssize_t written_bytes;
    char path[4096];
    int is_knob;
    int is_journal;

    find_path(fd, path, sizeof path);
    is_knob = strstr(path, "/kernel/mm/ksm/") != NULL;
    is_journal = strstr(path, "/.journal.new") != NULL;
    if (is_journal) {
        step();
    }
    written_bytes = real(fd, buffer, size_bytes);
    if (is_knob || is_journal) {
        step();
    }
    return written_bytes;
}

int
renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    int (*real)(int, const char *, int, const char *) = dlsym(RTLD_NEXT, "renameat");
    int status;

    step();
    status = real(from_folder, from, to_folder, to);
    step();
    return status;
}

int
unlinkat(int folder, const char *name, int flags)
{
    int (*real)(int, const char *, int) = dlsym(RTLD_NEXT, "unlinkat");
    int status;

    step();
    status = real(folder, name, flags);
    step();
    return status;
}
