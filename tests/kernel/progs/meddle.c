/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a host does under a mixed load; see meddle.h.
 */
#include "meddle.h"

#include "host.h"
#include "pages.h"
#include "tally.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ksm_util.h"

#define CPU_FILE "/sys/devices/system/cpu/cpu1/online"
#define KSM_DIR  "/sys/kernel/mm/ksm/"

enum { COUNT_OF_RUNS = 8, BLOCKS = 8 };

static long away = -1; /* the block of memory that was taken away */

/* One with a hole or a reserved page, as the last of a node has, can't be taken away: then another.
 */
static void
memory_away(void)
{
    unsigned int first = chance(BLOCKS);

    for (unsigned int i = 0; i < BLOCKS && away < 0; i++) {
        unsigned int block = (first + i) % BLOCKS;

        if (memory_block_movable(block)) {
            int status = memory_block_set(block, false);

            tally_add("memory off", status);
            away = status == 0 ? (long)block : -1;
        }
    }
}

static void
memory_back(void)
{
    if (away >= 0) {
        tally_add("memory on", memory_block_set((unsigned long)away, true));
        away = -1;
    }
}

void
meddle_knob(void)
{
    static const int runs[COUNT_OF_RUNS] = {1, 1, 1, 1, 1, 1, 2, 0};
    static const char *const modes[] = {"madvise", "always"};

    switch (chance(8)) {
    case 0:
        tally_add("merge_across_nodes", ksm_set("merge_across_nodes", chance(2)));
        break;
    case 1:
        tally_add("max_page_sharing", ksm_set("max_page_sharing", chance(2) ? 2 : 256));
        break;
    case 2:
        tally_add("use_zero_pages", ksm_set("use_zero_pages", chance(2)));
        break;
    case 3:
        tally_add("smart_scan", ksm_set("smart_scan", chance(2)));
        break;
    case 4:
        tally_add("mode", host_write(KSM_DIR "mode", "%s", modes[chance(2)]));
        break;
    default:
        tally_add("run", ksm_set("run", runs[chance(COUNT_OF_RUNS)]));
        break;
    }
}

static void
set_flag(pid_t pid)
{
    static const char *const words[] = {"+frozen", "-frozen", "-frozen", "+zero",
                                        "-zero",   "-zero",   "+never",  "-never"};
    const char *word = words[chance(8)];
    char path[PATH_LENGTH];

    snprintf(path, sizeof(path), "/proc/%d/ksm_flags", pid);
    tally_add(word, host_write(path, "%s", word));
}

void
meddle_process(pid_t pid)
{
    char path[PATH_LENGTH];

    switch (chance(5)) {
    case 0:
        tally_add("force", host_write(KSM_DIR "force_madvise", "%d", pid));
        break;
    case 1:
        tally_add("unforce", host_write(KSM_DIR "force_madvise", "-%d", pid));
        break;
    case 2:
        set_flag(pid);
        break;
    case 3:
        snprintf(path, sizeof(path), "/proc/%d/ksm_group", pid);
        tally_add("group change", host_write(path, "%u", chance(6)));
        break;
    case 4:
        snprintf(path, sizeof(path), "/proc/%d/ksm_unmerge", pid);
        tally_add("paced unmerge", host_write(path, "pages_per_step=%u", 1 + chance(256)));
        break;
    }
}

void
meddle_machine(const struct memcg *crowd)
{
    switch (chance(8)) {
    case 0:
        tally_add("cpu off", host_write(CPU_FILE, "0"));
        break;
    case 1:
        tally_add("cpu on", host_write(CPU_FILE, "1"));
        break;
    case 2:
        memory_away();
        break;
    case 3:
        memory_back();
        break;
    case 4:
        tally_add("compaction", host_write("/proc/sys/vm/compact_memory", "1"));
        break;
    case 5:
        tally_add("swapoff", swap_off("zram"));
        swap_on("zram", 0);
        break;
    default:
        tally_add("reclaim", memcg_set(crowd, "memory.reclaim", "2M"));
        break;
    }
}

void
meddle_undo(void)
{
    host_write(CPU_FILE, "1");
    memory_back();
    host_write(KSM_DIR "mode", "madvise");
}
