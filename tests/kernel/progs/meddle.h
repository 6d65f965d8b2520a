/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a host does to processes and to KSM under a mixed load: knobs, forcing and undoing from
 * outside, reclaim, hotplug. Every use is counted in the tally, done or refused; none asserts.
 */
#ifndef PROGS_MEDDLE_H
#define PROGS_MEDDLE_H

#include <sys/types.h>

struct memcg;

/* Turns a knob of ksmd: run, merge_across_nodes, max_page_sharing, use_zero_pages, smart_scan,
 * mode. */
void meddle_knob(void);

/* Does something from outside to the process @pid: force, unforce, flags, group, paced unmerge. */
void meddle_process(pid_t pid);

/* Does something to the machine: reclaim from @crowd, compaction, swapoff and on, CPUs, memory. */
void meddle_machine(const struct memcg *crowd);

/* Brings back what meddle_machine() took away, and the knobs that ksm_restore() does not know. */
void meddle_undo(void);

#endif
