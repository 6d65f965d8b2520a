/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The OOM killer and highly merged processes, beside a scanning ksmd. One that is marked as the
 * first to die dies, and the others keep their merged pages and contents; ksmd collects what it
 * leaves. And one that is not marked is spared where its death would free next to nothing: the hog
 * dies.
 *
 * harness: memory=384M cpus=2 timeout=300
 */
#include "host.h"
#include "worker.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ksm_util.h"
#include "../kselftest.h"

enum {
    WORKERS = 4,
    PAGES = 80 * MIB_PAGES,
    SEED = 51,
    HOG_PAGES = 1024 * MIB_PAGES,
};

/* Takes memory till it is killed, by the kernel or by us. */
static pid_t
start_hog(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        host_write("/proc/self/oom_score_adj", "0");

        char *memory = mmap(NULL, (size_t)HOG_PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        for (size_t i = 0; memory != MAP_FAILED && i < HOG_PAGES; i++) {
            memory[i * PAGE_BYTES] = 1;
        }
        _exit(0);
    }
    return pid;
}

/* They come one by one, since together they don't fit before they are merged. */
static bool
start_merged(struct worker *workers)
{
    for (int i = 0; i < WORKERS; i++) {
        if (!worker_start(&workers[i], PAGES, SEED, NULL) || (i > 0 && ksm_scan(2) != 0)) {
            return false;
        }
    }
    return workers_smaps_kib(workers, WORKERS, "KSM") / 4 == WORKERS * PAGES;
}

static bool
survivors_whole(struct worker *workers, int count)
{
    return ksm_scan(2) == 0 && workers_alive(workers, count) == count &&
           workers_ask(workers, count, WORKER_CHECK) == 0 &&
           workers_smaps_kib(workers, count, "KSM") / 4 == (long)count * PAGES;
}

static void
test_spared(struct worker *workers)
{
    int status;

    ksm_start();

    pid_t hog = start_hog();

    waitpid(hog, &status, 0);
    ksft_print_msg("%d of %d merged processes live, the hog was%s killed\n",
                   workers_alive(workers, WORKERS), WORKERS, WIFSIGNALED(status) ? "" : " not");
    ksft_test_result(WIFSIGNALED(status) && workers_alive(workers, WORKERS) == WORKERS,
                     "merged processes are spared, the hog dies\n");
    ksft_test_result(survivors_whole(workers, WORKERS), "merged processes are whole\n");
}

static void
test_marked(void)
{
    struct worker workers[WORKERS];
    char path[PATH_LENGTH];

    if (!start_merged(workers)) {
        ksft_exit_fail_msg("can't start and merge\n");
    }
    snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", workers[0].pid);
    host_write(path, "1000");
    for (int i = 1; i < WORKERS; i++) {
        snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", workers[i].pid);
        host_write(path, "-1000");
    }
    ksm_start();

    pid_t hog = start_hog();
    siginfo_t info = {0};

    waitid(P_PID, (id_t)workers[0].pid, &info, WEXITED | WNOWAIT);
    kill(hog, SIGKILL);
    waitpid(hog, NULL, 0);
    ksft_test_result(info.si_status == SIGKILL,
                     "the marked one is killed beside a scanning ksmd\n");
    ksft_test_result(survivors_whole(&workers[1], WORKERS - 1), "the others are whole\n");
    ksft_test_result(ksm_get("pages_shared") == PAGES &&
                         ksm_get("pages_sharing") == (WORKERS - 2) * PAGES,
                     "ksmd has collected what it left\n");
    workers_end(workers, WORKERS);
}

int
main(void)
{
    struct worker workers[WORKERS];

    ksft_print_header();
    ksft_set_plan(5);
    ksm_save();
    host_write("/proc/self/oom_score_adj", "-1000");
    test_marked();
    ksm_scan(2);
    if (!start_merged(workers)) {
        ksft_exit_fail_msg("can't start and merge\n");
    }
    test_spared(workers);
    workers_end(workers, WORKERS);
    ksft_finished();
}
