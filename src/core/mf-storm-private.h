/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the choices of who gives way share: mf-storm-victims.c has them all, mf-storm-balloons.c
 * those about balloons, mf-storm-resume.c who may go on. */
#pragma once

#include "mf-storm.h"

/* Less is not worth a call. */
#define MF_STORM_RELIEF_MIN_BYTES (1024 * 1024)
/* Nobody counts on what was asked for after that. */
#define MF_STORM_OVERDUE_USEC (5 * G_USEC_PER_SEC)
/* What a domain takes again shows by then, and the next one may follow. */
#define MF_STORM_SETTLE_USEC (5 * G_USEC_PER_SEC)

/* The remedy for who gives way in a storm. */
#define MF_STORM_GIVES_WAY_REMEDY "raise its priority to have others give way first"

typedef struct {
    const MfDomain *domain;
    MfVictim *victim;
    MfVerdict *verdict;
} MfCandidate;

/* Under way, and not for so long that nobody counts on it any more. */
gboolean mf_storm_is_under_way(const MfErrand *errand, gint64 now_usec);

/* Not under way, and no wait after a failure. */
gboolean mf_storm_may_be_asked(const MfErrand *errand, gint64 now_usec);

/* Adds an action and tells the verdict; takes reason. */
void mf_storm_act(MfPlan *plan, const MfCandidate *candidate, MfActionKind kind, guint64 bytes,
                  gint64 now_usec, MfReason *reason);

/* written_bytes: since it was noted last. */
void mf_unseen_note(MfUnseen *unseen, const MfHost *host, guint64 written_bytes);

/* Takes in what the domain saves, in case that it ends.  Another QEMU than before: it has. */
void mf_storm_note_shared(MfStorm *storm, const MfDomain *domain);

/* The domain has ended, and KSM's counters take its merged pages for saved until ksmd comes by. */
void mf_storm_bury(MfStorm *storm, MfVictim *victim);

/* How much of what was written is memfold's own un-merging; it is still to be expected no longer.
 */
guint64 mf_storm_take_unmerged(MfStorm *storm, guint64 written_bytes, gint64 now_usec);

/* After that.  under_way: the domain is being un-merged or moved, or was not yet when the snapshot
 * was begun. */
void mf_storm_note_unmerging(MfVictim *victim, gboolean under_way);

/* What un-merging by the plan would take, once it is begun. */
void mf_storm_plan_unmerging(const MfSnapshot *snapshot, const MfPlan *plan, MfStorm *storm);

/* What must be at hand for somebody to take so much. */
guint64 mf_storm_room_bytes(guint64 need_bytes);
gboolean mf_storm_is_room_for(const MfStorm *storm, MfU64 need);

/* candidates: of MfCandidate, who gives way first comes first. */
void mf_storm_plan_balloons(const MfSnapshot *snapshot, const MfStorm *storm,
                            const GArray *candidates, MfPlan *plan);
void mf_storm_plan_deflation(const MfSnapshot *snapshot, const MfStorm *storm,
                             const GArray *candidates, MfPlan *plan);
void mf_storm_plan_resumption(const MfSnapshot *snapshot, const MfStorm *storm,
                              const GArray *candidates, MfPlan *plan);
