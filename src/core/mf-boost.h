/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * boost="on": which domains ksmd is to scan now, before all others.
 *
 * Our kernel scans a process once, out of turn, when it is asked to.  So a domain that has come is
 * asked for again and again while its guest boots and its memory fills, and until it has been
 * scanned twice: a page is merged in the second scan that finds it unchanged.  A domain that ksmd
 * has been through twice is not new, whoever comes to govern it.
 */
#pragma once

#include "mf-plan.h"
#include "mf-types.h"

/* What is remembered of each domain with boost="on": uuid -> what is private to mf-boost.c. */
typedef struct {
    GHashTable *boosts;
} MfBoosts;

void mf_boosts_init(MfBoosts *boosts);
void mf_boosts_clear(MfBoosts *boosts);

/* Makes of copy, which is not initialised, all that boosts is. */
void mf_boosts_copy(const MfBoosts *boosts, MfBoosts *ret_copy);

/* Appends an action for each domain of merging (of const MfDomain, that should merge and can) that
 * is to be scanned now.  Whoever is asked for is scanned without a sleep between batches, so this
 * is for a ksmd that is meant to work hard, and that the kernel keeps to budget_permyriad of a CPU;
 * nothing is asked of a kernel that does not do so, or has no such file.  Pure but for boosts. */
void mf_boosts_decide(const MfSnapshot *snapshot, const GPtrArray *merging, guint budget_permyriad,
                      MfBoosts *boosts, MfPlan *plan);
