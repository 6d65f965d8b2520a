/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-authority.h"

#include <unistd.h>

#include "../core/mf-error.h"

#define UID_TIMEOUT_MSEC 2000
/* A person may have to type a password; libmemfold waits 25 seconds. */
#define POLKIT_TIMEOUT_MSEC 20000
#define ALLOW_INTERACTION   1u
/* Each is kept for as long as a person takes to type. */
#define CHECKS_MAX     32
#define CHECKS_UID_MAX 4
#define POLKIT         "org.freedesktop.PolicyKit1"
#define POLKIT_OBJECT  "/org/freedesktop/PolicyKit1/Authority"

/* UIDs (guint32) of those that polkit is being asked for, once for each; of the main context. */
static GArray *asked_uids;
static guint last_number; /* of a question */

typedef struct {
    GDBusConnection *connection;
    char *sender;
    char *action_id;
    guint32 polkit_flags;
    guint32 uid;
    gboolean is_asked;         /* and so among asked_uids */
    char *cancellation_id;     /* by which polkit knows the question */
    GCancellable *cancellable; /* of the call to it */
    guint watch_id;            /* of the caller's name */
} Check;

/* FALSE: there are too many already. */
static gboolean
begin_asking(Check *check)
{
    guint same_count = 0;

    if (!asked_uids) {
        asked_uids = g_array_new(FALSE, FALSE, sizeof(guint32));
    }
    for (guint i = 0; i < asked_uids->len; i++) {
        same_count += g_array_index(asked_uids, guint32, i) == check->uid ? 1 : 0;
    }
    if (asked_uids->len >= CHECKS_MAX || same_count >= CHECKS_UID_MAX) {
        return FALSE;
    }
    g_array_append_val(asked_uids, check->uid);
    check->is_asked = TRUE;
    return TRUE;
}

static void
end_asking(Check *check)
{
    g_clear_handle_id(&check->watch_id, g_bus_unwatch_name);
    for (guint i = 0; check->is_asked && i < asked_uids->len; i++) {
        if (g_array_index(asked_uids, guint32, i) == check->uid) {
            g_array_remove_index_fast(asked_uids, i);
            check->is_asked = FALSE;
        }
    }
}

static void
check_free(gpointer data)
{
    Check *check = data;

    end_asking(check);
    g_clear_object(&check->cancellable);
    g_free(check->cancellation_id);
    g_object_unref(check->connection);
    g_free(check->sender);
    g_free(check->action_id);
    g_free(check);
}

/* What nobody waits for any more is not to stay on a person's screen. */
static void
take_back(const Check *check)
{
    g_dbus_connection_call(check->connection, POLKIT, POLKIT_OBJECT, POLKIT ".Authority",
                           "CancelCheckAuthorization", g_variant_new("(s)", check->cancellation_id),
                           NULL, G_DBUS_CALL_FLAGS_NO_AUTO_START, -1, NULL, NULL, NULL);
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

    end_asking(check);
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED) ||
        g_error_matches(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT)) {
        take_back(check);
    }
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
on_vanished(G_GNUC_UNUSED GDBusConnection *connection, G_GNUC_UNUSED const char *name,
            gpointer data)
{
    g_cancellable_cancel(((Check *)data)->cancellable);
}

/* Takes the task. */
static void
ask_polkit(GTask *task)
{
    Check *check = g_task_get_task_data(task);
    g_auto(GVariantBuilder) subject = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a{sv}"));

    check->cancellation_id = g_strdup_printf("memfold-%u", ++last_number);
    check->cancellable = g_cancellable_new();
    check->watch_id = g_bus_watch_name_on_connection(check->connection, check->sender,
                                                     G_BUS_NAME_WATCHER_FLAGS_NONE, NULL,
                                                     on_vanished, check, NULL);
    g_variant_builder_add(&subject, "{sv}", "name", g_variant_new_string(check->sender));
    g_dbus_connection_call(
        check->connection, POLKIT, POLKIT_OBJECT, POLKIT ".Authority", "CheckAuthorization",
        g_variant_new("((sa{sv})sa{ss}us)", "system-bus-name", &subject, check->action_id, NULL,
                      check->polkit_flags, check->cancellation_id),
        G_VARIANT_TYPE("((bba{ss}))"), G_DBUS_CALL_FLAGS_NONE, POLKIT_TIMEOUT_MSEC,
        check->cancellable, on_polkit, task);
}

static void
on_uid(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(GTask) task = data;
    Check *check = g_task_get_task_data(task);
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) reply =
        g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);

    if (!reply) {
        g_task_return_new_error(task, MF_ERROR, MF_ERROR_DENIED, "the bus does not know you: %s",
                                error->message);
        return;
    }
    g_variant_get(reply, "(u)", &check->uid);
    if (check->uid == 0 || check->uid == getuid()) {
        g_task_return_boolean(task, TRUE);
    } else if (!begin_asking(check)) {
        g_task_return_new_error(task, MF_ERROR, MF_ERROR_BUSY,
                                "too many wait for polkit's word already; try again when one has "
                                "it");
    } else {
        ask_polkit(g_steal_pointer(&task));
    }
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
    GDBusMessageFlags flags = g_dbus_message_get_flags(message);

    check->connection = g_object_ref(connection);
    check->sender = g_strdup(sender);
    check->action_id = g_strdup(action_id);
    if (flags & G_DBUS_MESSAGE_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION) {
        check->polkit_flags = ALLOW_INTERACTION;
    }
    g_task_set_task_data(task, check, check_free);
    if (flags & G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED) {
        g_task_return_new_error(task, MF_ERROR, MF_ERROR_DENIED,
                                "who asks for %s has to wait for the answer", action_id);
        g_object_unref(task);
        return;
    }
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
