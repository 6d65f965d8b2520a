/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-long-call.h"

#include "../core/mf-error.h"
#include "../core/mf-names.h"
#include "mf-authority.h"
#include "mf-reply.h"

#define PROGRESS_MSEC 500

gboolean
mf_long_call_refused(GDBusMethodInvocation *invocation, gboolean is_under_way, const char *what)
{
    g_autoptr(GError) busy = NULL;

    if (!is_under_way) {
        return FALSE;
    }
    busy = g_error_new(MF_ERROR, MF_ERROR_BUSY,
                       "another %s is under way; try again when it has ended", what);
    mf_reply_error(invocation, busy);
    return TRUE;
}

MfLongCall *
mf_long_call_new(MfEngine *engine, GDBusMethodInvocation *invocation, const char *const *names,
                 const char *what, const char *signal)
{
    MfLongCall *call = g_new0(MfLongCall, 1);

    call->engine = mf_engine_ref(engine);
    call->invocation = invocation;
    call->connection = g_object_ref(g_dbus_method_invocation_get_connection(invocation));
    call->sender = g_strdup(g_dbus_method_invocation_get_sender(invocation));
    call->names = g_strdupv((char **)names);
    call->cancellable = g_cancellable_new();
    call->done_permyriad = g_atomic_rc_box_new0(gint);
    call->what = what;
    call->signal = signal;
    return call;
}

void
mf_long_call_free(MfLongCall *call)
{
    g_clear_handle_id(&call->progress_id, g_source_remove);
    g_clear_handle_id(&call->watch_id, g_bus_unwatch_name);
    g_atomic_rc_box_release(call->done_permyriad);
    g_object_unref(call->cancellable);
    g_strfreev(call->names);
    g_free(call->sender);
    g_object_unref(call->connection);
    mf_engine_unref(call->engine);
    g_free(call);
}

static gboolean
on_progress_due(gpointer data)
{
    const MfLongCall *call = data;

    g_dbus_connection_emit_signal(
        call->connection, call->sender, MF_OBJECT_HOST, MF_INTERFACE_HOST, call->signal,
        g_variant_new("(u)", (guint32)g_atomic_int_get(call->done_permyriad)), NULL);
    return G_SOURCE_CONTINUE;
}

/* Nobody waits for the answer any more. */
static void
on_vanished(G_GNUC_UNUSED GDBusConnection *connection, G_GNUC_UNUSED const char *name,
            gpointer data)
{
    g_cancellable_cancel(((MfLongCall *)data)->cancellable);
}

static void
on_checked(G_GNUC_UNUSED GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(MfLongCall) taken = data;
    g_autoptr(GError) error = NULL;
    MfLongCall *call = taken;

    if (!mf_authority_check_finish(result, &call->uid, &error)) {
        mf_reply_error(call->invocation, error);
        return;
    }
    g_message("%s: UID %u asks for one", call->what, call->uid);
    call->watch_id = g_bus_watch_name_on_connection(call->connection, call->sender,
                                                    G_BUS_NAME_WATCHER_FLAGS_NONE, NULL,
                                                    on_vanished, call, NULL);
    call->progress_id = g_timeout_add(PROGRESS_MSEC, on_progress_due, call);
    g_steal_pointer(&taken);
    call->begin(call);
}

void
mf_long_call_start(MfLongCall *call, const char *polkit_action, MfLongCallBegin begin)
{
    call->begin = begin;
    mf_authority_check(call->invocation, polkit_action, on_checked, call);
}
