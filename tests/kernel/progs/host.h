/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the test programs need of the machine that they run on: files of /proc and /sys, memory
 * cgroups, and swap areas. Nothing here asserts; a caller says what an answer means.
 */
#ifndef PROGS_HOST_H
#define PROGS_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
    PAGE_BYTES = 4096,
    MIB_PAGES = 256,
    MIB_BYTES = 1024 * 1024,
    PATH_LENGTH = 160,
};

/* Writes a formatted text to @path in one write(2). 0, or a negative errno. */
int host_write(const char *path, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The number behind @key in a file of "key number" or "key: number" lines; with a NULL @key the
 * first number of the file. -1 where there is none. */
long host_read(const char *path, const char *key);

/* Sleeps @usec; for the inside of a wait that has a deadline of its own. */
void host_pause(long usec);

/* Msec of a clock that only goes forward, for deadlines. */
long host_msec(void);

struct memcg {
    char path[PATH_LENGTH];
};

/* Makes a memory cgroup below the root; false where the kernel has no memory controller. */
bool memcg_make(struct memcg *group, const char *name);

/* Writes a control file ("memory.max"). 0, or a negative errno. */
int memcg_set(const struct memcg *group, const char *file, const char *value);

/* A number of a control file, as host_read(). */
long memcg_read(const struct memcg *group, const char *file, const char *key);

/*
 * Reclaims about @bytes in small steps, reading memory.stat between them. The first pass over pages
 * that several processes map finds them all referenced and answers EAGAIN, and the kernel's
 * statistics are flushed lazily: so the steps go on till @want_usage_bytes is reached or nothing
 * moved for a while. Pages that a CPU holds back on its way to the LRU lists are no candidates;
 * clean page cache is dropped for that, which drains them. Returns the bytes of memory.current in
 * the end.
 */
long memcg_reclaim_to(const struct memcg *group, long want_usage_bytes);

/* Kills what is inside, and removes the group. */
void memcg_remove(struct memcg *group);

/* Makes @device a swap area ("zram": /dev/zram0 is given @mib MiB first) and turns it on.
 * 0, -ENODEV where the device is absent, else a negative errno. */
int swap_on(const char *device, long mib);

/* Turns it off; 0 or a negative errno. */
int swap_off(const char *device);

#endif
