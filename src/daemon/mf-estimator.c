/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-estimator.h"

#include "../core/mf-error.h"
#include "../core/mf-names.h"
#include "../core/mf-text.h"
#include "mf-authority.h"
#include "mf-describe-estimate.h"
#include "mf-reply.h"

#define PROGRESS_MSEC 500

/* A call that is being answered. */
typedef struct {
    MfEngine *engine;
    GDBusMethodInvocation *invocation;
    GDBusConnection *connection;
    char *sender;
    char **names;
    guint64 rate_bytes;
    guint uid;
    GCancellable *cancellable;
    gint *done_permyriad; /* a g_atomic_rc_box, which the engine shares */
    guint watch_id;
    guint progress_id;
} Call;

static void
call_free(Call *call)
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

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Call, call_free)

static gboolean
read_options(GVariant *options, guint64 *ret_rate_bytes, GError **error)
{
    GVariantIter iter;
    GVariant *value = NULL;
    const char *key = NULL;

    g_variant_iter_init(&iter, options);
    while (g_variant_iter_loop(&iter, "{&sv}", &key, &value)) {
        if (!g_str_equal(key, "rate_bytes") ||
            !g_variant_is_of_type(value, G_VARIANT_TYPE_UINT64)) {
            g_autofree char *quoted = mf_text_quote(key);
            g_set_error(error, MF_ERROR, MF_ERROR_INVALID,
                        "option %s is not known, or of another type", quoted);
            g_variant_unref(value);
            return FALSE;
        }
        *ret_rate_bytes = g_variant_get_uint64(value);
    }
    if (*ret_rate_bytes < MF_ESTIMATE_RATE_MIN_BYTES ||
        *ret_rate_bytes > MF_ESTIMATE_RATE_MAX_BYTES) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID,
                    "a rate of %" G_GUINT64_FORMAT " bytes in a second is not between 1 MiB and "
                    "1 TiB",
                    *ret_rate_bytes);
        return FALSE;
    }
    return TRUE;
}

static void
on_estimated(G_GNUC_UNUSED GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(Call) call = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(MfEstimateReport) report = mf_engine_estimate_finish(result, &error);

    if (!report) {
        mf_reply_error(call->invocation, error);
        return;
    }
    g_message("estimate: %u domains were read for UID %u, %" G_GUINT64_FORMAT " MiB in %.1f s",
              report->domains_count, call->uid,
              report->all.pages * report->page_size_bytes / (1024 * 1024),
              (double)report->took_usec / G_USEC_PER_SEC);
    g_dbus_method_invocation_return_value(call->invocation,
                                          mf_describe_estimate(call->engine, report));
}

static gboolean
on_progress_due(gpointer data)
{
    const Call *call = data;

    g_dbus_connection_emit_signal(
        call->connection, call->sender, MF_OBJECT_HOST, MF_INTERFACE_HOST, MF_SIGNAL_PROGRESS,
        g_variant_new("(u)", (guint32)g_atomic_int_get(call->done_permyriad)), NULL);
    return G_SOURCE_CONTINUE;
}

/* Nobody waits for the answer any more. */
static void
on_vanished(G_GNUC_UNUSED GDBusConnection *connection, G_GNUC_UNUSED const char *name,
            gpointer data)
{
    g_cancellable_cancel(((Call *)data)->cancellable);
}

static void
on_checked(G_GNUC_UNUSED GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(Call) taken = data;
    g_autoptr(GError) error = NULL;
    Call *call = taken;

    if (!mf_authority_check_finish(result, &call->uid, &error)) {
        mf_reply_error(call->invocation, error);
        return;
    }
    g_message("estimate: UID %u asks for one", call->uid);
    call->watch_id = g_bus_watch_name_on_connection(call->connection, call->sender,
                                                    G_BUS_NAME_WATCHER_FLAGS_NONE, NULL,
                                                    on_vanished, call, NULL);
    call->progress_id = g_timeout_add(PROGRESS_MSEC, on_progress_due, call);
    g_steal_pointer(&taken);
    mf_engine_estimate(call->engine, (const char *const *)call->names, call->rate_bytes,
                       call->done_permyriad, call->cancellable, on_estimated, call);
}

void
mf_estimator_answer(MfEngine *engine, GDBusMethodInvocation *invocation, const char *const *names,
                    GVariant *options)
{
    guint64 rate_bytes = MF_ESTIMATE_RATE_BYTES;
    g_autoptr(GError) error = NULL;
    Call *call = NULL;

    if (!read_options(options, &rate_bytes, &error)) {
        mf_reply_error(invocation, error);
        return;
    }
    call = g_new0(Call, 1);
    call->engine = mf_engine_ref(engine);
    call->invocation = invocation;
    call->connection = g_object_ref(g_dbus_method_invocation_get_connection(invocation));
    call->sender = g_strdup(g_dbus_method_invocation_get_sender(invocation));
    call->names = g_strdupv((char **)names);
    call->rate_bytes = rate_bytes;
    call->cancellable = g_cancellable_new();
    call->done_permyriad = g_atomic_rc_box_new0(gint);
    mf_authority_check(invocation, MF_POLKIT_ESTIMATE, on_checked, call);
}
