/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a process does to its own merged memory; see citizen.h.
 */
#define _GNU_SOURCE

#include "citizen.h"

#include "host.h"
#include "tally.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ksm_util.h"

#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif
#ifndef MADV_KSM_FREEZE
#define MADV_KSM_FREEZE 0x4b534d46
#define MADV_KSM_THAW   0x4b534d54
#endif
#ifndef PR_KSM_GROUP
#define PR_KSM_GROUP     0x4b534d47
#define PR_KSM_GROUP_NEW 1
#endif

enum {
    FILLED = 384, /* pages with contents, one of CONTENTS */
    ZERO = 64,    /* pages of zeroes behind them */
    PAGES = FILLED + ZERO,
    CONTENTS = 4,
};

struct citizen {
    char *memory;
    unsigned int contents;
};

static bool
contents_right(struct citizen *self)
{
    static const char zero[PAGE_BYTES];

    for (size_t i = FILLED; i < PAGES; i++) {
        if (memcmp(self->memory + i * PAGE_BYTES, zero, PAGE_BYTES) != 0) {
            return false;
        }
    }
    return ksm_check(self->memory, FILLED, self->contents) == 0;
}

static void
fill(struct citizen *self)
{
    self->contents = chance(CONTENTS);
    ksm_fill(self->memory, FILLED, self->contents);
    memset(self->memory + (size_t)FILLED * PAGE_BYTES, 0, (size_t)ZERO * PAGE_BYTES);
}

/* Advice for a part of the memory, so that areas split and join. */
static void
advise(struct citizen *self, const char *name, int advice)
{
    size_t first = chance(PAGES);
    size_t pages = 1 + chance((unsigned int)(PAGES - first));
    int status = madvise(self->memory + first * PAGE_BYTES, pages * PAGE_BYTES, advice);

    tally_add(name, status != 0 ? -errno : 0);
}

static void
act_write(struct citizen *self)
{
    volatile char *byte = self->memory + (size_t)chance(PAGES) * PAGE_BYTES;

    for (size_t i = chance(8); i < PAGES; i += 8) {
        byte = self->memory + i * PAGE_BYTES;
        *byte = *byte;
    }
    tally_add("write", 0);
}

static void
act_refill(struct citizen *self)
{
    fill(self);
    tally_add("refill", 0);
}

static void
act_drop(struct citizen *self)
{
    madvise(self->memory, (size_t)PAGES * PAGE_BYTES, MADV_DONTNEED);
    fill(self);
    tally_add("drop", 0);
}

static void
act_merge(struct citizen *self)
{
    advise(self, "mergeable", MADV_MERGEABLE);
}

static void
act_unmerge(struct citizen *self)
{
    advise(self, "unmergeable", MADV_UNMERGEABLE);
}

static void
act_freeze(struct citizen *self)
{
    advise(self, "freeze", MADV_KSM_FREEZE);
}

static void
act_thaw(struct citizen *self)
{
    advise(self, "thaw", MADV_KSM_THAW);
}

static void
act_pageout(struct citizen *self)
{
    advise(self, "pageout", MADV_PAGEOUT);
}

static void
act_prctl(struct citizen *self)
{
    unsigned long on = chance(2);

    (void)self;
    tally_add(on ? "prctl on" : "prctl off",
              prctl(PR_SET_MEMORY_MERGE, on, 0, 0, 0) != 0 ? -errno : 0);
}

static void
act_group(struct citizen *self)
{
    (void)self;
    if (chance(8) == 0) {
        tally_add("group new", prctl(PR_KSM_GROUP, PR_KSM_GROUP_NEW, 0, 0, 0) < 0 ? -errno : 0);
    }
}

/* The child shares the merged pages by its page tables alone, till it writes. */
static void
act_fork(struct citizen *self)
{
    int status = 0;
    pid_t child = fork_mortal();

    if (child == 0) {
        if (chance(2)) {
            act_write(self);
        }
        if (chance(4) == 0) {
            act_merge(self);
            host_pause(chance(50000));
        }
        _exit(contents_right(self) ? 0 : CITIZEN_WRONG);
    }
    if (child > 0) {
        waitpid(child, &status, 0);
        if (WIFEXITED(status) && WEXITSTATUS(status) == CITIZEN_WRONG) {
            _exit(CITIZEN_WRONG);
        }
    }
    tally_add("fork", child < 0 ? -errno : 0);
}

/* Only an area of one piece can be moved at once: the others refuse. */
static void
act_remap(struct citizen *self)
{
    size_t bytes = (size_t)PAGES * PAGE_BYTES;
    char *place = ksm_map(PAGES, PROT_NONE);

    if (place == MAP_FAILED) {
        return;
    }

    char *moved = mremap(self->memory, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, place);

    tally_add("mremap", moved == MAP_FAILED ? -errno : 0);
    if (moved == MAP_FAILED) {
        munmap(place, bytes);
    } else {
        self->memory = moved;
    }
}

/* Moves to a node all of it that is its own: what others map, too, stays. */
static void
act_move(struct citizen *self)
{
    unsigned long from = 3;
    unsigned long to = 1UL << chance(2);

    (void)self;
    tally_add("migrate_pages", syscall(SYS_migrate_pages, 0, 64, &from, &to) < 0 ? -errno : 0);
}

static void (*const acts[])(struct citizen *self) = {
    act_write,   act_refill, act_drop,  act_merge, act_merge, act_unmerge, act_freeze, act_thaw,
    act_pageout, act_prctl,  act_group, act_fork,  act_fork,  act_remap,   act_move,
};

static void __attribute__((noreturn)) run_citizen(unsigned int seed)
{
    struct citizen self = {.memory = ksm_map(PAGES, PROT_READ | PROT_WRITE)};

    host_write("/proc/self/oom_score_adj", "0");
    chance_seed(seed);
    if (self.memory == MAP_FAILED) {
        _exit(1);
    }
    fill(&self);
    madvise(self.memory, (size_t)PAGES * PAGE_BYTES, MADV_MERGEABLE);
    while (contents_right(&self)) {
        host_pause(chance(20000));
        acts[chance(sizeof(acts) / sizeof(acts[0]))](&self);
    }
    _exit(CITIZEN_WRONG);
}

pid_t
citizen_start(unsigned int seed, const struct memcg *group)
{
    pid_t pid = fork_mortal();

    if (pid == 0) {
        if (group != NULL) {
            memcg_set(group, "cgroup.procs", "0");
        }
        run_citizen(seed);
    }
    return pid;
}

pid_t
citizen_hog(const struct memcg *group)
{
    pid_t pid = fork_mortal();

    if (pid == 0) {
        host_write("/proc/self/oom_score_adj", "0");
        if (memcg_set(group, "cgroup.procs", "0") != 0) {
            _exit(0);
        }
        for (unsigned int seed = 1000;; seed++) {
            char *memory = ksm_map(MIB_PAGES, PROT_READ | PROT_WRITE);

            if (memory == MAP_FAILED) {
                _exit(0);
            }
            madvise(memory, MIB_BYTES, MADV_MERGEABLE);
            ksm_fill(memory, MIB_PAGES, seed);
        }
    }
    return pid;
}
