/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-authority.h"

#include <unistd.h>

#include "../core/mf-error.h"

#define UID_TIMEOUT_MSEC 2000
/* A person may have to type a password; libmemfold waits 25 seconds. */
#define POLKIT_TIMEOUT_MSEC 20000
#define ALLOW_INTERACTION   1u

typedef struct {
    GDBusConnection *connection;
    char *sender;
    char *action_id;
    guint32 polkit_flags;
    guint32 uid;
} Check;

static void
check_free(gpointer data)
{
    Check *check = data;

    g_object_unref(check->connection);
    g_free(check->sender);
    g_free(check->action_id);
    g_free(check);
}

static void
on_polkit(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(GTask) task = data;
    Check *check = g_task_get_task_data(task);
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) reply =
        g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);
    gboolean authorized = FALSE;

    if (!reply) {
        g_dbus_error_strip_remote_error(error);
        g_task_return_new_error(task, MF_ERROR, MF_ERROR_DENIED,
                                "only root may do that, since polkit could not be asked for %s: %s",
                                check->action_id, error->message);
        return;
    }
    g_variant_get(reply, "((bb@a{ss}))", &authorized, NULL, NULL);
    if (authorized) {
        g_task_return_boolean(task, TRUE);
    } else {
        g_task_return_new_error(task, MF_ERROR, MF_ERROR_DENIED,
                                "not allowed: polkit refuses %s (root may, and a polkit rule can "
                                "let others)",
                                check->action_id);
    }
}

static void
on_uid(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(GTask) task = data;
    Check *check = g_task_get_task_data(task);
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) reply =
        g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);
    g_auto(GVariantBuilder) subject = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a{sv}"));

    if (!reply) {
        g_task_return_new_error(task, MF_ERROR, MF_ERROR_DENIED, "the bus does not know you: %s",
                                error->message);
        return;
    }
    g_variant_get(reply, "(u)", &check->uid);
    if (check->uid == 0 || check->uid == getuid()) {
        g_task_return_boolean(task, TRUE);
        return;
    }
    g_variant_builder_add(&subject, "{sv}", "name", g_variant_new_string(check->sender));
    g_dbus_connection_call(check->connection, "org.freedesktop.PolicyKit1",
                           "/org/freedesktop/PolicyKit1/Authority",
                           "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization",
                           g_variant_new("((sa{sv})sa{ss}us)", "system-bus-name", &subject,
                                         check->action_id, NULL, check->polkit_flags, ""),
                           G_VARIANT_TYPE("((bba{ss}))"), G_DBUS_CALL_FLAGS_NONE,
                           POLKIT_TIMEOUT_MSEC, NULL, on_polkit, g_steal_pointer(&task));
}

void
mf_authority_check(GDBusMethodInvocation *invocation, const char *action_id,
                   GAsyncReadyCallback callback, gpointer user_data)
{
    GDBusConnection *connection = g_dbus_method_invocation_get_connection(invocation);
    GDBusMessage *message = g_dbus_method_invocation_get_message(invocation);
    const char *sender = g_dbus_method_invocation_get_sender(invocation);
    GTask *task = g_task_new(NULL, NULL, callback, user_data);
    Check *check = g_new0(Check, 1);

    check->connection = g_object_ref(connection);
    check->sender = g_strdup(sender);
    check->action_id = g_strdup(action_id);
    if (g_dbus_message_get_flags(message) & G_DBUS_MESSAGE_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION) {
        check->polkit_flags = ALLOW_INTERACTION;
    }
    g_task_set_task_data(task, check, check_free);
    g_dbus_connection_call(connection, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                           "org.freedesktop.DBus", "GetConnectionUnixUser",
                           g_variant_new("(s)", sender), G_VARIANT_TYPE("(u)"),
                           G_DBUS_CALL_FLAGS_NONE, UID_TIMEOUT_MSEC, NULL, on_uid, task);
}

gboolean
mf_authority_check_finish(GAsyncResult *result, guint *ret_uid, GError **error)
{
    *ret_uid = ((Check *)g_task_get_task_data(G_TASK(result)))->uid;
    return g_task_propagate_boolean(G_TASK(result), error);
}
