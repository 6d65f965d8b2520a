/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the host's files to a snapshot.
 *
 * What can't be read is absent from the snapshot, and why is told once for each subject.  The
 * accounts (who saves what) walk page tables, one process after the other; without them the earlier
 * figures of each domain are carried along.
 */
#pragma once

#include "../core/mf-types.h"
#include "../io/mf-root.h"

/* What collecting remembers from one time to the next: the text of the last problem of each subject
 * (a domain's UUID, "ksm", "host"), so that it is logged when it is new and not at every tick,
 * which processes were looked at (mf-managers.h), and which are still being read (mf-others.h). For
 * one thread at a time. */
typedef struct _MfProblems MfProblems;
MfProblems *mf_problems_new(void);
void mf_problems_free(MfProblems *problems);

/* Logs error (prefixed with what) unless it is what subject had before; NULL clears.  What is gone
 * or busy is no problem.  Without problems, nothing happens. */
void mf_problems_note(MfProblems *problems, const char *subject, const char *what,
                      const GError *error);

/* Forgets all that is about the domain: what has uuid, or uuid and a slash, for the begin of its
 * subject. */
void mf_problems_forget(MfProblems *problems, const char *uuid);

/* How long the last accounts waited in vain for processes that can't be read (mf-others.h). */
gint64 mf_problems_get_waited_usec(const MfProblems *problems);

/* Takes domains (of MfDomain, copies with all that is known of them) into a new snapshot and reads
 * the host and their figures; a domain whose process is not found keeps pid 0 and no figures.
 * with_accounts also fills what smaps tells, and other_saved_bytes; a domain that has no accounts
 * yet gets them in any case.  Problems of domains that are not among them are forgotten.  problems
 * may be NULL: nothing is logged then, and every process is looked at for other managers.  Blocks.
 */
MfSnapshot *mf_collect(MfRoot *root, GPtrArray *domains, gboolean with_accounts,
                       MfProblems *problems);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfProblems, mf_problems_free)
