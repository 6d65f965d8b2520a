/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What memfold changed on the host, and from what.
 *
 * The journal is a small file in the runtime directory.  It is written before the first write of
 * each knob, so that a memfoldd that dies at any moment leaves enough behind for the next one (or
 * for `memfoldd --restore`) to put every knob back.  A knob whose value is none that memfold wrote
 * was changed by somebody else: it is left alone.  Not thread-safe; apply serialises.
 */
#pragma once

#include "../core/mf-names.h"
#include "../core/mf-plan.h"
#include "../io/mf-root.h"

#define MF_JOURNAL_BAD_NAME MF_JOURNAL_NAME ".bad"

typedef struct _MfJournal MfJournal;

/* runtime is the runtime directory, host the tree of proc and sys. */
MfJournal *mf_journal_new(MfRoot *runtime, MfRoot *host);
void mf_journal_free(MfJournal *journal);

/* The runtime directory; the journal keeps ownership. */
MfRoot *mf_journal_get_runtime(const MfJournal *journal);

/* Reads what a dead memfoldd left.  A journal of another boot is removed, since its knobs are gone.
 * FALSE with error when there is one that can't be used.  ret_pid (of the dead one) may be NULL. */
gboolean mf_journal_load(MfJournal *journal, gint64 *ret_pid, GError **error);

/* Keeps one that can't be used as MF_JOURNAL_BAD_NAME, out of the way of the next one: an operator
 * may read the former values in it. */
gboolean mf_journal_set_aside(MfJournal *journal, GError **error);

/* Whether any knob stands changed. */
gboolean mf_journal_is_empty(const MfJournal *journal);

/* Notes, durably, that knob is about to be changed from its value from to the value to.  Only the
 * first from of a knob is kept as its original.  FALSE: do not write the knob. */
gboolean mf_journal_record(MfJournal *journal, MfKnob knob, const char *from, const char *to,
                           GError **error);

/* Puts every knob back, `run` last, logs a line for each, and removes the file when nothing is left
 * to do.  While other_manager (a name, or NULL) manages the knobs they are its own: they stay, and
 * the journal is closed.  FALSE when a knob could not be put back (it stays in the journal).
 * Blocks. */
gboolean mf_journal_restore(MfJournal *journal, const char *other_manager);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfJournal, mf_journal_free)
