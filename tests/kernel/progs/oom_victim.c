/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The OOM killer and highly merged processes, beside a scanning ksmd. One that is marked as the
 * first to die dies, and the others keep their merged pages and contents; ksmd collects what it
 * leaves. And one that is not marked is spared where its death would free next to nothing: the hog
 * dies. The argument is how many of these there are.
 *
 * harness: memory=256M cpus=2 timeout=400 args=3 long=1
 */
#include "host.h"
#include "worker.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
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
    FAT_MAX = 8,
    CHUNKS = 30, /* of a fat process, which is larger then than the machine's memory */
    CHUNK = 8 * MIB_PAGES,
    CONTENTS = 16,
    WAIT_MSEC = 60 * 1000,
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

/* Waits till all of @memory is merged. */
static bool
wait_merged(const char *memory)
{
    long end = host_msec() + WAIT_MSEC;

    while (ksm_smaps_kib(getpid(), memory, "KSM") / 4 < CHUNK) {
        if (host_msec() > end) {
            return false;
        }
        host_pause(10000);
    }
    return true;
}

static void __attribute__((noreturn)) run_fat(int ready_fd)
{
    char byte = 0;

    host_write("/proc/self/oom_score_adj", "0");
    for (int i = 0; i < CHUNKS; i++) {
        char *memory = ksm_map(CHUNK, PROT_READ | PROT_WRITE);

        if (memory == MAP_FAILED || madvise(memory, CHUNK * PAGE_BYTES, MADV_MERGEABLE) != 0) {
            _exit(1);
        }
        for (size_t page = 0; page < CHUNK; page++) {
            memset(memory + page * PAGE_BYTES, 1 + (int)(page % CONTENTS), PAGE_BYTES);
        }
        if (!wait_merged(memory)) {
            _exit(1);
        }
    }
    if (write(ready_fd, &byte, 1) != 1) {
        _exit(1);
    }
    pause();
    _exit(0);
}

/* A process with more pages than the machine has, made of a few that are merged while it grows. */
static pid_t
start_fat(void)
{
    char byte;
    int ready[2];

    if (pipe(ready) != 0) {
        return -1;
    }

    pid_t pid = fork();

    if (pid == 0) {
        close(ready[0]);
        run_fat(ready[1]);
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1) {
        pid = -1;
    }
    close(ready[0]);
    return pid;
}

static void
test_spared(int count)
{
    pid_t fat[FAT_MAX];
    int alive = 0;
    int status;

    ksm_start();
    for (int i = 0; i < count; i++) {
        fat[i] = start_fat();
        if (fat[i] < 0) {
            ksft_exit_fail_msg("can't start and merge\n");
        }
    }

    pid_t hog = start_hog();

    waitpid(hog, &status, 0);
    for (int i = 0; i < count; i++) {
        alive += waitpid(fat[i], NULL, WNOHANG) == 0;
    }
    ksft_print_msg("%d of %d merged processes live, the hog was%s killed\n", alive, count,
                   WIFSIGNALED(status) ? "" : " not");
    ksft_test_result(WIFSIGNALED(status) && alive == count,
                     "merged processes are spared, the hog dies\n");
    for (int i = 0; i < count; i++) {
        kill(fat[i], SIGKILL);
        waitpid(fat[i], NULL, 0);
    }
    ksm_stop();
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
main(int argc, char **argv)
{
    long fat_count = argc > 1 ? atol(argv[1]) : 0;

    ksft_print_header();
    if (fat_count < 1 || fat_count > FAT_MAX) {
        ksft_exit_fail_msg("usage: oom_victim 1..%d\n", FAT_MAX);
    }
    ksft_set_plan(4);
    ksm_save();
    host_write("/proc/self/oom_score_adj", "-1000");
    test_marked();
    test_spared((int)fat_count);
    ksft_finished();
}
