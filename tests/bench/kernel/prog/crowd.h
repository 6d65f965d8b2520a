/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The processes whose memory ksmd reads: each has at most CROWD_MEMBER_PAGES of the case's pages,
 * and does what the program tells it through a pipe. That many pages in any physical order are not
 * more mappings than a process of the host may have, where the kernel runs as one.
 */
#ifndef BENCH_CROWD_H
#define BENCH_CROWD_H

#include <stdbool.h>
#include <stddef.h>

#include "content.h"

enum {
    CROWD_MEMBER_PAGES = 16384,
};

struct crowd {
    struct crowd_member *members;
    size_t count;
    enum content_kind kind;
    size_t pages;
};

/* Starts the processes, which have memory and nothing in it. False where that fails. */
bool crowd_start(struct crowd *crowd, enum content_kind kind, size_t pages);

/* Gives all pages a place in memory: in their order, or so that neighbours are far from each other.
 */
bool crowd_populate(struct crowd *crowd, bool scattered);

/* Fills all pages with what the kind says. */
bool crowd_fill(struct crowd *crowd);

/* Lets ksmd have the memory. */
bool crowd_advise(struct crowd *crowd);

/* Writes 8 bytes into that part of the pages: others in each @round. */
bool crowd_touch(struct crowd *crowd, unsigned int round, unsigned int permyriad);

/* Gives that part of the pages another content, of a few that there are. */
bool crowd_rewrite(struct crowd *crowd, unsigned int round, unsigned int permyriad);

/* The number of pages that do not have what crowd_rewrite() wrote last; -1 for failure. */
long crowd_count_wrong(struct crowd *crowd);

/* Ends the processes. */
void crowd_end(struct crowd *crowd);

#endif
