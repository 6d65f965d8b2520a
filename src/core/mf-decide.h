/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The only place that chooses.
 *
 * mf_decide() looks at a configuration, a snapshot and what it remembers, and says what should be
 * done and why.  It is pure: no clock (time is snapshot->taken_usec), no file, no error.  What it
 * can't know leads to doing nothing and saying so.
 */
#pragma once

#include <glib.h>

#include "mf-boost.h"
#include "mf-config.h"
#include "mf-groups.h"
#include "mf-pace.h"
#include "mf-plan.h"
#include "mf-storm.h"
#include "mf-types.h"
#include "mf-watch.h"
#include "mf-worth.h"

/* What decide remembers from one tick to the next. */
typedef struct {
    gint64 last_taken_usec; /* when ksmd's CPU time was noted last; 0: not yet */
    MfU64 last_ksmd_cpu_usec;
    gboolean last_running;    /* ksmd ran then */
    MfU64 ksmd_cpu_permyriad; /* of one CPU, over the last interval of a second or more */
    MfU64 cost_cpu_usec; /* ksmd's CPU time and pages_scanned when the measuring of a page began */
    MfU64 cost_scanned_pages;
    MfU64 page_cost_nsec;        /* CPU time of ksmd a page, lately; absent: not measured yet */
    guint last_budget_permyriad; /* that pages_to_scan was chosen for; 0: not yet */
    MfPacing pacing;
    MfBoosts boosts;
    MfWatch watch;
    MfTrials trials;
    MfStorm storm;
    MfGroups groups;
    gboolean uncovered;      /* see mf-cover.h */
    gboolean litter;         /* ksmd may keep what it knew of domains that merge no longer */
    MfU64 litter_scan;       /* full_scans when it began to drop that */
    gint64 litter_end_usec;  /* when it stops even if it is not done */
    gint64 audit_end_usec;   /* until when ksmd waits for an audit, at the longest; 0: for none */
    GHashTable *start_holds; /* uuid -> gint64* monotonic deadline: see mf_memory_hold() */
} MfMemory;

MfMemory *mf_memory_new(void);
void mf_memory_free(MfMemory *memory);

/* All of it, holds included: what is decided with the copy leaves the original as it is. */
MfMemory *mf_memory_copy(const MfMemory *memory);

/* A domain that must not merge is about to start with its memory marked (QEMU's default): ksmd is
 * stopped until mf_memory_release() or until_usec, whichever comes first. */
void mf_memory_hold(MfMemory *memory, const char *uuid, gint64 until_usec);
void mf_memory_release(MfMemory *memory, const char *uuid);

/* The mode that a domain should have by its policy alone, with the reasons appended to reasons (may
 * be NULL).  group_enforced says that the domain is kept apart already (MF_CAP_GROUP), not that the
 * kernel could.  Used by decide, and at a domain's start (then FALSE: nobody has put it in a
 * group). */
MfMode mf_decide_mode(const MfConfig *config, const MfPolicy *policy, gboolean nosharepages,
                      MfMemoryKind memory_kind, gboolean group_enforced, GPtrArray *reasons);

/* The whole decision.  memory is updated.  Never NULL. */
MfPlan *mf_decide(const MfConfig *config, const MfSnapshot *snapshot, MfMemory *memory);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfMemory, mf_memory_free)
