/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How fast this machine reads and hashes memory, page by page, as ksmd does: the limit of what a
 * pass over pages that may have changed can reach. Prints bytes per second of CPU time, the best of
 * a few rounds.
 */
#define _GNU_SOURCE

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <xxhash.h>

enum {
    PAGE_BYTES = 4096,
    ROUNDS = 3,
};

#define MEMORY_BYTES ((size_t)1 << 30)

static double
now_sec(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int
main(void)
{
    char *memory =
        mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    volatile uint64_t sink = 0;
    double best_sec = 0;

    if (memory == MAP_FAILED) {
        perror("mmap");
        return EXIT_FAILURE;
    }
    madvise(memory, MEMORY_BYTES, MADV_HUGEPAGE);
    memset(memory, 1, MEMORY_BYTES);
    for (int round = 0; round < ROUNDS; round++) {
        double began_sec = now_sec();

        for (size_t at = 0; at < MEMORY_BYTES; at += PAGE_BYTES) {
            sink ^= XXH64(memory + at, PAGE_BYTES, 0);
        }

        double took_sec = now_sec() - began_sec;

        best_sec = round == 0 || took_sec < best_sec ? took_sec : best_sec;
    }
    printf("%.0f\n", (double)MEMORY_BYTES / best_sec);
    return EXIT_SUCCESS;
}
