/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The counters after all is gone; see leftover.h.
 */
#include "leftover.h"

#include "worker.h"

#include <sys/wait.h>

#include "ksm_util.h"

enum { PAGES = 64, SEED = 999 };

const char *
leftover(long *value)
{
    static const char *const knobs[] = {"pages_shared", "pages_sharing", "stable_node_chains",
                                        "stable_node_dups"};
    static const char *const stats[] = {"nr_ksm_pages", "nr_ksm_mapped"};
    struct worker bystander;

    *value = 0;
    while (wait(NULL) > 0) {
    }
    if (!worker_start(&bystander, PAGES, SEED, NULL)) {
        return "bystander";
    }

    /* What is stale goes when a search meets it, and searches begin at the second look. */
    int status = ksm_scan(2);

    workers_end(&bystander, 1);
    if (status != 0) {
        return "full_scans";
    }
    for (size_t i = 0; i < sizeof(knobs) / sizeof(knobs[0]); i++) {
        *value = ksm_get(knobs[i]);
        if (*value > 0) {
            return knobs[i];
        }
    }
    for (size_t i = 0; i < sizeof(stats) / sizeof(stats[0]); i++) {
        *value = ksm_vmstat(stats[i]);
        if (*value > 0) {
            return stats[i];
        }
    }
    *value = ksm_get("ksm_zero_pages");
    if (*value > 0) {
        return "ksm_zero_pages";
    }
    *value = 0;
    return NULL;
}
