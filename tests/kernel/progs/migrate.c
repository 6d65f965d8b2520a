/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Merged pages can be moved, with all who map them: to another node by move_pages(2), where with
 * merge_across_nodes=0 ksmd then finds them for the processes of that node; and by compaction. They
 * stay merged, their contents stay the same.
 *
 * harness: memory=512M cpus=2 nodes=2 timeout=240
 */
#include "host.h"
#include "pages.h"
#include "worker.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ksm_util.h"
#include "../kselftest.h"

enum {
    WORKERS = 3,
    PAGES = 4 * MIB_PAGES,
    SEED = 11,
    HOG_PAGES = 150 * MIB_PAGES,
    COMPACTIONS = 5,
};

static bool
all_merged(struct worker *workers, int count)
{
    return workers_smaps_kib(workers, count, "KSM") / 4 == (long)count * PAGES &&
           workers_ask(workers, count, WORKER_CHECK) == 0;
}

static void
test_move(struct worker *workers)
{
    unsigned long address = (unsigned long)worker_ask(&workers[0], WORKER_ADDRESS);

    ksft_test_result(ksm_scan(2) == 0 && all_merged(workers, WORKERS), "processes merge\n");
    for (int node = 1; node >= 0; node--) {
        long there = pages_move(workers[0].pid, address, PAGES, node);

        ksft_print_msg("%ld of %d pages on node %d\n", there, PAGES, node);
        ksft_test_result(there == PAGES && all_merged(workers, WORKERS),
                         "move_pages to node %d, merged all the time\n", node);
    }
    ksft_test_result(ksm_scan(2) == 0 && ksm_get("pages_shared") == PAGES &&
                         ksm_get("pages_sharing") == (WORKERS - 1) * PAGES,
                     "ksmd counts the same pages after that\n");
}

/* With a tree per node: pages that were moved to a node belong to the tree of that node. */
static void
test_trees(void)
{
    struct worker workers[WORKERS];
    int status = ksm_set("run", 2);

    status = status == 0 ? ksm_set("merge_across_nodes", 0) : status;
    pages_bind(0);

    bool started = status == 0 && workers_start(workers, 2, PAGES, SEED, NULL);

    if (!started) {
        ksft_exit_fail_msg("trees by node: can't start (%d)\n", status);
    }
    ksm_scan(2);

    unsigned long address = (unsigned long)worker_ask(&workers[0], WORKER_ADDRESS);
    long there = pages_move(workers[0].pid, address, PAGES, 1);

    pages_bind(1);
    started = worker_start(&workers[2], PAGES, SEED, NULL);
    ksm_scan(3);
    ksft_test_result(started && there == PAGES && all_merged(workers, 3) &&
                         ksm_get("pages_shared") == PAGES,
                     "moved pages merge with those of their new node\n");
    workers_end(&workers[2], 1);
    pages_bind(0);
    started = worker_start(&workers[2], PAGES, SEED, NULL);
    ksm_scan(3);
    ksft_test_result(started && workers_smaps_kib(&workers[2], 1, "KSM") == 0 &&
                         all_merged(workers, 2),
                     "and not with those of the old one\n");
    workers_end(workers, 3);
    pages_bind(-1);
    ksm_set("run", 2);
    ksm_set("merge_across_nodes", 1);
}

/* Memory with holes all over; the child holds it till it is killed. */
static pid_t
start_hog(void)
{
    char byte = 0;
    int ready[2];

    if (pipe(ready) != 0) {
        return -1;
    }

    pid_t pid = fork();

    if (pid == 0) {
        char *memory = ksm_map(HOG_PAGES, PROT_READ | PROT_WRITE);

        for (size_t i = 0; i < HOG_PAGES; i++) {
            memory[i * PAGE_BYTES] = 1;
        }
        for (size_t i = 0; i < HOG_PAGES; i += 2) {
            madvise(memory + i * PAGE_BYTES, PAGE_BYTES, MADV_DONTNEED);
        }
        byte = (char)write(ready[1], &byte, 1);
        pause();
        _exit(byte);
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1) {
        pid = -1;
    }
    close(ready[0]);
    return pid;
}

/* How many merged pages compaction moves, or -1 when some are not merged after that. */
static long
compact(void)
{
    struct worker workers[WORKERS];
    unsigned long frames[PAGES];
    pid_t hog = start_hog();
    long moved = 0;

    if (hog < 0 || !workers_start(workers, WORKERS, PAGES, SEED, NULL) || ksm_scan(2) != 0) {
        ksft_exit_fail_msg("compaction: can't start and merge\n");
    }

    unsigned long address = (unsigned long)worker_ask(&workers[0], WORKER_ADDRESS);

    for (size_t i = 0; i < PAGES; i++) {
        frames[i] = page_frame(workers[0].pid, address + i * PAGE_BYTES);
    }
    kill(hog, SIGKILL);
    waitpid(hog, NULL, 0);
    ksm_start();
    host_write("/proc/sys/vm/compact_memory", "1");
    ksm_stop();
    for (size_t i = 0; i < PAGES; i++) {
        moved += frames[i] != page_frame(workers[0].pid, address + i * PAGE_BYTES);
    }
    if (!all_merged(workers, WORKERS)) {
        moved = -1;
    }
    workers_end(workers, WORKERS);
    return moved;
}

/* Where the pages lie is chance: those that are at the end already have nowhere to be moved to. */
static void
test_compaction(void)
{
    long moved = 0;

    for (int i = 0; i < COMPACTIONS && moved == 0; i++) {
        moved = compact();
        ksft_print_msg("compaction moved %ld of %d merged pages\n", moved, PAGES);
    }
    ksft_test_result(moved > 0, "compaction moves merged pages, beside a scanning ksmd\n");
}

int
main(void)
{
    struct worker workers[WORKERS];

    ksft_print_header();
    ksft_set_plan(7);
    ksm_save();
    if (!ksm_has_file("merge_across_nodes") ||
        access("/sys/devices/system/node/node1", F_OK) != 0) {
        ksft_exit_skip("needs two nodes\n");
    }
    if (!workers_start(workers, WORKERS, PAGES, SEED, NULL)) {
        ksft_exit_fail_msg("can't start the processes\n");
    }
    test_move(workers);
    workers_end(workers, WORKERS);
    test_trees();
    test_compaction();
    ksft_finished();
}
