/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the kernel spends on things that a series must not make dearer, in instructions: the machine
 * counts them as nanoseconds (icount), whatever its host is doing. Prints "cost NAME INSTRUCTIONS";
 * cost.py boots two kernels with it and compares. Of several rounds the cheapest counts, since the
 * others were met by timer interrupts.
 *
 * harness: memory=512M cpus=1 icount=yes timeout=600 protocol=exit tiers=cost
 */
#define _GNU_SOURCE

#include "host.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ksm_util.h"

enum {
    PAGES = 8192,
    CALLS = 2000,
    ROUNDS = 6,
    SEED = 5,
    PASS_LIMIT_MSEC = 500000,
};

static long
now_nsec(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000L + now.tv_nsec;
}

static void
give_up(const char *what)
{
    printf("cost: %s failed\n", what);
    exit(EXIT_FAILURE);
}

static void
report(const char *name, long nsec, long count)
{
    printf("cost %s %.2f\n", name, (double)nsec / (double)count);
}

static void *
map_pages(void)
{
    void *memory = ksm_map(PAGES, PROT_READ | PROT_WRITE);

    if (memory == NULL) {
        give_up("mmap");
    }
    return memory;
}

static void
touch(char *memory)
{
    for (size_t i = 0; i < PAGES; i++) {
        memory[i * PAGE_BYTES] = 1;
    }
}

static long
fork_exit_nsec(void)
{
    long began = now_nsec();
    pid_t pid = fork();

    if (pid == 0) {
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, NULL, 0) != pid) {
        give_up("fork");
    }
    return now_nsec() - began;
}

static long
fork_exec_nsec(void)
{
    long began = now_nsec();
    pid_t pid = vfork();

    if (pid == 0) {
        execl("/proc/self/exe", "cost", "nothing", NULL);
        _exit(1);
    }
    if (pid < 0 || waitpid(pid, NULL, 0) != pid) {
        give_up("vfork");
    }
    return now_nsec() - began;
}

static long
small_mapping_nsec(void)
{
    long began = now_nsec();

    for (int i = 0; i < CALLS; i++) {
        void *memory =
            mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (memory == MAP_FAILED || munmap(memory, PAGE_BYTES) != 0) {
            give_up("mmap");
        }
    }
    return now_nsec() - began;
}

static long
least(long (*measure)(void))
{
    long best = LONG_MAX;

    for (int i = 0; i < ROUNDS; i++) {
        long nsec = measure();

        best = nsec < best ? nsec : best;
    }
    return best;
}

static void
measure_processes(void)
{
    long fault = LONG_MAX;
    long unmap = LONG_MAX;

    for (int i = 0; i < ROUNDS; i++) {
        char *memory = map_pages();
        long began = now_nsec();

        touch(memory);

        long touched = now_nsec();

        munmap(memory, (size_t)PAGES * PAGE_BYTES);

        long gone = now_nsec();

        fault = touched - began < fault ? touched - began : fault;
        unmap = gone - touched < unmap ? gone - touched : unmap;
    }
    report("page fault", fault, PAGES);
    report("unmapping a page", unmap, PAGES);

    char *memory = map_pages();

    touch(memory);
    report("fork and exit, per page", least(fork_exit_nsec), PAGES);
    munmap(memory, (size_t)PAGES * PAGE_BYTES);
    report("vfork, exec and exit", least(fork_exec_nsec), 1);
    report("mmap and munmap", least(small_mapping_nsec), CALLS);
}

/* What ksmd spends on exactly one pass: it sleeps between passes; to change how long wakes it. */
static long
pass_nsec(pid_t ksmd)
{
    static long sleep_msec = PASS_LIMIT_MSEC;
    char path[PATH_LENGTH];
    long scans = ksm_get("full_scans");
    long deadline = host_msec() + PASS_LIMIT_MSEC;

    snprintf(path, sizeof(path), "/proc/%d/schedstat", ksmd);

    long before = host_read(path, NULL);

    ksm_set("sleep_millisecs", ++sleep_msec);
    ksm_set("run", 1);
    while (ksm_get("full_scans") == scans) {
        if (host_msec() > deadline) {
            give_up("a pass of ksmd");
        }
        host_pause(1000);
    }
    /* It has counted the pass, and goes to sleep: let it. */
    host_pause(5000);
    return host_read(path, NULL) - before;
}

static void
fill_pairs(char *memory)
{
    ksm_fill(memory, PAGES / 2, SEED);
    memcpy(memory + (size_t)PAGES / 2 * PAGE_BYTES, memory, (size_t)PAGES / 2 * PAGE_BYTES);
}

static long
least_pass(pid_t ksmd)
{
    long best = LONG_MAX;

    for (int i = 0; i < ROUNDS; i++) {
        long nsec = pass_nsec(ksmd);

        best = nsec < best ? nsec : best;
    }
    return best;
}

static void
measure_ksmd(void)
{
    pid_t ksmd = ksm_find_ksmd();
    char *memory = map_pages();

    if (ksmd == 0 || ksm_set("smart_scan", 0) != 0 || ksm_set("pages_to_scan", 1000000) != 0) {
        give_up("finding or setting ksmd");
    }
    ksm_fill(memory, PAGES, SEED);
    madvise(memory, (size_t)PAGES * PAGE_BYTES, MADV_MERGEABLE);
    report("first pass, unique pages", pass_nsec(ksmd), PAGES);
    pass_nsec(ksmd);
    report("later pass, unique pages", least_pass(ksmd), PAGES);

    ksm_unmerge_all();
    fill_pairs(memory);
    pass_nsec(ksmd);
    report("pass that merges pairs", pass_nsec(ksmd), PAGES);
    if (ksm_get("pages_sharing") < PAGES / 2 * 9 / 10) {
        give_up("merging");
    }
    report("later pass, merged pages", least_pass(ksmd), PAGES);
    report("fork and exit, per merged page", least(fork_exit_nsec), PAGES);
}

int
main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "nothing") == 0) {
        return 0;
    }
    if (ksm_save() != 0) {
        give_up("saving the knobs");
    }
    measure_processes();
    measure_ksmd();
    return 0;
}
