/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's page tables as it shows them: which merged pages a process maps.
 *
 * /proc/PID/pagemap gives each page's frame, or its slot in swap, and whether another mapping of it
 * exists; only where one does are /proc/kpageflags asked whether the page is KSM's.  Nothing is
 * touched, so that nothing is swapped in.  Frames are shown to CAP_SYS_ADMIN only.
 * Documentation/admin-guide/mm/pagemap.rst.
 *
 * Linux before 6.13 has the flag for KSM on all anonymous pages; there what a process shares with a
 * child of its own is taken for merged as well.
 *
 * Where a page is in swap for one and in memory again for another, nothing tells that it is one
 * page: the slot of a page in the swap cache is not shown.
 */
#pragma once

#include <gio/gio.h>

#include "../core/mf-types.h"
#include "mf-root.h"

typedef struct _MfPagewalk MfPagewalk;

typedef struct {
    /* A merged page that is mapped more than once, or one in swap; key: see mf-audit.h, 0 for a
     * page that is just being moved. */
    void (*page)(guint64 address_bytes, guint64 key, gpointer user_data);
    /* So much of the process is done; now and then. */
    void (*advance)(guint done_permyriad, gpointer user_data);
} MfPagewalkSink;

typedef struct {
    guint64 looked_pages;  /* in memory or in swap */
    guint64 merged_pages;  /* merged and mapped more than once */
    guint64 swapped_pages; /* in swap */
} MfPagewalkCounts;

/* Errors: UNSUPPORTED for a kernel without these files (CONFIG_PROC_PAGE_MONITOR), DENIED, FAILED.
 */
MfPagewalk *mf_pagewalk_new(MfRoot *root, GError **error);
void mf_pagewalk_free(MfPagewalk *walk);

/* Looks at all private memory of domain->pid.  counts may be NULL.  Blocks, some 10 ms for each GiB
 * that nobody shares.  Errors: GONE when the process ends meanwhile, DENIED (frames are hidden),
 * and G_IO_ERROR_CANCELLED; what was shown till then was so. */
gboolean mf_pagewalk_read(MfPagewalk *walk, const MfDomain *domain, const MfPagewalkSink *sink,
                          gpointer user_data, MfPagewalkCounts *counts, GCancellable *cancellable,
                          GError **error);

/* The same of any process, and of its mergeable memory only. */
gboolean mf_pagewalk_read_other(MfPagewalk *walk, gint64 pid, const MfPagewalkSink *sink,
                                gpointer user_data, GCancellable *cancellable, GError **error);

/* How often the frame is mapped, in all page tables; absent when it can't be read. */
MfU64 mf_pagewalk_count_mappings(MfPagewalk *walk, guint64 frame);

typedef struct {
    gint64 pid;
    guint64 address_bytes;
} MfPagePlace;

/* Whether that place has that key now.  Keeps the pagemaps of two processes open: slot is 0 or 1.
 * Two places share a page when the one, the other and the one again have its key. */
gboolean mf_pagewalk_has_key(MfPagewalk *walk, guint slot, MfPagePlace place, guint64 wanted_key);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfPagewalk, mf_pagewalk_free)
