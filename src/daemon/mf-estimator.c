/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-estimator.h"

#include "../core/mf-error.h"
#include "../core/mf-names.h"
#include "../core/mf-text.h"
#include "mf-describe-estimate.h"
#include "mf-long-call.h"
#include "mf-reply.h"

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
    g_autoptr(MfLongCall) call = data;
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

static void
begin(MfLongCall *call)
{
    mf_engine_estimate(call->engine, (const char *const *)call->names, call->rate_bytes,
                       call->done_permyriad, call->cancellable, on_estimated, call);
}

void
mf_estimator_answer(MfEngine *engine, GDBusMethodInvocation *invocation, const char *const *names,
                    GVariant *options)
{
    guint64 rate_bytes = MF_ESTIMATE_RATE_BYTES;
    g_autoptr(GError) error = NULL;
    MfLongCall *call = NULL;

    if (mf_reply_names_refused(invocation, names) ||
        mf_long_call_refused(invocation, mf_engine_is_estimating(engine), "estimate")) {
        return;
    }
    if (!read_options(options, &rate_bytes, &error)) {
        mf_reply_error(invocation, error);
        return;
    }
    call = mf_long_call_new(engine, invocation, names, "estimate", MF_SIGNAL_PROGRESS);
    call->rate_bytes = rate_bytes;
    mf_long_call_start(call, MF_POLKIT_ESTIMATE, begin);
}
