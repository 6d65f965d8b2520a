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
