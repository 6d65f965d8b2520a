/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel says of a QEMU process.
 *
 * ksm_stat is cheap.  smaps walks page tables (about 20 ms for each GiB of small pages) and is
 * asked only when accounts are due.  A PID is believed only while its command line names the
 * domain's UUID.
 */
#pragma once

#include "../core/mf-parse.h"
#include "../core/mf-types.h"
#include "mf-root.h"

/* Reads /proc/PID/file of any process: text of at most max_bytes (beyond: INVALID), g_free().  GONE
 * when there is no such process, UNSUPPORTED when there is, but its kernel has no such file. */
char *mf_proc_read_file(MfRoot *root, gint64 pid, const char *file, gsize max_bytes,
                        gsize *ret_length_bytes, GError **error);

/* The PID in libvirt's PID file of domain name, which may be another process's by now. */
gboolean mf_proc_read_pid_file(MfRoot *root, const char *name, gint64 *ret_pid, GError **error);

/* QEMU's PID of domain name by libvirt's PID file (run/libvirt/qemu/NAME.pid), verified by -uuid in
 * its command line.  GONE when there is none. */
gboolean mf_proc_find_pid(MfRoot *root, const char *name, const char *uuid, gint64 *ret_pid,
                          GError **error);

/* Fills what ksm_stat tells of domain->pid: zero_bytes, rmap_items_pages, profit_bytes, and our
 * kernel's counters. */
gboolean mf_proc_read_ksm_stat(MfRoot *root, guint64 page_size_bytes, MfDomain *domain,
                               GError **error);

/* The number of the group that our kernel keeps domain->pid in; absent when it is in none yet, or
 * can't be read. */
MfU64 mf_proc_read_ksm_group(MfRoot *root, const MfDomain *domain);

/* Moves domain->pid to that group, a number or "new".  GONE when there is no such process or group,
 * DENIED without the capabilities, FAILED (no memory for what it shared) and what else the kernel
 * says; then it is where it was. Blocks for copying what it has merged, with the process' memory
 * locked. */
gboolean mf_proc_write_ksm_group(MfRoot *root, const MfDomain *domain, const char *group,
                                 GError **error);

/* 1 when our kernel merges nothing of domain->pid but its pages of zeroes, 0 when it merges all
 * that is marked; absent when the kernel has no ksm_flags, or they can't be read. */
MfU64 mf_proc_read_zero_only(MfRoot *root, const MfDomain *domain);

/* Writes a word to the ksm_flags of domain->pid, such as "+zero".  Errors as of
 * mf_proc_write_ksm_group(). */
gboolean mf_proc_write_ksm_flags(MfRoot *root, const MfDomain *domain, const char *word,
                                 GError **error);

/* Fills mergeable_bytes, resident_bytes, merged_bytes, saved_bytes, huge_bytes and swapped_bytes of
 * domain->pid; zero_bytes must be read before.  Blocks for the page table walk. */
gboolean mf_proc_read_smaps(MfRoot *root, guint64 page_size_bytes, MfDomain *domain,
                            GError **error);

/* Fills main_node and other_node_bytes of domain->pid from numa_maps; both are absent on a kernel
 * without NUMA.  Blocks for a page table walk of its own. */
gboolean mf_proc_read_nodes(MfRoot *root, MfDomain *domain, GError **error);
/* What domain->pid has in memory of all that it mapped, merged pages included.  Cheap: the kernel
 * keeps the count. */
gboolean mf_proc_read_resident(MfRoot *root, guint64 page_size_bytes, const MfDomain *domain,
                               guint64 *ret_resident_bytes, GError **error);

/* Whether the process is stopped (SIGSTOP, a debugger), so that it answers nobody; FALSE when that
 * can't be read.  Waits for no lock of the process', and so does not look whose the PID is. */
gboolean mf_proc_is_stopped(MfRoot *root, gint64 pid);

/* Where the guest memory of domain->pid is that could merge; array of MfStretch, see
 * mf_parse_smaps_guest().  When it succeeds, what was opened of that PID before is the domain's.
 * Blocks for the page table walk. */
GArray *mf_proc_read_guest_memory(MfRoot *root, const MfDomain *domain, GError **error);

/* All private memory of domain->pid, array of MfStretch; as the one before, but cheap. */
GArray *mf_proc_read_private_memory(MfRoot *root, const MfDomain *domain, GError **error);

/* The mergeable memory of any process, array of MfStretch; empty for a thread of the kernel's.
 * Blocks for the page table walk. */
GArray *mf_proc_read_mergeable(MfRoot *root, gint64 pid, GError **error);

/* Name of the program that runs as pid, which chose it, as mf_text_printable() gives it; or "?".
 * g_free(). */
char *mf_proc_read_comm(MfRoot *root, gint64 pid);

/* The control group of domain->pid alone, see mf_parse_cgroup_of_domain().  NULL with error. */
char *mf_proc_read_cgroup(MfRoot *root, const MfDomain *domain, GError **error);
