/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may change something: root and the daemon's own user always, everybody else when polkit says
 * so.
 *
 * polkit is asked over D-Bus, without its library.  No polkit, no answer in time, no permission.
 */
#pragma once

#include <gio/gio.h>

/* Asks whether whoever sent the call may do action_id; polkit may ask a person only where the call
 * allows it.  finish: FALSE with MF_ERROR_DENIED, else the caller's UID in ret_uid. */
void mf_authority_check(GDBusMethodInvocation *invocation, const char *action_id,
                        GAsyncReadyCallback callback, gpointer user_data);
gboolean mf_authority_check_finish(GAsyncResult *result, guint *ret_uid, GError **error);
