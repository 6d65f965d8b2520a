/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What keeps a domain that should merge from merging, from the ground up.
 *
 * Policy and host say whether a domain is merged; they are decide's and the governor's.  This is
 * about what comes after: memory that can't merge whatever is marked, and pages that ksmd has not
 * come to, can't hold, or does not find equal ones for.  A reason is told only with evidence above
 * a threshold, and what can't be read is no evidence.
 */
#pragma once

#include "mf-plan.h"
#include "mf-types.h"
#include "mf-watch.h"

/* Adds to the verdicts of plan, one for each domain of snapshot, and to its host_reasons.  In a
 * verdict they stand behind what keeps the domain from being marked, and before the policy that it
 * is merged by.  Pure but for plan. */
void mf_why_tell(const MfSnapshot *snapshot, const MfWatch *watch, MfPlan *plan);
