/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What ksmd spends per pass on memory of a certain kind, in time of its CPU. One case and one
 * machine:
 *
 *     ksmbench CASE PAGES PASSES [KNOB=VALUE...]
 *
 * PASSES passes are made one by one over PAGES pages. A KNOB is a file of ksmd's folder; one behind
 * a @ is written only before the new process of the case "fresh" starts. The output is lines of the
 * form "WORD KEY NUMBER KEY NUMBER ...", the last one is "done". A kernel without a knob ends with
 * "absent KNOB" and the exit status of a skipped test. With KSMBENCH_HUGE in the environment memory
 * is of huge pages; with KSMBENCH_CONTEND each process wants its own mmap_lock all the time, from
 * when ksmd gets its memory.
 */
#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "content.h"
#include "crowd.h"
#include "host.h"
#include "ksmd.h"

#include "ksm_util.h"

#define KNOBS "/sys/kernel/mm/ksm/"

enum {
    STATUS_SKIP = 4,
    VERIFY_PERMYRIAD = 2000,
    /* How long ksmd may take to see a new process without being told. */
    FRESH_QUIET_MSEC = 1500,
    FRESH_LIMIT_MSEC = 400000,
    FRESH_LOOK_USEC = 2000,
    /* Of a hundred pages that are known this many are to be merged. */
    FRESH_ENOUGH_PERCENT = 99,
};

struct bench_case {
    const char *name;
    enum content_kind kind;
    bool scattered;
    unsigned int touch_permyriad;
    void (*run)(const struct bench_case *bench, struct crowd *crowd, unsigned int passes);
};

static char **knobs;

static void __attribute__((noreturn)) give_up(const char *what)
{
    printf("failed %s\n", what);
    exit(EXIT_FAILURE);
}

static void
need(bool fine, const char *what)
{
    if (!fine) {
        give_up(what);
    }
}

/* Writes the knobs that are @late ones, or those that are not. */
static void
set_knobs(bool late)
{
    for (char **knob = knobs; *knob != NULL; knob++) {
        char path[PATH_LENGTH];
        const char *name = *knob + (**knob == '@');
        const char *value = strchr(name, '=');

        need(value != NULL, "to understand a knob");
        snprintf(path, sizeof(path), KNOBS "%.*s", (int)(value - name), name);
        if (access(path, W_OK) != 0) {
            printf("absent %.*s\n", (int)(value - name), name);
            exit(STATUS_SKIP);
        }
        if ((**knob == '@') == late) {
            need(host_write(path, "%s", value + 1) == 0, "to write a knob");
        }
    }
}

static void
fill(struct crowd *crowd, bool scattered)
{
    need(crowd_populate(crowd, scattered), "to place pages");
    need(crowd_fill(crowd), "to fill pages");
}

/* What the kernel took for itself: what is free says less, for lists of each CPU hide changes. */
static long
kernel_kib(void)
{
    return host_read("/proc/meminfo", "Slab") + host_read("/proc/meminfo", "VmallocUsed");
}

static void
run_passes(const struct bench_case *bench, struct crowd *crowd, unsigned int passes)
{
    fill(crowd, bench->scattered);
    need(crowd_advise(crowd), "madvise");

    long before_kib = kernel_kib();

    for (unsigned int i = 1; i <= passes; i++) {
        struct ksmd_state before;

        if (bench->touch_permyriad > 0) {
            need(crowd_touch(crowd, i, bench->touch_permyriad), "to write pages");
        }
        ksmd_look(&before);
        ksmd_pass();
        ksmd_report("pass", &before);
    }
    printf("memory used_kib %ld\n", kernel_kib() - before_kib);
}

/* Random pages get other contents between passes, and all must have theirs in the end of each. */
static void
run_verify(const struct bench_case *bench, struct crowd *crowd, unsigned int passes)
{
    long wrong = 0;

    need(crowd_populate(crowd, bench->scattered), "to place pages");
    need(crowd_rewrite(crowd, 0, 0), "to fill pages");
    need(crowd_advise(crowd), "madvise");
    for (unsigned int i = 1; i <= passes; i++) {
        struct ksmd_state before;

        ksmd_look(&before);
        ksmd_kick();
        need(crowd_rewrite(crowd, i, VERIFY_PERMYRIAD), "to write pages");
        ksmd_pass();

        long now = crowd_count_wrong(crowd);

        need(now >= 0, "to check pages");
        wrong += now;
        ksmd_report("round", &before);
    }
    printf("verify wrong %ld\n", wrong);
}

