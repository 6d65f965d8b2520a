/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Children with mergeable memory, commanded through pipes; see worker.h.
 */
#define _GNU_SOURCE

#include "worker.h"

#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ksm_util.h"

enum { ANSWER_MSEC = 240 * 1000 };

static sigjmp_buf poison_jump;

static void
on_poison(int signal)
{
    (void)signal;
    siglongjmp(poison_jump, 1);
}

/* What of @memory is poisoned, and what differs from @expected. */
static long
probe_pages(const char *memory, const char *expected, size_t pages, bool want_wrong)
{
    volatile long poisoned = 0;
    volatile long wrong = 0;

    signal(SIGBUS, on_poison);
    for (volatile size_t i = 0; i < pages; i++) {
        if (sigsetjmp(poison_jump, 1) == 0) {
            wrong = wrong +
                    (memcmp(memory + i * PAGE_BYTES, expected + i * PAGE_BYTES, PAGE_BYTES) != 0);
        } else {
            poisoned = poisoned + 1;
        }
    }
    signal(SIGBUS, SIG_DFL);
    return want_wrong ? wrong : poisoned;
}

static long
probe(const char *memory, size_t pages, unsigned int seed, bool want_wrong)
{
    char *expected = ksm_map(pages, PROT_READ | PROT_WRITE);

    if (expected == MAP_FAILED) {
        return -ENOMEM;
    }
    ksm_fill(expected, pages, seed);

    long answer = probe_pages(memory, expected, pages, want_wrong);

    munmap(expected, pages * PAGE_BYTES);
    return answer;
}

static long
advise(void *memory, size_t pages, int advice)
{
    return madvise(memory, pages * PAGE_BYTES, advice) != 0 ? -errno : 0;
}

static long
write_all(volatile char *memory, size_t pages)
{
    for (size_t i = 0; i < pages; i++) {
        memory[i * PAGE_BYTES] = memory[i * PAGE_BYTES];
    }
    return 0;
}

static long
obey(enum worker_verb verb, char *memory, size_t pages, unsigned int seed)
{
    switch (verb) {
    case WORKER_CHECK:
        return (long)ksm_check(memory, pages, seed);
    case WORKER_POISONED:
        return probe(memory, pages, seed, false);
    case WORKER_CHECK_READABLE:
        return probe(memory, pages, seed, true);
    case WORKER_WRITE:
        return write_all(memory, pages);
    case WORKER_DROP:
        return advise(memory, pages, MADV_DONTNEED);
    case WORKER_FILL:
        ksm_fill(memory, pages, seed);
        return 0;
    case WORKER_MERGE:
        return advise(memory, pages, MADV_MERGEABLE);
    case WORKER_UNMERGE:
        return advise(memory, pages, MADV_UNMERGEABLE);
    case WORKER_ADDRESS:
        return (long)memory;
    }
    return -EINVAL;
}

static void __attribute__((noreturn)) run_worker(int orders_fd, int answers_fd, size_t pages,
                                                 unsigned int seed, const struct memcg *group)
{
    char order;
    long answer = 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    host_write("/proc/self/oom_score_adj", "0");
    if (group != NULL && memcg_set(group, "cgroup.procs", "0") != 0) {
        _exit(2);
    }

    char *memory = ksm_map(pages, PROT_READ | PROT_WRITE);

    if (memory == MAP_FAILED || advise(memory, pages, MADV_MERGEABLE) != 0) {
        _exit(2);
    }
    ksm_fill(memory, pages, seed);
    while (write(answers_fd, &answer, sizeof(answer)) == sizeof(answer) &&
           read(orders_fd, &order, 1) == 1) {
        answer = obey((enum worker_verb)order, memory, pages, seed);
    }
    _exit(0);
}

static long
wait_answer(struct worker *worker)
{
    struct pollfd poll_fd = {.fd = worker->from_fd, .events = POLLIN};
    long answer;

    if (poll(&poll_fd, 1, ANSWER_MSEC) == 0) {
        return -ETIME;
    }
    if (read(worker->from_fd, &answer, sizeof(answer)) != sizeof(answer)) {
        return -ESRCH;
    }
    return answer;
}

bool
worker_start(struct worker *worker, size_t pages, unsigned int seed, const struct memcg *group)
{
    int orders[2];
    int answers[2];

    signal(SIGPIPE, SIG_IGN);
    if (pipe2(orders, O_CLOEXEC) != 0 || pipe2(answers, O_CLOEXEC) != 0) {
        return false;
    }
    worker->pid = fork();
    if (worker->pid == 0) {
        close(orders[1]);
        close(answers[0]);
        run_worker(orders[0], answers[1], pages, seed, group);
    }
    close(orders[0]);
    close(answers[1]);
    worker->to_fd = orders[1];
    worker->from_fd = answers[0];
    worker->pages = pages;
    if (worker->pid < 0 || wait_answer(worker) != 0) {
        workers_end(worker, 1);
        return false;
    }
    return true;
}

bool
workers_start(struct worker *workers, int count, size_t pages, unsigned int seed,
              const struct memcg *group)
{
    for (int i = 0; i < count; i++) {
        if (!worker_start(&workers[i], pages, seed, group)) {
            workers_end(workers, i);
            return false;
        }
    }
    return true;
}

static long
give_order(struct worker *worker, enum worker_verb verb)
{
    char order = (char)verb;

    return write(worker->to_fd, &order, 1) == 1 ? 0 : -ESRCH;
}

long
worker_ask(struct worker *worker, enum worker_verb verb)
{
    long status = give_order(worker, verb);

    return status != 0 ? status : wait_answer(worker);
}

long
workers_ask(struct worker *workers, int count, enum worker_verb verb)
{
    long sum = 0;

    for (int i = 0; i < count; i++) {
        long answer = worker_ask(&workers[i], verb);

        if (answer < 0) {
            return answer;
        }
        sum += answer;
    }
    return sum;
}

long
workers_ask_at_once(struct worker *workers, int count, enum worker_verb verb)
{
    long sum = 0;

    for (int i = 0; i < count; i++) {
        give_order(&workers[i], verb);
    }
    for (int i = 0; i < count; i++) {
        long answer = wait_answer(&workers[i]);

        sum = answer < 0 || sum < 0 ? (sum < 0 ? sum : answer) : sum + answer;
    }
    return sum;
}

int
workers_alive(struct worker *workers, int count)
{
    int alive = 0;

    for (int i = 0; i < count; i++) {
        siginfo_t info = {0};

        alive += waitid(P_PID, (id_t)workers[i].pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
                 info.si_pid == 0;
    }
    return alive;
}

long
workers_smaps_kib(struct worker *workers, int count, const char *field)
{
    long sum = 0;

    for (int i = 0; i < count; i++) {
        long kib = ksm_smaps_kib(workers[i].pid, NULL, field);

        sum += kib > 0 ? kib : 0;
    }
    return sum;
}

void
workers_end(struct worker *workers, int count)
{
    for (int i = 0; i < count; i++) {
        if (workers[i].pid > 0) {
            kill(workers[i].pid, SIGKILL);
            waitpid(workers[i].pid, NULL, 0);
        }
        close(workers[i].to_fd);
        close(workers[i].from_fd);
        workers[i].pid = -1;
    }
}
