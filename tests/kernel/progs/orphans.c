/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What processes leave behind of merged pages is collected by one pass of ksmd: when they are
 * killed, when they drop the memory, when they overwrite it, and when the pages formed chains.
 *
 * harness: memory=512M cpus=2 timeout=180
 */
#include "host.h"
#include "worker.h"

#include "ksm_util.h"
#include "../kselftest.h"

enum {
    WORKERS = 6,
    PAGES = 4 * MIB_PAGES,
    SEED = 41,
};

static const char *const counters[] = {"pages_shared", "pages_sharing", "stable_node_chains",
                                       "stable_node_dups"};

/* One pass of ksmd from its beginning to its end: the one under way does not count. */
static bool
one_pass_clears(void)
{
    bool zero = ksm_scan(1) == 0;

    for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
        long left = ksm_get(counters[i]);

        if (left != 0) {
            ksft_print_msg("%s is %ld\n", counters[i], left);
        }
        zero = zero && left == 0;
    }
    return zero;
}

static bool
start_merged(struct worker *workers)
{
    return workers_start(workers, WORKERS, PAGES, SEED, NULL) && ksm_scan(2) == 0 &&
           ksm_get("pages_shared") >= PAGES &&
           workers_smaps_kib(workers, WORKERS, "KSM") / 4 == WORKERS * PAGES;
}

static void
test_loss(const char *what, enum worker_verb verb)
{
    struct worker workers[WORKERS];

    if (!start_merged(workers)) {
        ksft_exit_fail_msg("%s: can't start and merge\n", what);
    }
    if (verb == WORKER_CHECK) {
        workers_end(workers, WORKERS);
    } else {
        workers_ask(workers, WORKERS, verb);
    }
    ksft_test_result(one_pass_clears(), "%s: one pass collects all\n", what);
    if (verb != WORKER_CHECK) {
        workers_end(workers, WORKERS);
        ksm_scan(2);
    }
}

int
main(void)
{
    struct worker bystander;

    ksft_print_header();
    ksft_set_plan(5);
    ksm_save();
    /* A pass needs somebody to scan. */
    if (!worker_start(&bystander, PAGES, SEED + 1, NULL)) {
        ksft_exit_fail_msg("can't start the bystander\n");
    }
    test_loss("killed", WORKER_CHECK);
    test_loss("dropped", WORKER_DROP);
    test_loss("unmerged", WORKER_UNMERGE);
    ksm_set("run", 2);
    ksm_set("max_page_sharing", 2);
    test_loss("killed, in chains", WORKER_CHECK);
    ksm_set("run", 2);
    ksm_set("max_page_sharing", 256);
    ksft_test_result(worker_ask(&bystander, WORKER_CHECK) == 0, "a bystander keeps its contents\n");
    workers_end(&bystander, 1);
    ksft_finished();
}
