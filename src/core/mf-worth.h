/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does merging this domain pay?  What merge=auto rests on.
 *
 * Every page that ksmd looks at costs the kernel an item of 64 bytes to remember it by, and CPU
 * time at each sweep.  A domain is on trial until ksmd has swept over it a few times.  One that
 * saves no more than its own items take, or whose merged pages are all written again from one sweep
 * to the next, is stopped: frozen where that is possible, else un-merged.  What is true today need
 * not be true tomorrow, so it is tried again after a pause that doubles each time, and at once when
 * a domain arrives that it may merge with.
 */
#pragma once

#include "mf-config.h"
#include "mf-plan.h"
#include "mf-types.h"

/* What is remembered of each domain with merge=auto: uuid -> what is private to mf-worth.c. */
typedef struct {
    GHashTable *trials;
} MfTrials;

void mf_trials_init(MfTrials *trials);
void mf_trials_clear(MfTrials *trials);

/* Makes of copy, which is not initialised, all that trials is. */
void mf_trials_copy(const MfTrials *trials, MfTrials *ret_copy);

/* Notes how the domains of the snapshot do: begins, ends and repeats trials.  What is not known
 * ends no trial.  Pure but for trials. */
void mf_trials_note(const MfConfig *config, const MfSnapshot *snapshot, MfTrials *trials);

/* Whether the domain is stopped because it does not pay; then *ret_reason says so with figures (the
 * caller owns it).  now_usec: as the snapshot's taken_usec. */
gboolean mf_trials_stopped(const MfTrials *trials, const MfDomain *domain, gint64 now_usec,
                           MfReason **ret_reason);
