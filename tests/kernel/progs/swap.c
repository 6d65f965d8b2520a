/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Merged pages are swappable: a KSM page takes one slot of swap however many processes map it,
 * comes back with the right contents for each of them, and merges again within two scans. The
 * counters say so at each step, on zram and on a disk; swapoff brings all back while the owners
 * live, and a memory limit below what the processes need unmerged costs swapping and not their
 * lives.
 *
 * harness: memory=512M cpus=2 zram=256M disk=256M timeout=300
 */
#include "host.h"
#include "worker.h"

#include "ksm_util.h"
#include "../kselftest.h"

enum {
    WORKERS = 4,
    PAGES = 12 * MIB_PAGES,
    MERGED = PAGES * WORKERS,
    SLACK = WORKERS * 200, /* pages of the processes themselves: stacks, page tables, pipes */
    HELD = 64, /* pages that CPUs hold back, so that they are in the swap cache still when read */
    TRIES = 4,
    SEED = 77,
    SWAP_MIB = 256,
    LIMIT_MIB = PAGES / MIB_PAGES * 2,
};

static long
merged_pages(struct worker *workers)
{
    return workers_smaps_kib(workers, WORKERS, "KSM") / 4;
}

/* The host's own counters, where the kernel has them, agree with smaps. */
static bool
counters_agree(struct worker *workers)
{
    long mapped = ksm_vmstat("nr_ksm_mapped");

    return mapped < 0 || mapped == merged_pages(workers);
}

/* The little that may be left of the group's memory is the processes' own, or it is tried again. */
static bool
swap_all_out(struct memcg *group, struct worker *workers)
{
    for (int i = 0; i < TRIES; i++) {
        memcg_reclaim_to(group, i == 0 ? MIB_BYTES : 0);
        if (workers_smaps_kib(workers, WORKERS, "Swap") / 4 >= MERGED) {
            return true;
        }
    }
    return false;
}

static void
test_one_slot(const char *device, struct memcg *group, struct worker *workers)
{
    ksft_test_result(ksm_scan(2) == 0 && merged_pages(workers) == MERGED && counters_agree(workers),
                     "%s: all pages of all processes merge\n", device);

    long out = ksm_vmstat("pswpout");
    bool swapped = swap_all_out(group, workers);

    out = ksm_vmstat("pswpout") - out;
    ksft_print_msg("%s: %d pages mapped %d times, pswpout %ld\n", device, PAGES, MERGED, out);
    ksft_test_result(swapped && out >= PAGES && out <= PAGES + SLACK,
                     "%s: one slot of swap per KSM page\n", device);
    ksft_test_result(merged_pages(workers) == 0 && counters_agree(workers),
                     "%s: nothing counts as merged while swapped out\n", device);
}

static void
test_read_back(const char *device, struct worker *workers)
{
    long in = ksm_vmstat("pswpin");
    long copies = ksm_vmstat("ksm_swpin_copy");
    long wrong = workers_ask(workers, WORKERS, WORKER_CHECK);

    in = ksm_vmstat("pswpin") - in;
    copies = ksm_vmstat("ksm_swpin_copy") - copies;
    ksft_print_msg("%s: pswpin %ld, ksm_swpin_copy %ld\n", device, in, copies);
    ksft_test_result(wrong == 0, "%s: every process reads its contents back\n", device);
    ksft_test_result(in >= PAGES - HELD && in <= PAGES + SLACK &&
                         copies >= (WORKERS - 1) * (PAGES - HELD) &&
                         copies <= (WORKERS - 1) * PAGES,
                     "%s: read once, copied for every other process\n", device);
    ksft_test_result(counters_agree(workers), "%s: counters hold with ksmd stopped\n", device);
    ksft_test_result(ksm_scan(2) == 0 && merged_pages(workers) == MERGED && counters_agree(workers),
                     "%s: merged again within two scans\n", device);
}

static void
test_swapoff(const char *device, struct memcg *group, struct worker *workers)
{
    bool swapped = swap_all_out(group, workers);
    int status = swap_off(device);

    ksft_test_result(swapped && status == 0 && workers_alive(workers, WORKERS) == WORKERS,
                     "%s: swapoff with the owners alive\n", device);
    ksft_test_result(workers_smaps_kib(workers, WORKERS, "Swap") == 0 &&
                         workers_ask(workers, WORKERS, WORKER_CHECK) == 0 &&
                         counters_agree(workers),
                     "%s: contents after swapoff\n", device);
    swap_on(device, SWAP_MIB);
}

/* All read and write under @limit, which has room for the merged pages and not for their copies. */
static void
test_limit(const char *device, const char *limit, struct memcg *group)
{
    struct worker workers[WORKERS];
    char value[32];

    snprintf(value, sizeof(value), "%dM", LIMIT_MIB);
    if (!workers_start(workers, WORKERS, PAGES, SEED, group)) {
        ksft_test_result_fail("%s: %s: start\n", device, limit);
        return;
    }
    ksm_scan(2);
    memcg_reclaim_to(group, MIB_BYTES);
    memcg_set(group, limit, value);

    long kills = memcg_read(group, "memory.events", "oom_kill");
    long wrong = workers_ask_at_once(workers, WORKERS, WORKER_CHECK);

    wrong += workers_ask_at_once(workers, WORKERS, WORKER_WRITE);
    wrong += workers_ask_at_once(workers, WORKERS, WORKER_CHECK);
    ksft_test_result(wrong == 0 && memcg_read(group, "memory.events", "oom_kill") == kills,
                     "%s: growth against %s swaps, and kills nobody\n", device, limit);
    memcg_set(group, limit, "max");
    workers_end(workers, WORKERS);
}

static void
skip_device(const char *device, int tests)
{
    for (int i = 0; i < tests; i++) {
        ksft_test_result_skip("%s: no such swap device\n", device);
    }
}

static void
test_device(const char *device)
{
    enum { TESTS = 11 };

    struct worker workers[WORKERS];
    struct memcg group;
    int status = swap_on(device, SWAP_MIB);

    if (status != 0) {
        skip_device(device, TESTS);
        return;
    }
    if (!memcg_make(&group, "swap") || !workers_start(workers, WORKERS, PAGES, SEED, &group)) {
        ksft_exit_fail_msg("%s: can't start the processes\n", device);
    }
    test_one_slot(device, &group, workers);
    test_read_back(device, workers);
    test_swapoff(device, &group, workers);
    workers_end(workers, WORKERS);
    test_limit(device, "memory.high", &group);
    test_limit(device, "memory.max", &group);
    memcg_remove(&group);
    swap_off(device);
}

int
main(void)
{
    ksft_print_header();
    ksft_set_plan(22);
    ksm_save();
    test_device("zram");
    test_device("vda");
    ksft_finished();
}
