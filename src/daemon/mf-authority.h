/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may change something: root and the daemon's own user always, everybody else when polkit says
 * so.
 *
 * polkit is asked over D-Bus, without its library.  No polkit, no answer in time, no permission.
 */
#pragma once

#include <gio/gio.h>

/* Asks whether sender (a unique bus name) may do action_id.  finish: FALSE with MF_ERROR_DENIED. */
void mf_authority_check(GDBusConnection *connection, const char *sender, const char *action_id,
                        GAsyncReadyCallback callback, gpointer user_data);
gboolean mf_authority_check_finish(GAsyncResult *result, GError **error);
