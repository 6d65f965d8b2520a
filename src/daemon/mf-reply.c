/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-reply.h"

#include <string.h>

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

void
mf_reply_no_domain(GDBusMethodInvocation *invocation, const char *name_or_uuid)
{
    g_autofree char *text =
        g_strdup_printf("no running domain \"%s\" (memfold status lists them)", name_or_uuid);

    g_dbus_method_invocation_return_dbus_error(invocation, MF_BUS_ERROR_PREFIX "NoDomain", text);
}

gboolean
mf_reply_is_unwanted(GDBusMethodInvocation *invocation)
{
    GDBusMessage *message = g_dbus_method_invocation_get_message(invocation);

    if (!(g_dbus_message_get_flags(message) & G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED)) {
        return FALSE;
    }
    g_dbus_method_invocation_return_dbus_error(invocation, MF_BUS_ERROR_PREFIX "Invalid",
                                               "nobody waits for an answer");
    return TRUE;
}

static void
refuse(GDBusMethodInvocation *invocation, GError *error)
{
    g_autoptr(GError) owned = error;

    mf_reply_error(invocation, owned);
}

gboolean
mf_reply_names_refused(GDBusMethodInvocation *invocation, const char *const *names)
{
    guint names_count = g_strv_length((char **)names);

    if (names_count > MF_NAMES_MAX) {
        refuse(invocation,
               g_error_new(MF_ERROR, MF_ERROR_INVALID,
                           "%u domains are named, more than %d; without a name all are meant",
                           names_count, MF_NAMES_MAX));
        return TRUE;
    }
    for (guint i = 0; i < names_count; i++) {
        if (strlen(names[i]) > MF_NAME_MAX_BYTES) {
            refuse(invocation,
                   g_error_new(MF_ERROR, MF_ERROR_INVALID,
                               "a domain's name is longer than %d bytes; name it by its UUID",
                               MF_NAME_MAX_BYTES));
            return TRUE;
        }
    }
    return FALSE;
}

gboolean
mf_reply_word_refused(GDBusMethodInvocation *invocation, const char *word)
{
    if (strlen(word) <= MF_WORD_MAX_BYTES) {
        return FALSE;
    }
    refuse(invocation,
           g_error_new(MF_ERROR, MF_ERROR_INVALID, "a word of a policy is longer than %d bytes",
                       MF_WORD_MAX_BYTES));
    return TRUE;
}
