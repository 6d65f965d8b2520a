/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-auditor.h"

#include "../core/mf-names.h"
#include "mf-describe-audit.h"
#include "mf-long-call.h"
#include "mf-reply.h"

static void
on_audited(G_GNUC_UNUSED GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(MfLongCall) call = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(MfAuditReport) report = mf_engine_audit_finish(result, &error);

    if (!report) {
        mf_reply_error(call->invocation, error);
        return;
    }
    g_log("memfoldd", report->verdict == MF_AUDIT_CLEAN ? G_LOG_LEVEL_MESSAGE : G_LOG_LEVEL_WARNING,
          "audit: %s for UID %u: %u domains, %" G_GUINT64_FORMAT
          " pages shared across groups, %" G_GUINT64_FORMAT " unexplained, in %.1f s",
          mf_audit_verdict_to_string(report->verdict), call->uid, report->domains->len,
          report->counts.violation_pages, report->counts.unexplained_pages,
          (double)report->took_usec / G_USEC_PER_SEC);
    g_dbus_method_invocation_return_value(call->invocation, mf_describe_audit(report));
}

static void
begin(MfLongCall *call)
{
    mf_engine_audit(call->engine, (const char *const *)call->names, call->done_permyriad,
                    call->cancellable, on_audited, call);
}

gboolean
mf_auditor_call(G_GNUC_UNUSED MfBusHost *host, GDBusMethodInvocation *invocation,
                const char *const *names, gpointer user_data)
{
    MfLongCall *call = NULL;

    if (mf_reply_names_refused(invocation, names) ||
        mf_long_call_refused(invocation, mf_engine_is_auditing(user_data), "audit")) {
        return TRUE;
    }
    call = mf_long_call_new(user_data, invocation, names, "audit", MF_SIGNAL_AUDIT);
    mf_long_call_start(call, MF_POLKIT_AUDIT, begin);
    return TRUE;
}
