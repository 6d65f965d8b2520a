/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stand-ins for what libmemfold calls of GDBus; meson.build renames them by -D. */
#include "mf-fuzz-daemon.h"

static GVariant *answer_value;
static const char *answer_error;
static GDBusSignalCallback on_signal;
static gpointer signal_data;

void
mf_fuzz_daemon_answers(GVariant *value, const char *error_name)
{
    answer_value = value;
    answer_error = error_name;
}

char *
g_dbus_address_get_for_bus_sync(G_GNUC_UNUSED GBusType type,
                                G_GNUC_UNUSED GCancellable *cancellable,
                                G_GNUC_UNUSED GError **error)
{
    return g_strdup("unix:path=none");
}

/* Nobody looks into it. */
GDBusConnection *
g_dbus_connection_new_for_address_sync(G_GNUC_UNUSED const gchar *address,
                                       G_GNUC_UNUSED GDBusConnectionFlags flags,
                                       G_GNUC_UNUSED GDBusAuthObserver *observer,
                                       G_GNUC_UNUSED GCancellable *cancellable,
                                       G_GNUC_UNUSED GError **error)
{
    return g_object_new(G_TYPE_OBJECT, NULL);
}

static GVariant *
give_answer(const GVariantType *reply_type, GError **error)
{
    if (answer_error != NULL) {
        GError *remote = g_dbus_error_new_for_dbus_error(answer_error, "no \033[31m\n %s %n");

        g_propagate_error(error, remote);
        return NULL;
    }
    if (answer_value == NULL) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "late");
        return NULL;
    }
    if (!g_variant_is_of_type(answer_value, reply_type)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "of another type");
        return NULL;
    }
    return g_variant_ref(answer_value);
}

GVariant *
g_dbus_connection_call_sync(G_GNUC_UNUSED GDBusConnection *connection,
                            G_GNUC_UNUSED const gchar *bus_name,
                            G_GNUC_UNUSED const gchar *object_path,
                            G_GNUC_UNUSED const gchar *interface_name,
                            G_GNUC_UNUSED const gchar *method_name, GVariant *parameters,
                            const GVariantType *reply_type, G_GNUC_UNUSED GDBusCallFlags flags,
                            G_GNUC_UNUSED gint timeout_msec,
                            G_GNUC_UNUSED GCancellable *cancellable, GError **error)
{
    if (parameters != NULL) {
        g_variant_unref(g_variant_ref_sink(parameters));
    }
    return give_answer(reply_type, error);
}

void
g_dbus_connection_call(G_GNUC_UNUSED GDBusConnection *connection,
                       G_GNUC_UNUSED const gchar *bus_name, G_GNUC_UNUSED const gchar *object_path,
                       G_GNUC_UNUSED const gchar *interface_name,
                       G_GNUC_UNUSED const gchar *method_name, GVariant *parameters,
                       const GVariantType *reply_type, G_GNUC_UNUSED GDBusCallFlags flags,
                       G_GNUC_UNUSED gint timeout_msec, G_GNUC_UNUSED GCancellable *cancellable,
                       GAsyncReadyCallback callback, gpointer user_data)
{
    g_autoptr(GTask) task = g_task_new(NULL, NULL, callback, user_data);
    GError *error = NULL;
    GVariant *reply = NULL;

    g_variant_unref(g_variant_ref_sink(parameters));
    if (on_signal != NULL && answer_value != NULL) {
        on_signal(NULL, NULL, NULL, NULL, NULL, answer_value, signal_data);
    }
    reply = give_answer(reply_type, &error);
    if (reply != NULL) {
        g_task_return_pointer(task, reply, (GDestroyNotify)g_variant_unref);
    } else {
        g_task_return_error(task, error);
    }
}

GVariant *
g_dbus_connection_call_finish(G_GNUC_UNUSED GDBusConnection *connection, GAsyncResult *res,
                              GError **error)
{
    return g_task_propagate_pointer(G_TASK(res), error);
}

guint
g_dbus_connection_signal_subscribe(
    G_GNUC_UNUSED GDBusConnection *connection, G_GNUC_UNUSED const gchar *sender,
    G_GNUC_UNUSED const gchar *interface_name, G_GNUC_UNUSED const gchar *member,
    G_GNUC_UNUSED const gchar *object_path, G_GNUC_UNUSED const gchar *arg0,
    G_GNUC_UNUSED GDBusSignalFlags flags, GDBusSignalCallback callback, gpointer user_data,
    G_GNUC_UNUSED GDestroyNotify user_data_free_func)
{
    on_signal = callback;
    signal_data = user_data;
    return 1;
}

void
g_dbus_connection_signal_unsubscribe(G_GNUC_UNUSED GDBusConnection *connection,
                                     G_GNUC_UNUSED guint subscription_id)
{
    on_signal = NULL;
}
