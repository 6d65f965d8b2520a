/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-control.h"

#include "../core/mf-names.h"
#include "mf-auditor.h"
#include "mf-authority.h"
#include "mf-build.h"
#include "mf-bus.h"
#include "mf-describe-call.h"
#include "mf-estimator.h"
#include "mf-plan-call.h"
#include "mf-reply.h"
#include "mf-report-call.h"

#define BUS_RETRY_SEC      5
#define CHANGED_DELAY_MSEC 50
#define NAME_DO_NOT_QUEUE  4u
#define NAME_PRIMARY_OWNER 1u
#define NAME_ALREADY_OWNER 4u

struct _MfControl {
    MfEngine *engine;
    MfControlHandlers handlers;
    gpointer user_data;
    gboolean is_ready;
    gboolean bus_warned;

    GCancellable *cancellable; /* of calls that must not come back after free */
    GDBusConnection *connection;
    gulong closed_id;
    guint retry_id;
    guint changed_id;
    MfBusHost *host;
    GHashTable *domains; /* uuid -> MfBusDomain, exported */
};

/* A policy that is being set. */
typedef struct {
    MfEngine *engine;
    GDBusMethodInvocation *invocation;
    char *uuid;
    char *name;
    guint uid; /* of who sets a policy */
    char *attribute;
    char *value;
} Call;

static void connect_begin(MfControl *control);

static Call *
call_new(MfControl *control, GDBusMethodInvocation *invocation, const char *uuid)
{
    Call *call = g_new0(Call, 1);

    call->engine = mf_engine_ref(control->engine);
    call->invocation = invocation;
    call->uuid = g_strdup(uuid);
    return call;
}

static void
call_free(Call *call)
{
    mf_engine_unref(call->engine);
    g_free(call->uuid);
    g_free(call->name);
    g_free(call->attribute);
    g_free(call->value);
    g_free(call);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Call, call_free)

static char *
domain_path(const char *uuid)
{
    g_autofree char *tail = g_strdelimit(g_strdup(uuid), "-", '_');

    return g_strdup_printf("%s/%s", MF_OBJECT_DOMAINS, tail);
}

static gboolean
on_find_domain(MfBusHost *host, GDBusMethodInvocation *invocation, const char *name_or_uuid,
               gpointer data)
{
    MfControl *control = data;
    const MfDomain *domain = mf_engine_find(control->engine, name_or_uuid);
    g_autofree char *path = domain ? domain_path(domain->uuid) : NULL;

    if (path) {
        mf_bus_host_complete_find_domain(host, invocation, path);
    } else {
        mf_reply_no_domain(invocation, name_or_uuid);
    }
    return TRUE;
}

/* polkit may answer while memfoldd already ends: control is there until cancellable is cancelled.
 */
typedef struct {
    MfControl *control;
    GCancellable *cancellable;
    GDBusMethodInvocation *invocation;
} Reload;

static void
on_reload_checked(G_GNUC_UNUSED GObject *source, GAsyncResult *result, gpointer data)
{
    g_autofree Reload *reload = data;
    g_autoptr(GCancellable) cancellable = reload->cancellable;
    g_autoptr(GError) error = NULL;
    guint uid = 0;

    if (mf_authority_check_finish(result, &uid, &error) &&
        !g_cancellable_set_error_if_cancelled(cancellable, &error) &&
        reload->control->handlers.reload(reload->control->user_data, &error)) {
        g_dbus_method_invocation_return_value(reload->invocation, NULL);
    } else {
        mf_reply_error(reload->invocation, error);
    }
}

static gboolean
on_reload(G_GNUC_UNUSED MfBusHost *host, GDBusMethodInvocation *invocation, gpointer data)
{
    Reload *reload = g_new0(Reload, 1);

    reload->control = data;
    reload->cancellable = g_object_ref(reload->control->cancellable);
    reload->invocation = invocation;
    mf_authority_check(invocation, MF_POLKIT_RELOAD, on_reload_checked, reload);
    return TRUE;
}

static gboolean
on_estimate(G_GNUC_UNUSED MfBusHost *host, GDBusMethodInvocation *invocation,
            const char *const *names, GVariant *options, gpointer data)
{
    mf_estimator_answer(((MfControl *)data)->engine, invocation, names, options);
    return TRUE;
}

static void
on_policy_set(G_GNUC_UNUSED GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(Call) call = data;
    g_autoptr(GError) error = NULL;

    if (mf_engine_set_policy_finish(result, &error)) {
        g_message("domain \"%s\": policy %s=\"%s\" was set for UID %u", call->name, call->attribute,
                  call->value, call->uid);
        g_dbus_method_invocation_return_value(call->invocation, NULL);
    } else {
        mf_reply_error(call->invocation, error);
    }
}

