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

/* QEMU's PID of domain name by libvirt's PID file (run/libvirt/qemu/NAME.pid), verified by -uuid in
 * its command line.  GONE when there is none. */
gboolean mf_proc_find_pid(MfRoot *root, const char *name, const char *uuid, gint64 *ret_pid,
                          GError **error);

/* Fills zero_bytes, rmap_items_pages and profit_bytes of domain->pid. */
gboolean mf_proc_read_ksm_stat(MfRoot *root, guint64 page_size_bytes, MfDomain *domain,
                               GError **error);

/* Fills mergeable_bytes, resident_bytes, merged_bytes and saved_bytes of domain->pid; zero_bytes
 * must be read before.  Blocks for the page table walk. */
gboolean mf_proc_read_smaps(MfRoot *root, guint64 page_size_bytes, MfDomain *domain,
                            GError **error);

/* Where the guest memory of domain->pid is that could merge; array of MfStretch, see
 * mf_parse_smaps_guest().  When it succeeds, what was opened of that PID before is the domain's.
 * Blocks for the page table walk. */
GArray *mf_proc_read_guest_memory(MfRoot *root, const MfDomain *domain, GError **error);

/* Sum of what processes other than those of skip_pids (gint64 keys via g_int64_hash) save by
 * merging, into host->other_saved_bytes; absent when any that merges can't be read. */
gboolean mf_proc_read_others(MfRoot *root, GHashTable *skip_pids, MfHost *host, GError **error);