/* Waits till so many pages are shared, without waking ksmd; false when it makes no haste by itself.
 */
static bool
await_sharing(long pages, long limit_msec)
{
    long deadline = host_msec() + limit_msec;

    while (ksm_get("pages_sharing") < pages) {
        if (host_msec() > deadline) {
            return false;
        }
        host_pause(FRESH_LOOK_USEC);
    }
    return true;
}

/* Passes till so many pages are shared; one that is under way may be the last. */
static bool
pass_till_sharing(long pages)
{
    long deadline = host_msec() + FRESH_LIMIT_MSEC;

    while (!await_sharing(pages, 0)) {
        long scans = ksm_get("full_scans");

        ksmd_kick();
        while (ksm_get("full_scans") == scans && !await_sharing(pages, 0)) {
            if (host_msec() > deadline) {
                return false;
            }
            host_pause(FRESH_LOOK_USEC);
        }
    }
    return true;
}

/* A new process with pages that two others share already, beside all those that are nobody else's.
 */
static void
run_fresh(const struct bench_case *bench, struct crowd *crowd, unsigned int passes)
{
    struct crowd fresh;
    struct ksmd_state before;

    need(crowd->pages >= 4 * (size_t)CONTENT_KNOWN_PAGES, "to have few known pages");
    fill(crowd, bench->scattered);
    need(crowd_advise(crowd), "madvise");
    for (unsigned int i = 1; i <= passes; i++) {
        ksmd_pass();
    }
    set_knobs(true);
    need(crowd_start(&fresh, CONTENT_UNIQUE, CONTENT_KNOWN_PAGES), "to start a process");
    fill(&fresh, false);
    ksmd_look(&before);

    long wanted = before.sharing_pages + CONTENT_KNOWN_PAGES * FRESH_ENOUGH_PERCENT / 100;

    need(before.sharing_pages >= CONTENT_KNOWN_PAGES * FRESH_ENOUGH_PERCENT / 100,
         "to have merged pages");
    need(crowd_advise(&fresh), "madvise");
    need(await_sharing(wanted, FRESH_QUIET_MSEC) || pass_till_sharing(wanted),
         "to see the new process merged");
    ksmd_report("fresh", &before);
    ksmd_look(&before);
    ksmd_pass();
    ksmd_pass();
    ksmd_report("settled", &before);
    crowd_end(&fresh);
}

static const struct bench_case cases[] = {
    {"unique", CONTENT_UNIQUE, false, 0, run_passes},
    {"scattered", CONTENT_UNIQUE, true, 0, run_passes},
    {"prefix", CONTENT_PREFIX, false, 0, run_passes},
    {"near", CONTENT_NEAR, false, 0, run_passes},
    {"pairs", CONTENT_PAIRS, false, 0, run_passes},
    {"multi", CONTENT_MULTI, false, 0, run_passes},
    {"mixed", CONTENT_MIXED, false, 0, run_passes},
    {"few", CONTENT_FEW, false, 0, run_passes},
    {"written-10", CONTENT_UNIQUE, false, 1000, run_passes},
    {"written-100", CONTENT_UNIQUE, false, 10000, run_passes},
    {"fresh", CONTENT_KNOWN, false, 0, run_fresh},
    {"verify", CONTENT_UNIQUE, false, 0, run_verify},
};

static const struct bench_case *
find_case(const char *name)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (strcmp(cases[i].name, name) == 0) {
            return &cases[i];
        }
    }
    return NULL;
}

int
main(int argc, char **argv)
{
    const struct bench_case *bench = argc < 4 ? NULL : find_case(argv[1]);
    struct crowd crowd;

    if (bench == NULL) {
        fputs("usage: ksmbench CASE PAGES PASSES [KNOB=VALUE...]\n", stderr);
        return 2;
    }
    knobs = argv + 4;
    ksmd_open();
    set_knobs(false);
    need(crowd_start(&crowd, bench->kind, strtoul(argv[2], NULL, 10)), "to start processes");
    bench->run(bench, &crowd, (unsigned int)strtoul(argv[3], NULL, 10));
    printf("done\n");
    crowd_end(&crowd);
    return 0;
}
