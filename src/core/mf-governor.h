/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ksmd's reins: whether it runs and how fast.  The half of mf_decide() that is about the host.
 */
#pragma once

#include "mf-decide.h"

/* Notes ksmd's CPU time in memory.  TRUE when memory->ksmd_cpu_permyriad is a new measurement over
 * an interval in which ksmd ran at both ends. */
gboolean mf_governor_measure(const MfSnapshot *snapshot, MfMemory *memory);

/* Appends knob actions and the host's reasons, and says by plan->governs whose the knobs are.
 * merging: of const MfDomain, that should merge and can. fresh: what mf_governor_measure() said. */
void mf_governor_decide(const MfConfig *config, const MfSnapshot *snapshot, MfMemory *memory,
                        const GPtrArray *merging, gboolean fresh, MfPlan *plan);
