/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text that the kernel prints, to numbers.
 *
 * Pure functions over buffers of a known length (no NUL needed inside the length).  Strict where
 * the kernel is strict: a number is the whole field, overflow is an error, and a missing field is
 * absent. All errors are MF_ERROR_INVALID, and then no out-parameter is touched.
 */
#pragma once

#include <glib.h>

#include "mf-account.h"
#include "mf-types.h"

/* An unsigned or signed decimal number with nothing around it but white space. */
gboolean mf_parse_u64(const char *text, gsize length_bytes, guint64 *ret_value, GError **error);
gboolean mf_parse_i64(const char *text, gsize length_bytes, gint64 *ret_value, GError **error);

/* /proc/meminfo (proc(5)): fills the three mem_ and swap_ fields of host, and
 * hardware_corrupted_bytes, which is absent on kernels without CONFIG_MEMORY_FAILURE. */
gboolean mf_parse_meminfo(const char *text, gsize length_bytes, MfHost *host, GError **error);

/* /proc/pressure/memory (Documentation/accounting/psi.rst): fills memory_waits_permyriad of host.
 */
gboolean mf_parse_pressure(const char *text, gsize length_bytes, MfHost *host, GError **error);

/* /proc/vmstat: fills cow_breaks_count and swap_in_copies_count of host (mm/memory.c, mm/ksm.c: the
 * events COW_KSM and KSM_SWPIN_COPY). */
gboolean mf_parse_vmstat(const char *text, gsize length_bytes, MfHost *host, GError **error);

/* /proc/PID/ksm_stat (Documentation/filesystems/proc.rst).  merging_pages counts the pages that
 * ksmd merged and says nothing of those that were written since: it tells that a process merges,
 * not how much. */
typedef struct {
    MfU64 rmap_items_pages;
    MfU64 zero_pages;
    MfU64 merging_pages;
    MfI64 profit_bytes;
    MfU64 cow_breaks_count; /* the last three: our kernel's, absent on others */
    MfU64 swap_in_copies_count;
    MfU64 scanned_pages;
} MfKsmStat;

/* Lines that it does not know are passed over. */
gboolean mf_parse_ksm_stat(const char *text, gsize length_bytes, MfKsmStat *ret_stat,
                           GError **error);

/* /proc/PID/smaps (proc(5)): totals over the areas whose VmFlags hold "mg".  A text without one
 * such area gives zeroes, which is an answer; one that ends within an area is refused. */
gboolean mf_parse_smaps(const char *text, gsize length_bytes, MfArea *ret_area, GError **error);

/* One stretch of a process's addresses. */
typedef struct {
    guint64 start_bytes;
    guint64 end_bytes;
} MfStretch;

/* /proc/PID/smaps again: where guest memory is that could merge, whether or not it is marked so.
 * That is each private anonymous area that is marked mergeable ("mg") or not to be inherited ("dc",
 * as QEMU marks all guest memory), hugetlb ("ht") apart.  Array of MfStretch, g_array_unref(). */
GArray *mf_parse_smaps_guest(const char *text, gsize length_bytes, GError **error);

/* The same of each area that is marked mergeable, which are those that KSM's pages are in. */
GArray *mf_parse_smaps_mergeable(const char *text, gsize length_bytes, GError **error);

/* /proc/PID/maps: all private areas, whatever they are marked. */
GArray *mf_parse_maps_private(const char *text, gsize length_bytes, GError **error);

/* /proc/PID/cgroup (cgroups(7)): the path in the unified hierarchy, without a slash before it, of
 * the group that libvirt made for that one domain; never one above it.  UNSUPPORTED when there is
 * none.  Free with g_free(). */
char *mf_parse_cgroup_of_domain(const char *text, gsize length_bytes, GError **error);

/* /proc/PID/numa_maps (numa(7)): where the process's anonymous memory is.  hugetlb and mappings of
 * files apart, which do not merge. */
typedef struct {
    MfU64 main_node;     /* the node that has most; absent when there is no such memory */
    guint64 other_bytes; /* on all the other nodes */
} MfNodes;

gboolean mf_parse_numa_maps(const char *text, gsize length_bytes, MfNodes *ret_nodes,
                            GError **error);

/* /proc/PID/stat (proc_pid_stat(5)). */
typedef struct {
    char comm[64]; /* of a process at most 15 bytes, of a kernel thread more */
    char state;    /* one letter: 'R', 'S', ...; 'T' and 't' are stopped, by a signal or a tracer */
    gint64 parent_pid;
    guint64 cpu_ticks;   /* utime + stime, in ticks of sysconf(_SC_CLK_TCK) */
    guint64 start_ticks; /* since boot */
} MfProcStat;

gboolean mf_parse_stat(const char *text, gsize length_bytes, MfProcStat *ret_stat, GError **error);

/* /proc/PID/statm (proc_pid_statm(5)): the second number, resident pages. */
gboolean mf_parse_statm(const char *text, gsize length_bytes, guint64 *ret_resident_pages,
                        GError **error);

/* A kernel choice file such as "[none] scan-time": the bracketed word, allocated. */
char *mf_parse_choice(const char *text, gsize length_bytes, GError **error);

/* /proc/PID/cmdline holds the argument pair "-uuid", uuid (case-insensitive). */
gboolean mf_parse_cmdline_has_uuid(const char *text, gsize length_bytes, const char *uuid);