static void
on_set_policy_checked(G_GNUC_UNUSED GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(Call) call = data;
    g_autoptr(GError) error = NULL;
    const MfDomain *domain = NULL;

    if (!mf_authority_check_finish(result, &call->uid, &error)) {
        mf_reply_error(call->invocation, error);
        return;
    }
    domain = mf_engine_get(call->engine, call->uuid);
    if (!domain) {
        mf_reply_no_domain(call->invocation, call->uuid);
        return;
    }
    call->name = g_strdup(domain->name);
    mf_engine_set_policy(call->engine, call->uuid, call->attribute, call->value, on_policy_set,
                         call);
    g_steal_pointer(&call);
}

static gboolean
on_set_policy(MfBusDomain *skeleton, GDBusMethodInvocation *invocation, const char *attribute,
              const char *value, gpointer data)
{
    Call *call = NULL;

    if (mf_reply_word_refused(invocation, attribute) || mf_reply_word_refused(invocation, value)) {
        return TRUE;
    }
    call = call_new(data, invocation, mf_bus_domain_get_uuid(skeleton));
    call->attribute = g_strdup(attribute);
    call->value = g_strdup(value);
    mf_authority_check(invocation, MF_POLKIT_SET, on_set_policy_checked, call);
    return TRUE;
}

static void
export_domain(MfControl *control, const MfDomain *domain)
{
    MfBusDomain *skeleton = mf_bus_domain_skeleton_new();
    g_autofree char *path = domain_path(domain->uuid);
    g_autoptr(GError) error = NULL;

    mf_bus_domain_set_uuid(skeleton, domain->uuid);
    mf_bus_domain_set_name(skeleton, domain->name);
    g_signal_connect(skeleton, "handle-describe", G_CALLBACK(mf_describe_domain_call),
                     control->engine);
    g_signal_connect(skeleton, "handle-set-policy", G_CALLBACK(on_set_policy), control);
    if (!g_dbus_interface_skeleton_export(G_DBUS_INTERFACE_SKELETON(skeleton), control->connection,
                                          path, &error)) {
        g_warning("D-Bus: %s: %s", path, error->message);
    }
    g_hash_table_insert(control->domains, g_strdup(domain->uuid), skeleton);
}

/* Whatever could not be exported need not be taken back. */
static void
unexport(gpointer skeleton)
{
    if (g_dbus_interface_skeleton_get_connection(skeleton)) {
        g_dbus_interface_skeleton_unexport(skeleton);
    }
}

static void
unexport_and_free(gpointer skeleton)
{
    unexport(skeleton);
    g_object_unref(skeleton);
}

/* Brings the exported objects in line with the engine's domains. */
static void
export_domains(MfControl *control)
{
    g_autoptr(GPtrArray) domains = mf_engine_list_domains(control->engine);
    GHashTableIter iter;
    gpointer uuid = NULL;

    g_hash_table_iter_init(&iter, control->domains);
    while (g_hash_table_iter_next(&iter, &uuid, NULL)) {
        if (!mf_engine_get(control->engine, uuid)) {
            g_hash_table_iter_remove(&iter);
        }
    }
    for (guint i = 0; i < domains->len; i++) {
        const MfDomain *domain = domains->pdata[i];

        MfBusDomain *skeleton = g_hash_table_lookup(control->domains, domain->uuid);

        /* One that was away may have another name now.  The property is not set where it is
         * exported: the whole bus would be told. */
        if (!skeleton || g_strcmp0(mf_bus_domain_get_name(skeleton), domain->name) != 0) {
            g_hash_table_remove(control->domains, domain->uuid);
            export_domain(control, domain);
        }
    }
}

static gboolean
on_changed_due(gpointer data)
{
    MfControl *control = data;

    control->changed_id = 0;
    mf_bus_host_emit_changed(control->host);
    return G_SOURCE_REMOVE;
}

static void
on_engine_changed(G_GNUC_UNUSED MfEngine *engine, gpointer data)
{
    MfControl *control = data;

    if (!control->connection) {
        return;
    }
    export_domains(control);
    if (control->changed_id == 0) {
        control->changed_id = g_timeout_add(CHANGED_DELAY_MSEC, on_changed_due, control);
    }
}

static void
say_ready(MfControl *control)
{
    if (!control->is_ready) {
        control->is_ready = TRUE;
        control->handlers.ready(control->user_data);
    }
}

static gboolean
on_retry(gpointer data)
{
    MfControl *control = data;

    control->retry_id = 0;
    connect_begin(control);
    return G_SOURCE_REMOVE;
}

static void
drop_connection(MfControl *control)
{
    g_clear_handle_id(&control->changed_id, g_source_remove);
    g_hash_table_remove_all(control->domains);
    if (control->connection) {
        g_signal_handler_disconnect(control->connection, control->closed_id);
        unexport(control->host);
        g_clear_object(&control->connection);
    }
}

