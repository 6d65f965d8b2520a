/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pages are written to at each moment of their merging: while they are hashed, compared, protected
 * and replaced. Writers, two in each process, have pages with few different contents, which ksmd
 * merges about as fast as they are written to, and each looks at its contents after every write.
 * A run that merged little, or broke little, is no test and fails. In the end all are gone, and so
 * is every merged page.
 *
 * The arguments are the number of writes, and a disk or file that may be overwritten, for O_DIRECT.
 *
 * harness: memory=512M cpus=2 disk=16M timeout=300 args=100000,/dev/vda long=2000000,/dev/vda
 */
#define _GNU_SOURCE

#include "host.h"
#include "leftover.h"
#include "tally.h"
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ksm_util.h"
#include "../kselftest.h"

enum {
    PROCESSES = 3,
    THREADS = 2,
    WRITERS = PROCESSES * THREADS,
    DEFAULT_WRITES = 100000,
    NICE = 10, /* ksmd has 5, and has to keep up */
    LOOK_USEC = 10000,
    KNOB_MSEC = 1000,
    PROGRESS_MSEC = 60000,
    BREAKS_MIN = 50, /* a write in so many finds a merged page */
};

/* Of each process: one has no secondary MMU. */
static const char *const mmus[PROCESSES] = {NULL, WRITER_MMU, WRITER_MMU_SILENT};

struct watch {
    long sharing_max;
    long zero_max;
};

/* A disk or file that holds something is somebody's. */
static int
open_disk(const char *path)
{
    static const char zero[PAGE_BYTES];
    char *first = ksm_map(1, PROT_READ | PROT_WRITE);
    int fd = open(path, O_RDWR | O_DIRECT | O_EXCL | O_CLOEXEC);

    if (fd >= 0 && (pread(fd, first, PAGE_BYTES, 0) < 0 || memcmp(first, zero, PAGE_BYTES) != 0)) {
        close(fd);
        fd = -1;
    }
    ksm_unmap(first, 1);
    return fd;
}

static void __attribute__((noreturn)) run_process(struct writer *writers)
{
    pthread_t threads[THREADS];

    setpriority(PRIO_PROCESS, 0, NICE);
    for (int i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, writer_run, &writers[i]) != 0) {
            _exit(1);
        }
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    _exit(atomic_load(writers[0].wrong) == 0 ? 0 : WRITER_WRONG);
}

static bool
start(struct writer *writers, pid_t *pids)
{
    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = fork_mortal();
        if (pids[i] == 0) {
            run_process(&writers[(size_t)i * THREADS]);
        }
        if (pids[i] < 0) {
            return false;
        }
    }
    return true;
}

/* How many processes are left; *@right becomes false if one did not end well. */
static int
reap(int left, bool *right)
{
    int status;

    while (left > 0 && waitpid(-1, &status, WNOHANG) > 0) {
        left--;
        if (status != 0) {
            ksft_print_msg("a process ended with status 0x%x\n", (unsigned int)status);
            *right = false;
        }
    }
    return left;
}

static void
look(struct watch *watch)
{
    long sharing = ksm_get("pages_sharing");
    long zero = ksm_get("ksm_zero_pages");

    watch->sharing_max = sharing > watch->sharing_max ? sharing : watch->sharing_max;
    watch->zero_max = zero > watch->zero_max ? zero : watch->zero_max;
}

/* Looks on until all have ended. Zeroes merge with the zero page every other second. */
static bool
attend(struct watch *watch)
{
    bool right = true;
    bool zero_pages = false;
    long turn = host_msec();
    long told = host_msec();

    for (int left = PROCESSES; left > 0; left = reap(left, &right)) {
        long now = host_msec();

        if (now >= turn) {
            turn += KNOB_MSEC;
            zero_pages = !zero_pages;
            ksm_set("use_zero_pages", zero_pages);
        }
        if (now >= told + PROGRESS_MSEC) {
            told = now;
            ksft_print_msg("%ld writes so far\n", writer_writes());
        }
        look(watch);
        host_pause(LOOK_USEC);
    }
    return right;
}

/* Writes @writes times; false when there were wrong contents, or it came to another bad end. */
static bool
run(long writes, int disk_fd, struct watch *watch)
{
    static struct writer writers[WRITERS];
    pid_t pids[PROCESSES];
    atomic_int *wrong =
        mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (wrong == MAP_FAILED) {
        return false;
    }
    for (unsigned int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){
            .id = i,
            .disk_fd = disk_fd,
            .mmu = mmus[i / THREADS],
            .writes = writes / WRITERS,
            .wrong = wrong,
        };
    }
    return start(writers, pids) && attend(watch);
}

static void
test_merging(long writes, int disk_fd)
{
    struct watch watch = {0};
    const char *unused;
    long began = host_msec();
    long breaks = ksm_vmstat("cow_ksm");
    bool right = run(writes, disk_fd, &watch);
    long done = writer_writes();

    breaks = ksm_vmstat("cow_ksm") - breaks;
    tally_print();
    ksft_print_msg("%ld writes in %ld ms; %ld found a merged page; at most %ld pages shared, and "
                   "%ld zero pages\n",
                   done, host_msec() - began, breaks, watch.sharing_max, watch.zero_max);
    ksft_test_result(right, "each page holds what its owner wrote, at all times\n");

    bool used = writer_ways_used(disk_fd >= 0, &unused);

    if (!used) {
        ksft_print_msg("not used: %s\n", unused);
    }
    ksft_test_result(used, "they were written to in every way\n");
    ksft_test_result(watch.sharing_max > 0 && breaks > done / BREAKS_MIN,
                     "they were merged, and written to when merged\n");
}

/* The count of zero pages need not begin at 0: kernels have lost count, for good. */
static void
test_end(long zero_pages)
{
    long value;
    const char *left = leftover(&value);

    if (left != NULL) {
        ksft_print_msg("%s is %ld\n", left, value);
    }
    ksft_test_result(left == NULL || strcmp(left, "ksm_zero_pages") == 0,
                     "nothing of KSM is left in the end\n");
    value = ksm_get("ksm_zero_pages");
    if (value != zero_pages) {
        ksft_print_msg("ksm_zero_pages was %ld and is %ld\n", zero_pages, value);
    }
    ksft_test_result(value == zero_pages, "the count of zero pages is what it was\n");
}

int
main(int argc, char **argv)
{
    long writes = argc > 1 ? atol(argv[1]) : DEFAULT_WRITES;
    int disk_fd = argc > 2 ? open_disk(argv[2]) : -1;
    long zero_pages = ksm_get("ksm_zero_pages");

    ksft_print_header();
    ksft_set_plan(5);
    if (ksm_save() != 0 || ksm_start() != 0) {
        ksft_exit_skip("needs KSM, and root\n");
    }
    if (!tally_open()) {
        ksft_exit_fail_msg("no memory\n");
    }
    ksft_print_msg("%ld writes by %d writers, %s O_DIRECT\n", writes, WRITERS,
                   disk_fd >= 0 ? "with" : "without");
    fflush(stdout);
    test_merging(writes, disk_fd);
    test_end(zero_pages);
    ksft_finished();
}
