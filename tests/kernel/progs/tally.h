/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a mixed load has done: a name and counts for each of its ingredients, in memory that all its
 * processes share. An ingredient whose interface the kernel lacks only collects refusals.
 */
#ifndef PROGS_TALLY_H
#define PROGS_TALLY_H

#include <stdbool.h>
#include <sys/types.h>

/* Makes the shared memory, and this process the parent of those whose parents die; before any fork.
 */
bool tally_open(void);

/* Counts one use of @name (a literal): @status 0 is done, a negative errno is refused. */
void tally_add(const char *name, int status);

/* How often @name was done. */
long tally_done(const char *name);

/* Prints a line for each as a TAP comment. */
void tally_print(void);

/* fork(), and the child dies with its parent, whenever that is killed. */
pid_t fork_mortal(void);

/* A number below @limit from a generator that each process seeds for itself. */
unsigned int chance(unsigned int limit);
void chance_seed(unsigned int seed);

#endif
