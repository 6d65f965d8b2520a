/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Un-merging that waits or fails on demand, and a kernel that can freeze, as far as a process sees
 * them by madvise(): built as a library that is loaded before all others.  Files in the folder that
 * STEERED_UNMERGE names steer it:
 *
 *   hold    lets two calls that un-merge pass, and has the others wait until it is gone; the first
 *           that waits makes "held"
 *   fail    calls that un-merge say after that that there is no memory
 *   frozen  freezing is known; each call that freezes or thaws adds a line, with the start
 */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MADV_KSM_FREEZE 0x4b534d46
#define MADV_KSM_THAW   0x4b534d54
#define PASS_CALLS      2
#define POLL_USEC       1000

static const char *
path_of(char (*path)[4096], const char *name)
{
    snprintf(*path, sizeof *path, "%s/%s", getenv("STEERED_UNMERGE"), name);
    return *path;
}

static int
is_there(const char *name)
{
    char path[4096];

    return access(path_of(&path, name), F_OK) == 0;
}

static void
add_line(const char *name, const char *what, const void *address)
{
    char path[4096];
    FILE *file = fopen(path_of(&path, name), "a");

    if (file != NULL) {
        fprintf(file, "%s %p\n", what, address);
        fclose(file);
    }
}

int
madvise(void *address, size_t length, int advice)
{
    static atomic_int calls;

    if ((advice == MADV_KSM_FREEZE || advice == MADV_KSM_THAW) && is_there("frozen")) {
        if (length != 0) {
            add_line("frozen", advice == MADV_KSM_FREEZE ? "freeze" : "thaw", address);
        }
        return 0;
    }
    if (advice == MADV_UNMERGEABLE && length != 0) {
        if (is_there("hold") && atomic_fetch_add(&calls, 1) >= PASS_CALLS) {
            add_line("held", "wait", address);
            while (is_there("hold")) {
                usleep(POLL_USEC);
            }
        }
        if (is_there("fail")) {
            errno = ENOMEM;
            return -1;
        }
    }
    return (int)syscall(SYS_madvise, address, length, advice);
}
