/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Processes with merged pages exit all the time, killed at any moment, while ksmd scans at full
 * speed and the knobs turn under it, undoing all merging among them. Nothing hangs, nobody finds
 * wrong contents, and in the end no merged page is left in any counter.
 *
 * harness: memory=512M cpus=2 nodes=2 timeout=240 args=15 long=120
 */
#include "host.h"
#include "leftover.h"
#include "meddle.h"
#include "tally.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ksm_util.h"
#include "../kselftest.h"

enum {
    PLACES = 8,
    FILLED = 192,
    ZERO = 64,
    CONTENTS = 3,
    DEFAULT_SEC = 15,
    WRONG = 3,
    KNOB_CHANCE = 6,
};

/* Half of them have a child, which looks at the pages that it inherits. */
static void __attribute__((noreturn)) run_victim(unsigned int seed)
{
    unsigned int contents = seed % CONTENTS;
    char *memory = ksm_map(FILLED + ZERO, PROT_READ | PROT_WRITE);

    chance_seed(seed);
    if (memory == MAP_FAILED) {
        _exit(1);
    }
    ksm_fill(memory, FILLED, contents);
    memset(memory + (size_t)FILLED * PAGE_BYTES, 0, (size_t)ZERO * PAGE_BYTES);
    madvise(memory, (size_t)(FILLED + ZERO) * PAGE_BYTES, MADV_MERGEABLE);
    if (chance(2)) {
        fork_mortal();
    }
    while (ksm_check(memory, FILLED, contents) == 0) {
        host_pause(chance(10000));
    }
    _exit(WRONG);
}

/* Kills one and starts another in its place; false when it had died of wrong contents. */
static bool
replace(pid_t *place, unsigned int seed)
{
    int status = SIGKILL;

    if (*place > 0) {
        kill(*place, SIGKILL);
        waitpid(*place, &status, 0);
    }
    *place = fork_mortal();
    if (*place == 0) {
        run_victim(seed);
    }
    tally_add("exit", 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static bool
storm(long seconds, unsigned int seed)
{
    pid_t places[PLACES] = {0};
    long end = host_msec() + seconds * 1000;
    bool right = true;

    while (right && host_msec() < end) {
        right = replace(&places[chance(PLACES)], ++seed);
        if (chance(KNOB_CHANCE) == 0) {
            meddle_knob();
        }
        host_pause(chance(20000));
    }
    for (int i = 0; i < PLACES; i++) {
        int status;

        if (places[i] > 0) {
            kill(places[i], SIGKILL);
            waitpid(places[i], &status, 0);
            right = right && WIFSIGNALED(status);
        }
    }
    return right;
}

int
main(int argc, char **argv)
{
    long seconds = argc > 1 ? atol(argv[1]) : DEFAULT_SEC;
    unsigned int seed = argc > 2 ? (unsigned int)atol(argv[2]) : 1;
    long value;

    ksft_print_header();
    ksft_set_plan(3);
    ksm_save();
    if (!tally_open()) {
        ksft_exit_fail_msg("no memory\n");
    }
    ksft_print_msg("%ld seconds, seed %u\n", seconds, seed);
    chance_seed(seed);
    ksm_start();

    bool right = storm(seconds, seed);

    meddle_undo();
    tally_print();
    ksft_test_result(right, "nobody had wrong contents\n");
    ksft_test_result(tally_done("exit") > PLACES && tally_done("run") > 0,
                     "processes exited and knobs turned\n");

    const char *left = leftover(&value);

    if (left != NULL) {
        ksft_print_msg("%s is %ld\n", left, value);
    }
    ksft_test_result(left == NULL, "nothing is left of them\n");
    ksft_finished();
}
