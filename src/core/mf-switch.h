/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From verdicts to switches: which domains' merging is turned off or on in this tick.
 *
 * Turning merging off gives every merged page back as a page of its own.  So it is done for one
 * domain at a time, and only when what it takes is known and there.  Moving a domain to another
 * group takes the same, from the same headroom.
 */
#pragma once

#include "mf-config.h"
#include "mf-plan.h"
#include "mf-types.h"

/* What un-merging may take: available memory above the reserve, less what un-mergings and moves
 * that are under way may still take. */
MfU64 mf_switch_headroom(const MfConfig *config, const MfSnapshot *snapshot);

/* Turns merging off where the plan's verdicts want that and headroom allows it. */
void mf_switch_off(const MfConfig *config, const MfSnapshot *snapshot, MfU64 headroom,
                   MfPlan *plan);

/* In a storm: only for those who have nothing merged; the rest are told to wait for its end. */
void mf_switch_hold_off(const MfSnapshot *snapshot, MfPlan *plan);

/* All other switches, which take no memory. */
void mf_switch_rest(const MfSnapshot *snapshot, MfPlan *plan);
