/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who saves what, so that the sum is the host's saving.
 *
 * A KSM page mapped n times saves n - 1 pages.  Shared out evenly, each of its mappings saves
 * 1 - 1/n of a page, which is what smaps tells as Rss - Pss of a mergeable anonymous area.  Summed
 * over all processes that gives mappings - pages = pages_sharing, exactly, up to rounding (below a
 * page for each area) and to what changes while the areas are walked.  A page that ksmd replaced by
 * the shared zero page saves a whole page, and is in no Rss: ksm_zero_pages of the process is
 * added. KSM's own per-process profit counts pages_sharing's first page as saved, too, and so
 * over-counts.
 */
#pragma once

#include "mf-types.h"

/* struct ksm_rmap_item of mm/ksm.c: what ksmd remembers a page by. */
#define MF_RMAP_ITEM_BYTES 64

/* One walked process: totals over its mergeable areas. */
typedef struct {
    guint64 size_bytes;
    guint64 resident_bytes;     /* Rss */
    guint64 proportional_bytes; /* Pss */
    MfU64 merged_bytes;         /* "KSM:"; absent before Linux 6.7, which does not print it */
    MfU64 huge_bytes;           /* "AnonHugePages:"; absent where the kernel has none */
    MfU64 swapped_bytes;        /* "Swap:"; the same */
} MfArea;

/* Saved bytes of one process: Rss - Pss (0 when Pss exceeds Rss by rounding) plus its zero pages.
 * Absent only when area is not known; unknown zero pages count as none.  Pure. */
MfU64 mf_account_saved_bytes(gboolean area_known, const MfArea *area, MfU64 zero_pages,
                             guint64 page_size_bytes);

/* The host's saving from KSM's counters: (pages_sharing + ksm_zero_pages) pages; absent when
 * pages_sharing is. */
MfU64 mf_account_host_saved_bytes(const MfHost *host);

/* What the kernel counts as merged now, zero pages apart: ksm_process_profit, less what it takes
 * off for its items.  It tells too much: what was written, or moved to another group, is counted
 * until ksmd comes by, which may stand.  Absent where the kernel does not tell. */
MfU64 mf_account_counted_bytes(const MfDomain *domain);

/* The memory that un-merging a domain takes, and moving it to another merge group, at most: what
 * the last accounts say, which may be minutes old, and by how much the kernel's own count has grown
 * since, or as much of it as ksmd can have merged since, by what it has scanned; without a count of
 * that time, all of the count where it is more.  A move leaves zero pages as they are.  Absent
 * without accounts. */
MfU64 mf_account_unmerge_cost_bytes(const MfDomain *domain);
MfU64 mf_account_move_cost_bytes(const MfDomain *domain);

/* |sum over domains + others - host| in permyriad of the host's saving; absent when any part is, 0
 * when both are 0, and MF_PERMYRIAD when only the host's is 0. */
MfU64 mf_account_sum_error_permyriad(const MfSnapshot *snapshot);
