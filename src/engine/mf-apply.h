/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one writer of knobs.
 *
 * Every write goes through the journal first.  Writers may come from several threads (a tick's
 * plan, and the hold that a starting domain asks for); they are let in one at a time, and while a
 * hold stands none starts ksmd.
 */
#pragma once

#include "../core/mf-plan.h"
#include "../io/mf-root.h"
#include "mf-journal.h"

typedef struct _MfApply MfApply;

/* journal stays the caller's and must outlive the result. */
MfApply *mf_apply_new(MfRoot *host, MfJournal *journal);
void mf_apply_free(MfApply *apply);

/* Carries out the knob actions of a plan in order, each for itself; a failure is logged when its
 * text is new.  Returns how many were written.  Blocks (ksmd finishes its batch first).  Any
 * thread. */
guint mf_apply_knobs(MfApply *apply, const MfPlan *plan);

/* Which knobs could not be written when that was last tried, of MfReason; g_ptr_array_unref().
 * Does not block.  Any thread. */
GPtrArray *mf_apply_dup_failures(MfApply *apply);

/* There is nothing to write, and so nothing that fails. */
void mf_apply_clear_failures(MfApply *apply);

/* From now on ksmd is not started, until mf_apply_release().  Does not block.  Any thread. */
void mf_apply_hold(MfApply *apply);
void mf_apply_release(MfApply *apply);

/* Stops ksmd if it runs and the hold still stands.  Blocks until it has finished its batch.  Any
 * thread. */
gboolean mf_apply_stop_ksmd(MfApply *apply, GError **error);

/* From now on every write of a plan or a hold is refused (mf_apply_restore() still works). */
void mf_apply_close(MfApply *apply);

/* Puts every knob back, or leaves them to other_manager; see mf_journal_restore().  Blocks. */
gboolean mf_apply_restore(MfApply *apply, const char *other_manager);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfApply, mf_apply_free)
