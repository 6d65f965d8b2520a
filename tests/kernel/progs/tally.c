/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Counts by name, shared between processes; see tally.h.
 */
#define _GNU_SOURCE

#include "tally.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { NAMES = 64, NAME_LENGTH = 24 };

struct entry {
    char name[NAME_LENGTH];
    _Atomic int taken;
    _Atomic long done;
    _Atomic long refused;
    _Atomic int error;
};

static struct entry *entries;
static uint32_t chance_state = 1;

bool
tally_open(void)
{
    entries = mmap(NULL, NAMES * sizeof(*entries), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return entries != MAP_FAILED && prctl(PR_SET_CHILD_SUBREAPER, 1) == 0;
}

/* Two processes may take an entry each for one name at the same time: the sums are still right. */
static struct entry *
find(const char *name)
{
    for (int i = 0; i < NAMES; i++) {
        int expected = 0;

        if (__atomic_compare_exchange_n((int *)&entries[i].taken, &expected, 1, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
            snprintf(entries[i].name, sizeof(entries[i].name), "%s", name);
            return &entries[i];
        }
        if (strcmp(entries[i].name, name) == 0) {
            return &entries[i];
        }
    }
    return &entries[NAMES - 1];
}

void
tally_add(const char *name, int status)
{
    struct entry *entry = find(name);

    if (status == 0) {
        entry->done++;
    } else {
        entry->refused++;
        entry->error = -status;
    }
}

long
tally_done(const char *name)
{
    long done = 0;

    for (int i = 0; i < NAMES; i++) {
        done += strcmp(entries[i].name, name) == 0 ? entries[i].done : 0;
    }
    return done;
}

void
tally_print(void)
{
    for (int i = 0; i < NAMES && entries[i].taken; i++) {
        printf("# %-24s %6ld done %6ld refused%s%s\n", entries[i].name, entries[i].done,
               entries[i].refused, entries[i].error != 0 ? ", last: " : "",
               entries[i].error != 0 ? strerror(entries[i].error) : "");
    }
}

pid_t
fork_mortal(void)
{
    pid_t parent = getpid();
    pid_t child = fork();

    if (child == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)) {
        _exit(0);
    }
    return child;
}

void
chance_seed(unsigned int seed)
{
    chance_state = seed * 2654435761U + 1;
}

unsigned int
chance(unsigned int limit)
{
    chance_state ^= chance_state << 13;
    chance_state ^= chance_state >> 17;
    chance_state ^= chance_state << 5;
    return chance_state % limit;
}
