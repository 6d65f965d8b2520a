/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which of our kernel's merge groups each domain belongs in.
 *
 * A policy names groups, the kernel numbers them.  The number that the first domain of a name is in
 * becomes that name's, and the others are moved there; a domain that is isolated has a number for
 * itself, and those that may merge with everyone are in 0.  A number that was somebody's never
 * becomes another one's: who changes his group, moves. After a restart numbers are taken as they
 * are found, where all who are in one belong together.
 */
#pragma once

#include <glib.h>

#include "mf-config.h"
#include "mf-plan.h"
#include "mf-types.h"

typedef struct {
    GHashTable *owners; /* guint64*: the kernel's number -> char*: whose it is */
    GHashTable *homes;  /* char*: name of a policy's group -> guint64*: its number */
} MfGroups;

void mf_groups_init(MfGroups *groups);
void mf_groups_clear(MfGroups *groups);

/* dest holds nothing yet. */
void mf_groups_copy(const MfGroups *src, MfGroups *dest);

/* Takes note of who is where.  Whose policy could not be read is taken for one of those he is with.
 * Does nothing on a kernel without groups. */
void mf_groups_note(const MfConfig *config, const MfSnapshot *snapshot, MfGroups *groups);

/* Whether the domain is where its policy wants it, with nobody else than that allows. */
gboolean mf_groups_in_place(const MfConfig *config, const MfGroups *groups, const MfDomain *domain);

/* Tells in the verdict why a domain that should merge is not in its place, and leaves its mode as
 * it is until it is; where moving it has failed, it must not merge. */
void mf_groups_judge(const MfConfig *config, const MfGroups *groups, const MfDomain *domain,
                     MfVerdict *verdict);

/* Appends a move for each domain that is not in its place.  headroom: what un-merging may take;
 * what the moves take is taken off it.  One that would take more, or nobody knows how much, stays,
 * is frozen where its QEMU can do that, and its verdict says so; where it can't, the number in
 * which it goes on merging is its owner's no more.  No domain is moved twice at a time, none whose
 * policy could not be read, and none to where a stranger still merges; of a name without a number
 * one domain goes first.  storms: who takes any memory by it stays for now. */
void mf_groups_decide(const MfConfig *config, const MfSnapshot *snapshot, MfGroups *groups,
                      MfU64 *headroom, gboolean storms, MfPlan *plan);
