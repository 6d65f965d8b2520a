/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One run of `memfold estimate`: reads domains one after the other, and adds up what merging would
 * save in each alone, in each group, and in all of them together.
 *
 * Each of the three is an estimate of its own, so that a small domain is not told with the
 * coarseness of a large host.  At one time there are three of them at most (domains are read in the
 * order of their groups), of some 35 MiB each at most.
 */
#pragma once

#include <gio/gio.h>

#include "../core/mf-config.h"
#include "../core/mf-estimate.h"
#include "../core/mf-plan.h"
#include "../io/mf-root.h"

/* done_permyriad of all that is to be read; called in the thread of the run. */
typedef void (*MfEstimateProgress)(guint done_permyriad, gpointer user_data);

typedef struct {
    char *uuid;
    char *name;
    char *group;       /* or "isolated" */
    MfReason *trouble; /* why it was not read, or not to its end; or NULL */
    gboolean is_read;
    MfEstimateResult alone;
    MfU64 merged_bytes; /* now, as the accounts have it */
    MfU64 saved_bytes;
} MfEstimateDomain;

typedef struct {
    char *name; /* never "isolated": such a domain is a group of its own */
    guint domains_count;
    MfEstimateResult result;
} MfEstimateGroup;

typedef struct {
    guint64 page_size_bytes;
    guint domains_count; /* that were read */
    MfEstimateResult all;
    GPtrArray *groups;  /* of MfEstimateGroup, sorted by name */
    GPtrArray *domains; /* of MfEstimateDomain, sorted by group and name */
    gint64 took_usec;
} MfEstimateReport;

/* Reads domains (of MfDomain, with pid, policy and memory_kind), at most rate_bytes in a second.
 * Blocks for as long as that takes.  A domain that can't merge, or can't be read, is in the report
 * with the reason.  Errors: G_IO_ERROR_CANCELLED, and FAILED when there is no random key. */
MfEstimateReport *mf_estimate_run(MfRoot *root, const MfConfig *config, GPtrArray *domains,
                                  guint64 rate_bytes, MfEstimateProgress progress,
                                  gpointer user_data, GCancellable *cancellable, GError **error);
void mf_estimate_report_free(MfEstimateReport *report);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfEstimateReport, mf_estimate_report_free)
