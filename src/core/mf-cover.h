/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Could the host give everything back?
 *
 * What merging saves is a promise: any guest may write to any of its pages, and then each merged
 * page becomes a page of its own again.  If all of them are written at once, the host needs all
 * that it saves now.  What covers that is memory that is available and swap that is free.  Merging
 * more does not change the difference of the two, since what it saves becomes available: it is what
 * uses that memory afterwards that does.  So growth ends while there is still something to cover
 * with.
 */
#pragma once

#include "mf-config.h"
#include "mf-plan.h"
#include "mf-types.h"

typedef struct {
    MfU64 need_bytes;        /* of a storm: what the host saves now */
    MfU64 have_bytes;        /* MemAvailable + SwapFree */
    MfU64 covered_permyriad; /* have / need; G_MAXUINT64 when nothing is needed */
} MfCover;

/* Absent is what the host could not be asked.  Pure. */
MfCover mf_cover_measure(const MfHost *host);

/* Whether ksmd must not save more.  *uncovered is what was said the last time: once below, coverage
 * has to rise clearly above the limit.  What is not known changes nothing.  Pure but for uncovered.
 */
gboolean mf_cover_forbids_growth(const MfConfig *config, const MfCover *cover, gboolean *uncovered);

/* One sentence with figures and remedy.  cover must be known.  The caller owns it. */
MfReason *mf_cover_reason(const MfConfig *config, const MfCover *cover);
