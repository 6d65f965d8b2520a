/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * All at once, for a number of seconds (the first argument): processes that merge, unmerge, fork,
 * freeze, move and change their group, and are killed, forced, thawed, swapped out and moved by the
 * host, while the knobs turn, CPUs and memory come and go, and the OOM killer works beside them.
 * Each looks at its contents all the time; in the end all are gone, and every counter of KSM is 0.
 * What the kernel has no interface for is refused and counted as that.
 *
 * harness: memory=1024M cpus=2 nodes=2 timeout=300 cmdline=movablecore=640M args=20 long=600
 */
#include "citizen.h"
#include "host.h"
#include "leftover.h"
#include "meddle.h"
#include "tally.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ksm_util.h"
#include "../kselftest.h"

enum {
    CITIZENS = 10,
    DEFAULT_SEC = 20,
    SWAP_MIB = 128,
    DOOM_MIB = 12,
    BYSTANDER = 64,
    PROGRESS_SEC = 60,
};

struct town {
    pid_t citizens[CITIZENS];
    pid_t hog;
    unsigned int born;
    struct memcg crowd;
    struct memcg doom;
    bool wrong;
    bool unexpected;
};

/* Killed is what may happen to anybody here; anything else is a fault. */
static void
bury(struct town *town, pid_t pid, int status)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == CITIZEN_WRONG) {
        ksft_print_msg("%d had wrong contents\n", pid);
        town->wrong = true;
    } else if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
        ksft_print_msg("%d ended with status 0x%x\n", pid, (unsigned int)status);
        town->unexpected = true;
    }
}

/* A place in ten is in the group that the OOM killer visits. */
static void
populate(struct town *town)
{
    for (int i = 0; i < CITIZENS; i++) {
        if (town->citizens[i] <= 0) {
            town->citizens[i] = citizen_start(++town->born, i == 0 ? &town->doom : &town->crowd);
        }
    }
}

static void
reap(struct town *town, int flags)
{
    int status;
    pid_t pid = waitpid(-1, &status, flags);

    while (pid > 0) {
        if (pid == town->hog) {
            tally_add("oom kill", 0);
            town->hog = 0;
        }
        for (int i = 0; i < CITIZENS; i++) {
            if (town->citizens[i] == pid) {
                bury(town, pid, status);
                town->citizens[i] = 0;
            }
        }
        pid = waitpid(-1, &status, flags);
    }
}

static void
step(struct town *town)
{
    pid_t pid = town->citizens[chance(CITIZENS)];

    switch (chance(6)) {
    case 0:
        tally_add("kill", pid > 0 && kill(pid, SIGKILL) != 0 ? -errno : 0);
        break;
    case 1:
        meddle_machine(&town->crowd);
        break;
    case 2:
        if (town->hog == 0) {
            town->hog = citizen_hog(&town->doom);
        }
        break;
    case 3:
        meddle_knob();
        break;
    default:
        if (pid > 0) {
            meddle_process(pid);
        }
        break;
    }
}

static void
live(struct town *town, long seconds)
{
    long end = host_msec() + seconds * 1000;
    long tell = host_msec() + PROGRESS_SEC * 1000;

    while (host_msec() < end && !town->wrong) {
        populate(town);
        step(town);
        host_pause(chance(5000));
        reap(town, WNOHANG);
        if (host_msec() > tell) {
            tell += PROGRESS_SEC * 1000;
            ksft_print_msg("%ld s left, %u processes so far\n", (end - host_msec()) / 1000,
                           town->born);
        }
    }
}

static void
end(struct town *town)
{
    for (int i = 0; i < CITIZENS; i++) {
        if (town->citizens[i] > 0) {
            kill(town->citizens[i], SIGKILL);
        }
    }
    if (town->hog > 0) {
        kill(town->hog, SIGKILL);
    }
    reap(town, 0);
    memcg_remove(&town->crowd);
    memcg_remove(&town->doom);
    meddle_undo();
    swap_off("zram");
}

int
main(int argc, char **argv)
{
    static struct town town;
    long seconds = argc > 1 ? atol(argv[1]) : DEFAULT_SEC;
    unsigned int seed = argc > 2 ? (unsigned int)atol(argv[2]) : 1;
    char limit[32];
    long value;

    ksft_print_header();
    ksft_set_plan(4);
    ksm_save();
    host_write("/proc/self/oom_score_adj", "-1000");
    if (!tally_open() || !memcg_make(&town.crowd, "crowd") || !memcg_make(&town.doom, "doom")) {
        ksft_exit_skip("needs memory cgroups\n");
    }
    snprintf(limit, sizeof(limit), "%dM", DOOM_MIB);
    memcg_set(&town.doom, "memory.max", limit);
    memcg_set(&town.doom, "memory.swap.max", "0");
    ksft_print_msg("%ld seconds, seed %u, swap on zram: %d\n", seconds, seed,
                   swap_on("zram", SWAP_MIB));
    chance_seed(seed);
    town.born = seed * 1000;
    ksm_start();
    live(&town, seconds);
    end(&town);
    tally_print();
    ksft_test_result(!town.wrong, "everybody had its own contents all the time\n");
    ksft_test_result(!town.unexpected, "nobody died but by being killed\n");
    ksft_test_result(tally_done("kill") > 0 && tally_done("fork") > 0 && tally_done("run") > 0,
                     "it was a mixed load\n");

    const char *left = leftover(&value);

    if (left != NULL) {
        ksft_print_msg("%s is %ld\n", left, value);
    }
    ksft_test_result(left == NULL, "nothing of KSM is left in the end\n");
    ksft_finished();
}
