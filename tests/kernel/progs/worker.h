/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A worker is a child process with mergeable memory of known contents, which does what it is told
 * through a pipe: so the program itself has no merged page, can't be chosen by an OOM kill that is
 * meant for others, and learns of a worker's death by its silence.
 */
#ifndef PROGS_WORKER_H
#define PROGS_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct worker {
    pid_t pid;
    int to_fd;
    int from_fd;
    size_t pages;
};

enum worker_verb {
    WORKER_CHECK = 1,      /* the number of pages with wrong contents */
    WORKER_POISONED,       /* the number of pages whose reading gives SIGBUS */
    WORKER_CHECK_READABLE, /* wrong pages among those whose reading does not */
    WORKER_WRITE,          /* write every page (same contents): 0 */
    WORKER_DROP,           /* MADV_DONTNEED all: 0 or -errno */
    WORKER_FILL,           /* fill again with the seed: 0 */
    WORKER_MERGE,          /* MADV_MERGEABLE: 0 or -errno */
    WORKER_UNMERGE,        /* MADV_UNMERGEABLE: 0 or -errno */
    WORKER_ADDRESS,        /* where the memory is */
};

struct memcg;

/*
 * Starts a worker with @pages pages that hold what ksm_fill() makes of @seed, declared mergeable.
 * It joins @group first if that is not NULL. Returns when the memory is filled; false (and no
 * process left) when that failed.
 */
bool worker_start(struct worker *worker, size_t pages, unsigned int seed,
                  const struct memcg *group);

/* Starts @count workers of the same contents; false (and none left) if one fails. */
bool workers_start(struct worker *workers, int count, size_t pages, unsigned int seed,
                   const struct memcg *group);

/* Asks and waits for the answer; -ESRCH when the worker is dead, -ETIME when it is stuck. */
long worker_ask(struct worker *worker, enum worker_verb verb);

/* The sum of the answers; the first negative one instead. */
long workers_ask(struct worker *workers, int count, enum worker_verb verb);

/* Asks everybody before it waits for anybody: they work side by side. */
long workers_ask_at_once(struct worker *workers, int count, enum worker_verb verb);

/* How many still run. */
int workers_alive(struct worker *workers, int count);

/* The kB that smaps calls @field, summed over the workers that run. */
long workers_smaps_kib(struct worker *workers, int count, const char *field);

/* Kills and reaps. */
void workers_end(struct worker *workers, int count);

#endif
