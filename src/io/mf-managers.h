/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who else governs KSM: processes of root's that write the knobs, too (ksmtuned, KubeVirt's
 * virt-handler).  A set-user-ID program that somebody else runs is not root's, whatever its name.
 * Nobody but root can have the look wait.
 *
 * A host with hundreds of domains has thousands of processes, and to look at each of them would be
 * the dearest part of a tick.  So who is new is looked at twice, since a program may be about to
 * start another one in its place, and of the rest a quarter at a time.
 */
#pragma once

#include "mf-root.h"

/* What is remembered from one look to the next.  For one thread at a time. */
typedef struct _MfManagers MfManagers;

MfManagers *mf_managers_new(void);
void mf_managers_free(MfManagers *managers);

/* Sets ret_name to the name of a manager that runs, g_free() it, or to NULL when none was seen: a
 * new process is one by the second look, any other by the fourth.  managers NULL: looks at all of
 * them.  FALSE with error when the processes can't be listed, and then ret_name is as it was.
 * Blocks. */
gboolean mf_managers_find(MfManagers *managers, MfRoot *root, char **ret_name, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfManagers, mf_managers_free)
