/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may change something: root and the daemon's own user always, everybody else when polkit says
 * so.
 *
 * polkit is asked over D-Bus, without its library.  No polkit, no answer in time, no permission.
 * A few questions at a time for each user, and for all: who may not do a thing is not to fill
 * memfoldd, or a person's screen, by asking for it.
 */
#pragma once

#include <gio/gio.h>

/* Asks whether whoever sent the call may do action_id; polkit may ask a person only where the call
 * allows it, and is told when the caller leaves.  Who expects no reply is refused.  finish: FALSE
 * with MF_ERROR_DENIED, or MF_ERROR_BUSY when too many wait for polkit; the caller's UID is in
 * ret_uid. */
void mf_authority_check(GDBusMethodInvocation *invocation, const char *action_id,
                        GAsyncReadyCallback callback, gpointer user_data);
gboolean mf_authority_check_finish(GAsyncResult *result, guint *ret_uid, GError **error);
