/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-plan-call.h"

#include "../core/mf-error.h"
#include "mf-describe.h"
#include "mf-reply.h"

/* Each has a worker, who may wait for a /proc file as long as its process likes. */
#define PLANS_MAX 4

static guint plans_count; /* under way; of the main context */

typedef struct {
    MfEngine *engine;
    GDBusMethodInvocation *invocation;
} Call;

static void
on_planned(G_GNUC_UNUSED GObject *source, GAsyncResult *result, gpointer data)
{
    g_autofree Call *call = data;
    g_autoptr(MfEngine) engine = call->engine;
    g_autoptr(MfSnapshot) snapshot = NULL;
    g_autoptr(MfPlan) plan = mf_engine_dry_run_finish(result, &snapshot);

    plans_count--;
    g_dbus_method_invocation_return_value(
        call->invocation,
        g_variant_new("(@a{sv}@a(sss)@a(a{sv}a(sss)))", mf_describe_decided_on(engine, snapshot),
                      mf_describe_host_reasons(engine, plan), mf_describe_actions(plan)));
}

gboolean
mf_plan_call(G_GNUC_UNUSED MfBusHost *host, GDBusMethodInvocation *invocation, gpointer user_data)
{
    Call *call = NULL;

    if (plans_count >= PLANS_MAX) {
        g_autoptr(GError) busy =
            g_error_new(MF_ERROR, MF_ERROR_BUSY,
                        "%d other plans are being made; try again when one has ended", PLANS_MAX);

        mf_reply_error(invocation, busy);
        return TRUE;
    }
    plans_count++;
    call = g_new0(Call, 1);
    call->engine = mf_engine_ref(user_data);
    call->invocation = invocation;
    mf_engine_dry_run(call->engine, on_planned, call);
    return TRUE;
}
