/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-reply.h"

#include "../core/mf-error.h"

void
mf_reply_error(GDBusMethodInvocation *invocation, const GError *error)
{
    const char *name = MF_BUS_ERROR_PREFIX "Failed";

    if (mf_error_is_gone(error)) {
        name = MF_BUS_ERROR_PREFIX "NoDomain";
    } else if (mf_error_is_denied(error)) {
        name = MF_BUS_ERROR_PREFIX "Denied";
    } else if (mf_error_is_invalid(error)) {
        name = MF_BUS_ERROR_PREFIX "Invalid";
    } else if (mf_error_is_unsupported(error)) {
        name = MF_BUS_ERROR_PREFIX "Unsupported";
    } else if (mf_error_is_busy(error)) {
        name = MF_BUS_ERROR_PREFIX "Busy";
    }
    g_dbus_method_invocation_return_dbus_error(invocation, name, error->message);
}

gboolean
mf_reply_names_refused(GDBusMethodInvocation *invocation, const char *const *names)
{
    g_autoptr(GError) error = NULL;
    guint names_count = g_strv_length((char **)names);

    if (names_count <= MF_NAMES_MAX) {
        return FALSE;
    }
    error = g_error_new(MF_ERROR, MF_ERROR_INVALID,
                        "%u domains are named, more than %d; without a name all are meant",
                        names_count, MF_NAMES_MAX);
    mf_reply_error(invocation, error);
    return TRUE;
}
