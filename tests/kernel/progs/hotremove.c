/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Memory that holds merged pages can be taken away under a scanning ksmd: the pages move to other
 * memory, stay merged, and merge with newcomers; the memory comes back and is used again.
 *
 * harness: memory=768M cpus=2 timeout=240 cmdline=movablecore=384M
 */
#include "host.h"
#include "pages.h"
#include "worker.h"

#include <string.h>

#include "ksm_util.h"
#include "../kselftest.h"

enum {
    WORKERS = 3,
    PAGES = 8 * MIB_PAGES,
    SEED = 31,
    TRIES = 5,
};

static unsigned long
block_of(struct worker *worker, size_t page)
{
    unsigned long address = (unsigned long)worker_ask(worker, WORKER_ADDRESS);

    return page_frame(worker->pid, address + page * PAGE_BYTES) * PAGE_BYTES / memory_block_bytes();
}

static long
pages_in_block(struct worker *worker, unsigned long block)
{
    long pages = 0;

    for (size_t i = 0; i < PAGES; i++) {
        pages += block_of(worker, i) == block;
    }
    return pages;
}

/* Some page of the block may be busy for the moment: the kernel answers EBUSY, and one tries again.
 */
static int
take_away(unsigned long block)
{
    int status = -EBUSY;

    for (int i = 0; i < TRIES && status == -EBUSY; i++) {
        status = memory_block_set(block, false);
    }
    return status;
}

static bool
all_merged(struct worker *workers, int count)
{
    return workers_smaps_kib(workers, count, "KSM") / 4 == (long)count * PAGES &&
           workers_ask(workers, count, WORKER_CHECK) == 0;
}

static void
test_remove(struct worker *workers, unsigned long block)
{
    struct worker newcomer;
    long before = pages_in_block(&workers[0], block);

    ksm_start();

    int status = take_away(block);

    ksm_stop();
    ksft_print_msg("block %lu had %ld merged pages: %s\n", block, before, strerror(-status));
    ksft_test_result(status == 0 && before > 0 && pages_in_block(&workers[0], block) == 0,
                     "memory with merged pages goes away\n");
    ksft_test_result(all_merged(workers, WORKERS), "they stay merged\n");

    bool started = worker_start(&newcomer, PAGES, SEED, NULL);

    ksft_test_result(started && ksm_scan(2) == 0 && all_merged(&newcomer, 1) &&
                         ksm_get("pages_shared") == PAGES &&
                         ksm_get("pages_sharing") == WORKERS * PAGES,
                     "a newcomer merges with them\n");
    if (started) {
        workers_end(&newcomer, 1);
    }
    status = memory_block_set(block, true);
    ksft_test_result(status == 0 && ksm_scan(2) == 0 && all_merged(workers, WORKERS),
                     "the memory comes back\n");
}

int
main(void)
{
    struct worker workers[WORKERS];

    ksft_print_header();
    ksft_set_plan(5);
    ksm_save();
    if (memory_block_bytes() == 0) {
        ksft_exit_skip("needs CONFIG_MEMORY_HOTREMOVE\n");
    }
    if (!workers_start(workers, WORKERS, PAGES, SEED, NULL) || ksm_scan(2) != 0) {
        ksft_exit_fail_msg("can't start and merge\n");
    }
    test_remove(workers, block_of(&workers[0], 0));
    ksft_test_result(ksm_unmerge_all() == 0 && workers_smaps_kib(workers, WORKERS, "KSM") == 0 &&
                         workers_ask(workers, WORKERS, WORKER_CHECK) == 0,
                     "all unmerges\n");
    workers_end(workers, WORKERS);
    ksft_finished();
}
