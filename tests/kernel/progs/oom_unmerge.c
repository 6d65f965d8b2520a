/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Undoing all merging may need more memory than there is. The one who asked for it pays: the writer
 * of run=2 (or of -PID to force_madvise, where the kernel has it) gets an error or is killed; the
 * merged processes live with their contents, whether the host or only their memory cgroup is full;
 * and run does not say 2 while pages are merged.
 *
 * harness: memory=384M cpus=2 timeout=300
 */
#define _GNU_SOURCE

#include "host.h"
#include "worker.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ksm_util.h"
#include "../kselftest.h"

#define KSM_DIR "/sys/kernel/mm/ksm/"

enum {
    WORKERS = 10,
    PAGES = 40 * MIB_PAGES,
    MERGED = WORKERS * PAGES,
    SEED = 5,
    /* What there is for the (WORKERS - 1) * PAGES of unmerging. */
    LIMIT_MIB = PAGES / MIB_PAGES * 3,
    KILLED = -EINTR,
};

/* Takes what the host has available above LIMIT_MIB, for the caller to unmap; of *size_bytes. */
static void *
take_ballast(size_t *size_bytes)
{
    long spare_kib = host_read("/proc/meminfo", "MemAvailable") - LIMIT_MIB * 1024L;
    void *ballast;

    *size_bytes = spare_kib > 0 ? (size_t)spare_kib * 1024 : PAGE_BYTES;
    ballast = mmap(NULL, *size_bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return ballast != MAP_FAILED ? ballast : NULL;
}

/* What became of a write by a process that may be killed for it: 0, -errno, or KILLED. */
static int
write_in_child(const char *path, long number)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        host_write("/proc/self/oom_score_adj", "0");
        _exit(-host_write(path, "%ld", number));
    }
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? KILLED : -WEXITSTATUS(status);
}

/* They come one by one, since together they don't fit before they are merged. */
static bool
start_merged(struct worker *workers, struct memcg *group)
{
    for (int i = 0; i < WORKERS; i++) {
        if (!worker_start(&workers[i], PAGES, SEED, group)) {
            workers_end(workers, i);
            return false;
        }
        if (i > 0 && ksm_scan(2) != 0) {
            workers_end(workers, i + 1);
            return false;
        }
    }
    return workers_smaps_kib(workers, WORKERS, "KSM") / 4 == MERGED;
}

static void
judge(const char *what, struct worker *workers, int status)
{
    long kib = workers_smaps_kib(workers, WORKERS, "KSM");
    int alive = workers_alive(workers, WORKERS);

    ksft_print_msg("%s: write gives %d (%s), run %ld, %d of %d alive, %ld kB merged, %ld kB free\n",
                   what, status, status == KILLED ? "killed" : strerror(-status), ksm_get("run"),
                   alive, WORKERS, kib, host_read("/proc/meminfo", "MemFree"));
    ksft_test_result(status < 0, "%s: the writer gets an error or dies\n", what);
    ksft_test_result(alive == WORKERS, "%s: every merged process lives\n", what);
    ksft_test_result(ksm_get("run") != 2 || kib == 0, "%s: run says the truth\n", what);
    workers_ask(workers, WORKERS, WORKER_MERGE);
    ksft_test_result(ksm_scan(3) == 0 && workers_ask(workers, WORKERS, WORKER_CHECK) == 0 &&
                         workers_smaps_kib(workers, WORKERS, "KSM") / 4 >= MERGED,
                     "%s: contents, and all merges again\n", what);
}

static void
test_full(const char *what, const char *path, bool by_pid, struct memcg *group)
{
    struct worker workers[WORKERS];
    size_t ballast_bytes = 0;
    void *ballast = NULL;
    char limit[32];

    if (!ksm_has_file(path)) {
        for (int i = 0; i < 4; i++) {
            ksft_test_result_skip("%s: no %s\n", what, path);
        }
        return;
    }
    if (!start_merged(workers, group)) {
        ksft_exit_fail_msg("%s: can't start and merge\n", what);
    }
    if (group != NULL) {
        snprintf(limit, sizeof(limit), "%dM", LIMIT_MIB);
        memcg_set(group, "memory.max", limit);
    } else {
        ballast = take_ballast(&ballast_bytes);
        if (ballast == NULL) {
            ksft_exit_fail_msg("%s: can't fill the host\n", what);
        }
    }

    int status = 0;

    for (int i = 0; i < (by_pid ? WORKERS : 0) && status == 0; i++) {
        status = write_in_child(path, workers[i].pid);
    }
    ksm_set("run", by_pid ? 0 : 1);
    for (int i = 0; i < (by_pid ? WORKERS : 1) && status == 0; i++) {
        status = write_in_child(path, by_pid ? -(long)workers[i].pid : 2);
    }
    if (ballast != NULL) {
        munmap(ballast, ballast_bytes);
    }
    judge(what, workers, status);
    workers_end(workers, WORKERS);
    if (group != NULL) {
        memcg_set(group, "memory.max", "max");
    }
    ksm_unmerge_all();
}

int
main(void)
{
    struct memcg group;

    ksft_print_header();
    ksft_set_plan(16);
    ksm_save();
    host_write("/proc/self/oom_score_adj", "-1000");
    if (!memcg_make(&group, "oom")) {
        ksft_exit_skip("no memory cgroups\n");
    }
    test_full("host full, run=2", KSM_DIR "run", false, NULL);
    test_full("cgroup full, run=2", KSM_DIR "run", false, &group);
    test_full("host full, force_madvise", KSM_DIR "force_madvise", true, NULL);
    test_full("cgroup full, force_madvise", KSM_DIR "force_madvise", true, &group);
    memcg_remove(&group);
    ksft_finished();
}