static void
try_later(MfControl *control, const char *why)
{
    drop_connection(control);
    if (!control->bus_warned) {
        control->bus_warned = TRUE;
        g_warning("D-Bus: %s; memfold's commands can't reach memfoldd until that is right, it "
                  "is tried again every %d s",
                  why, BUS_RETRY_SEC);
    }
    g_clear_handle_id(&control->retry_id, g_source_remove);
    control->retry_id = g_timeout_add_seconds(BUS_RETRY_SEC, on_retry, control);
    say_ready(control);
}

static void
on_closed(G_GNUC_UNUSED GDBusConnection *connection, G_GNUC_UNUSED gboolean remote,
          G_GNUC_UNUSED GError *error, gpointer data)
{
    try_later(data, "the bus has gone");
}

static void
on_name_requested(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) reply =
        g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);
    MfControl *control = data;
    guint32 code = 0;

    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
        return;
    }
    /* The bus went meanwhile, and on_closed() has seen to it. */
    if (G_DBUS_CONNECTION(source) != control->connection) {
        return;
    }
    if (!reply) {
        g_dbus_error_strip_remote_error(error);
        try_later(control, error->message);
        return;
    }
    g_variant_get(reply, "(u)", &code);
    if (code != NAME_PRIMARY_OWNER && code != NAME_ALREADY_OWNER) {
        control->handlers.taken(control->user_data);
        return;
    }
    if (control->bus_warned) {
        control->bus_warned = FALSE;
        g_message("D-Bus: %s is owned now", MF_BUS_NAME);
    }
    say_ready(control);
}

static void
on_connected(G_GNUC_UNUSED GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(GError) error = NULL;
    GDBusConnection *connection = g_dbus_connection_new_for_address_finish(result, &error);
    MfControl *control = data;

    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
        return;
    }
    if (!connection) {
        try_later(control, error->message);
        return;
    }
    control->connection = connection;
    control->closed_id = g_signal_connect(connection, "closed", G_CALLBACK(on_closed), control);
    g_dbus_connection_set_exit_on_close(connection, FALSE);
    if (!g_dbus_interface_skeleton_export(G_DBUS_INTERFACE_SKELETON(control->host), connection,
                                          MF_OBJECT_HOST, &error)) {
        try_later(control, error->message);
        return;
    }
    export_domains(control);
    g_dbus_connection_call(
        connection, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
        "RequestName", g_variant_new("(su)", MF_BUS_NAME, NAME_DO_NOT_QUEUE), G_VARIANT_TYPE("(u)"),
        G_DBUS_CALL_FLAGS_NONE, -1, control->cancellable, on_name_requested, control);
}

static void
connect_begin(MfControl *control)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *address = g_dbus_address_get_for_bus_sync(G_BUS_TYPE_SYSTEM, NULL, &error);

    if (!address) {
        try_later(control, error->message);
        return;
    }
    g_dbus_connection_new_for_address(address,
                                      G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                          G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                                      NULL, control->cancellable, on_connected, control);
}

MfControl *
mf_control_new(MfEngine *engine, const MfControlHandlers *handlers, gpointer user_data)
{
    MfControl *control = g_new0(MfControl, 1);

    control->engine = mf_engine_ref(engine);
    control->handlers = *handlers;
    control->user_data = user_data;
    control->cancellable = g_cancellable_new();
    control->domains = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, unexport_and_free);
    control->host = mf_bus_host_skeleton_new();
    mf_bus_host_set_version(control->host, MF_VERSION);
    g_signal_connect(control->host, "handle-describe", G_CALLBACK(mf_describe_host_call), engine);
    g_signal_connect(control->host, "handle-find-domain", G_CALLBACK(on_find_domain), control);
    g_signal_connect(control->host, "handle-plan", G_CALLBACK(mf_plan_call), engine);
    g_signal_connect(control->host, "handle-report", G_CALLBACK(mf_report_call), engine);
    g_signal_connect(control->host, "handle-audit", G_CALLBACK(mf_auditor_call), engine);
    g_signal_connect(control->host, "handle-reload", G_CALLBACK(on_reload), control);
    g_signal_connect(control->host, "handle-estimate", G_CALLBACK(on_estimate), control);
    mf_engine_listen(engine, on_engine_changed, control);
    connect_begin(control);
    return control;
}

void
mf_control_free(MfControl *control)
{
    if (!control) {
        return;
    }
    mf_engine_listen(control->engine, NULL, NULL);
    g_cancellable_cancel(control->cancellable);
    g_clear_handle_id(&control->retry_id, g_source_remove);
    drop_connection(control);
    g_hash_table_unref(control->domains);
    g_object_unref(control->host);
    g_object_unref(control->cancellable);
    mf_engine_unref(control->engine);
    g_free(control);
}
