/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * ksmd, one pass at a time; see ksmd.h.
 */
#define _GNU_SOURCE

#include "ksmd.h"

#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#include "ksm_util.h"

enum {
    SLEEP_MSEC = 500000,
    PASS_LIMIT_MSEC = 400000,
    /* A look takes the CPU from ksmd where there is one CPU: few of them. */
    LOOK_USEC = 20000,
    /* When a pass is counted, ksmd is on its way to sleep. */
    SETTLE_USEC = 10000,
};

#define BATCH_PAGES 4000000000

static char schedstat[PATH_LENGTH];
static long sleep_msec = SLEEP_MSEC;

static void
give_up(const char *what)
{
    printf("failed %s\n", what);
    exit(EXIT_FAILURE);
}

void
ksmd_open(void)
{
    pid_t ksmd = ksm_find_ksmd();

    if (ksmd == 0) {
        give_up("to find ksmd");
    }
    snprintf(schedstat, sizeof(schedstat), "/proc/%d/schedstat", ksmd);
    if (host_read(schedstat, NULL) < 0 || ksm_unmerge_all() != 0 || ksm_stop() != 0 ||
        ksm_set("smart_scan", 0) != 0 || ksm_set("pages_to_scan", BATCH_PAGES) != 0) {
        give_up("to set ksmd up");
    }
}

void
ksmd_look(struct ksmd_state *state)
{
    state->cpu_nsec = host_read(schedstat, NULL);
    state->scanned_pages = ksm_get("pages_scanned");
    state->shared_pages = ksm_get("pages_shared");
    state->sharing_pages = ksm_get("pages_sharing");
    state->unshared_pages = ksm_get("pages_unshared");
    state->zero_pages = ksm_get("ksm_zero_pages");
    state->unwritten_pages = ksm_get("pages_unwritten");
}

void
ksmd_kick(void)
{
    ksm_set("sleep_millisecs", ++sleep_msec);
    ksm_set("run", 1);
}

void
ksmd_pass(void)
{
    long scans = ksm_get("full_scans");
    long deadline = host_msec() + PASS_LIMIT_MSEC;

    ksmd_kick();
    while (ksm_get("full_scans") == scans) {
        if (host_msec() > deadline) {
            give_up("to see the end of a pass");
        }
        host_pause(LOOK_USEC);
    }
    host_pause(SETTLE_USEC);
}

void
ksmd_report(const char *word, const struct ksmd_state *before)
{
    struct ksmd_state now;

    ksmd_look(&now);
    printf("%s nsec %ld scanned %ld shared %ld sharing %ld unshared %ld zero %ld unwritten %ld\n",
           word, now.cpu_nsec - before->cpu_nsec, now.scanned_pages - before->scanned_pages,
           now.shared_pages, now.sharing_pages, now.unshared_pages, now.zero_pages,
           now.unwritten_pages);
    fflush(stdout);
}
