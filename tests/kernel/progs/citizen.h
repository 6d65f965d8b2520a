/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A citizen of a mixed load: a process with mergeable memory, which some others have the same
 * contents in, that does to itself all that a process may, and looks at its contents all the time.
 */
#ifndef PROGS_CITIZEN_H
#define PROGS_CITIZEN_H

#include <sys/types.h>

enum {
    CITIZEN_WRONG = 3, /* exit status: the contents were not the own ones */
};

struct memcg;

/* Starts one, in @group if that is not NULL; @seed is for its choices. It lives till it is killed.
 */
pid_t citizen_start(unsigned int seed, const struct memcg *group);

/* A process that takes memory till it is killed, in @group. */
pid_t citizen_hog(const struct memcg *group);

#endif
