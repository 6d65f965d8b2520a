/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What mf-why.c, about memory and marks, and mf-why-pages.c, about pages, share. */
#pragma once

#include "mf-why.h"

/* What one reason is found with. */
typedef struct {
    const MfSnapshot *snapshot;
    const MfWatch *watch;
    const MfPlan *plan;
    const MfDomain *domain;
    gboolean settled; /* every domain that should merge was looked at twice */
} MfEvidence;

/* A person wins nothing by reading of less. */
#define MF_WHY_WORTH_BYTES (G_GUINT64_CONSTANT(4) * 1024 * 1024)

/* Whether so much is worth a sentence about a domain: also a tenth of what it has in memory, since
 * below that it still merges well. */
gboolean mf_why_is_worth(const MfDomain *domain, guint64 bytes);

/* Each returns a reason, the caller's, or NULL. */
MfReason *mf_why_not_scanned(const MfEvidence *evidence);
MfReason *mf_why_volatile(const MfEvidence *evidence);
MfReason *mf_why_huge_pages(const MfEvidence *evidence);
MfReason *mf_why_other_node(const MfEvidence *evidence);
MfReason *mf_why_sharing_limit(const MfEvidence *evidence);
MfReason *mf_why_swapped_in(const MfEvidence *evidence);
