/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What memfold owes to domains: a resumption to those that it paused, memory to those whose balloon
 * it filled.
 *
 * It is a small file in the runtime directory, written before the domain is asked, so that a
 * memfoldd that dies leaves nobody paused for ever: the next one goes on where it was.  A debt is
 * to one QEMU, by its PID, of one boot of the host.  Any thread.
 */
#pragma once

#include "../core/mf-balloon.h"
#include "../io/mf-root.h"

#define MF_OWED_NAME "owed"

typedef struct _MfOwed MfOwed;

typedef struct {
    gint64 pid;
    gboolean suspended;
    MfBalloon balloon; /* before_bytes 0: nothing is owed */
} MfDebt;

/* runtime is the runtime directory, host the tree of proc. */
MfOwed *mf_owed_new(MfRoot *runtime, MfRoot *host);
void mf_owed_free(MfOwed *owed);

/* Reads what an earlier memfoldd left; of another boot, nothing.  FALSE with error when the file
 * can't be used; nothing is owed then.  Blocks. */
gboolean mf_owed_load(MfOwed *owed, GError **error);

/* Notes a debt durably, or that there is none any more (all of it FALSE or 0).  FALSE: do not ask
 * the domain; BUSY when the debt names no PID: who comes after us could not take it up.  Blocks. */
gboolean mf_owed_set(MfOwed *owed, const char *uuid, const MfDebt *debt, GError **error);

/* The domain runs: it is owed no resumption any more.  FALSE: that could not be written, and it is
 * owed one still.  Blocks. */
gboolean mf_owed_resumed(MfOwed *owed, const char *uuid, GError **error);

/* What is owed to the domain; FALSE when it is nothing. */
gboolean mf_owed_get(MfOwed *owed, const char *uuid, MfDebt *ret_debt);

/* The guest's balloon was looked at: it has now_bytes.  Written down when it has come down further,
 * so that who comes after us knows what somebody else has set, and when it has all again.  FALSE
 * when no memory is owed (any more); ret_balloon is all 0 then.  Blocks. */
gboolean mf_owed_look(MfOwed *owed, const char *uuid, guint64 now_bytes, MfBalloon *ret_balloon);

/* The domain has gone.  Does not block: the file follows with the next debt. */
void mf_owed_forget(MfOwed *owed, const char *uuid);

/* UUIDs of all whom something is owed, NULL-terminated, g_strfreev(). */
char **mf_owed_list(MfOwed *owed);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfOwed, mf_owed_free)
