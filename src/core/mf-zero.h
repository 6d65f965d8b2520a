/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * merge=zero, where the kernel can merge the pages of zeroes of a process alone.
 *
 * That says nothing of what is merged already.  So the domain is un-merged first, then its process
 * is told to merge zeroes only ("+zero" in its ksm_flags), and then its memory is marked again.
 */
#pragma once

#include "mf-plan.h"
#include "mf-types.h"

/* Takes back the verdict that this host can't, where it can; where only the domain's memory can't
 * merge, no more than that is left to tell. */
void mf_zero_judge(const MfDomain *domain, MfVerdict *verdict);

/* Appends what the processes are to be told, so that each is as its policy says.  Nothing is told
 * to one that is being told something, or whose flags are not known. */
void mf_zero_decide(const MfSnapshot *snapshot, MfPlan *plan);
