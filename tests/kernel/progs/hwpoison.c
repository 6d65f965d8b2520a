/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A merged page in a bad frame. Soft offlining (the frame is about to go bad) moves it, and nobody
 * notices. A hard error loses its contents for everybody who maps it: each of them gets SIGBUS when
 * it reads that page, and only for that page, or at once where early kill is asked for. Others with
 * the same contents, not merged yet, never see it, and ksmd goes on.
 *
 * harness: memory=512M cpus=2 timeout=180
 */
#include "host.h"
#include "pages.h"
#include "worker.h"

#include <sys/wait.h>
#include <unistd.h>

#include "ksm_util.h"
#include "../kselftest.h"

#define SOFT_FILE  "/sys/devices/system/memory/soft_offline_page"
#define HARD_FILE  "/sys/devices/system/memory/hard_offline_page"
#define EARLY_FILE "/proc/sys/vm/memory_failure_early_kill"

enum {
    WORKERS = 3,
    PAGES = 64,
    BAD_PAGE = 7,
    SEED = 23,
};

static unsigned long
bad_frame(struct worker *worker)
{
    unsigned long address = (unsigned long)worker_ask(worker, WORKER_ADDRESS);

    return page_frame(worker->pid, address + BAD_PAGE * PAGE_BYTES);
}

static int
offline_frame(const char *file, unsigned long frame)
{
    return host_write(file, "0x%lx", frame * PAGE_BYTES);
}

static void
test_soft(struct worker *workers)
{
    unsigned long frame = bad_frame(&workers[0]);
    int status = offline_frame(SOFT_FILE, frame);
    unsigned long after = bad_frame(&workers[0]);

    ksft_test_result(status == 0 && after != frame && after == bad_frame(&workers[1]) &&
                         workers_ask(workers, WORKERS, WORKER_CHECK) == 0 &&
                         workers_smaps_kib(workers, WORKERS, "KSM") / 4 == WORKERS * PAGES,
                     "soft offline moves the page for all who map it\n");
}

static void
test_hard(struct worker *workers)
{
    int status = offline_frame(HARD_FILE, bad_frame(&workers[0]));
    bool each = true;

    for (int i = 0; i < WORKERS; i++) {
        each = each && worker_ask(&workers[i], WORKER_POISONED) == 1;
    }
    ksft_test_result(status == 0 && each,
                     "hard error: everyone who maps the page gets SIGBUS, for that page\n");
    ksft_test_result(workers_alive(workers, WORKERS) == WORKERS &&
                         workers_ask(workers, WORKERS, WORKER_CHECK_READABLE) == 0,
                     "and keeps the contents of the others\n");
}

/* A newcomer with the contents that were lost, beside those whose page is poisoned. */
static void
test_newcomer(struct worker *workers)
{
    struct worker newcomers[2];
    bool started = workers_start(newcomers, 2, PAGES, SEED, NULL);

    ksft_test_result(
        started && ksm_scan(3) == 0 && workers_smaps_kib(newcomers, 2, "KSM") / 4 == 2 * PAGES &&
            workers_ask(newcomers, 2, WORKER_CHECK) == 0,
        "new processes merge among themselves what was lost, and with others the rest\n");
    ksft_test_result(workers_ask(workers, WORKERS, WORKER_CHECK_READABLE) == 0 &&
                         ksm_unmerge_all() == 0 && workers_ask(newcomers, 2, WORKER_CHECK) == 0 &&
                         workers_ask(workers, WORKERS, WORKER_POISONED) == WORKERS,
                     "unmerging leaves the bad page alone\n");
    workers_end(newcomers, 2);
}

static bool
killed_by(struct worker *worker, int signal)
{
    for (int i = 0; i < 2000; i++) {
        siginfo_t info = {0};

        if (waitid(P_PID, (id_t)worker->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            info.si_pid != 0) {
            return info.si_status == signal;
        }
        host_pause(5000);
    }
    return false;
}

static void
test_early(void)
{
    struct worker workers[WORKERS];
    struct worker other;
    bool told = true;

    if (!workers_start(workers, WORKERS, PAGES, SEED, NULL) ||
        !worker_start(&other, PAGES, SEED + 1, NULL) || ksm_scan(2) != 0 ||
        host_write(EARLY_FILE, "1") != 0) {
        ksft_exit_fail_msg("early kill: can't start and merge\n");
    }

    int status = offline_frame(HARD_FILE, bad_frame(&workers[0]));

    for (int i = 0; i < WORKERS; i++) {
        told = told && killed_by(&workers[i], SIGBUS);
    }
    host_write(EARLY_FILE, "0");
    ksft_test_result(status == 0 && told,
                     "early kill: everyone who maps the page is told at once\n");
    ksft_test_result(worker_ask(&other, WORKER_CHECK) == 0, "and nobody else\n");
    workers_end(workers, WORKERS);
    ksm_scan(2);
    ksft_test_result(ksm_get("pages_shared") == 0 && ksm_get("pages_sharing") == 0,
                     "no merged page is left in the counters\n");
    workers_end(&other, 1);
}

int
main(void)
{
    struct worker workers[WORKERS];

    ksft_print_header();
    ksft_set_plan(8);
    ksm_save();
    if (access(SOFT_FILE, F_OK) != 0 || access(EARLY_FILE, F_OK) != 0) {
        ksft_exit_skip("needs CONFIG_MEMORY_FAILURE\n");
    }
    if (!workers_start(workers, WORKERS, PAGES, SEED, NULL) || ksm_scan(2) != 0) {
        ksft_exit_fail_msg("can't start and merge\n");
    }
    test_soft(workers);
    test_hard(workers);
    test_newcomer(workers);
    workers_end(workers, WORKERS);
    test_early();
    ksft_finished();
}
