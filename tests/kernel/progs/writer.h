/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A writer owns mergeable pages, knows what each of them holds, and writes to them in all the ways
 * there are: by stores of its own, by the kernel for it, by a disk, beside a child of its, and as a
 * guest does, through page tables that are not its own.
 */
#ifndef PROGS_WRITER_H
#define PROGS_WRITER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WRITER_PAGES = 128, WRITER_WRONG = 3 };

/* CONFIG_TEST_MMU_NOTIFIER: a secondary MMU, and one that can't tell what it has accessed. */
#define WRITER_MMU        "/dev/test_mmu_notifier"
#define WRITER_MMU_SILENT "/dev/test_mmu_notifier_without_young"

struct writer {
    unsigned int id;   /* different for each, from 0: also its place on the disk */
    int disk_fd;       /* open with O_DIRECT for all of them, or -1 */
    const char *mmu;   /* the secondary MMU that it writes through, or NULL */
    long writes;       /* how many to make */
    atomic_int *wrong; /* shared by all: how many writers found wrong contents */

    /* its own business */
    uint32_t random;
    uint64_t born;
    unsigned char *memory;
    uint64_t *contents;
    unsigned char *image;
    unsigned char *scratch;
    int mem_fd;
    int mmu_fd;
    int pipe[2];
};

/* The body of a thread. It counts each way in the tally, and stops when anybody's contents are
 * wrong; the first wrong page is told as a TAP comment. */
void *writer_run(void *writer);

/* Whether each way was used that this machine has; tells the first that was not in *@name. */
bool writer_ways_used(bool with_disk, const char **name);

/* How many writes there were. */
long writer_writes(void);

#endif
