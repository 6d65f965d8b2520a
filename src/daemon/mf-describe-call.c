/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-describe-call.h"

#include "../core/mf-error.h"
#include "mf-describe.h"
#include "mf-reply.h"

#define CALLS_MAX 64

/* Of the main context. */
static guint calls_count;
static GVariant *shared; /* the host's answer, until the main loop goes on */

typedef struct {
    MfEngine *engine;
    GDBusMethodInvocation *invocation;
    char *uuid; /* of a domain's call */
} Call;

static void
call_free(Call *call)
{
    calls_count--;
    mf_engine_unref(call->engine);
    g_free(call->uuid);
    g_free(call);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Call, call_free)

/* NULL: the call is answered, or nobody wants an answer. */
static Call *
call_new(MfEngine *engine, GDBusMethodInvocation *invocation, const char *uuid)
{
    Call *call = NULL;

    if (mf_reply_is_unwanted(invocation)) {
        return NULL;
    }
    if (calls_count >= CALLS_MAX) {
        g_autoptr(GError) busy =
            g_error_new(MF_ERROR, MF_ERROR_BUSY,
                        "%d others wait for an answer; try again when they have it", CALLS_MAX);

        mf_reply_error(invocation, busy);
        return NULL;
    }
    calls_count++;
    call = g_new0(Call, 1);
    call->engine = mf_engine_ref(engine);
    call->invocation = invocation;
    call->uuid = g_strdup(uuid);
    return call;
}

static gboolean
on_main_loop(G_GNUC_UNUSED gpointer data)
{
    g_clear_pointer(&shared, g_variant_unref);
    return G_SOURCE_REMOVE;
}

/* Those that waited for a round of accounts are released one after the other, with nothing else in
 * between. */
static GVariant *
describe_host(const MfEngine *engine)
{
    if (!shared) {
        shared = g_variant_ref_sink(
            g_variant_new("(@a{sv}@a(sss)@a(a{sv}a(sss)))", mf_describe_host_figures(engine),
                          mf_describe_host_reasons(engine, mf_engine_get_plan(engine)),
                          mf_describe_domains(engine)));
        g_idle_add_full(G_PRIORITY_HIGH, on_main_loop, NULL, NULL);
    }
    return shared;
}

static void
on_host_refreshed(G_GNUC_UNUSED GObject *source, G_GNUC_UNUSED GAsyncResult *result, gpointer data)
{
    g_autoptr(Call) call = data;

    g_dbus_method_invocation_return_value(call->invocation, describe_host(call->engine));
}

gboolean
mf_describe_host_call(G_GNUC_UNUSED MfBusHost *host, GDBusMethodInvocation *invocation,
                      gpointer user_data)
{
    Call *call = call_new(user_data, invocation, NULL);

    if (call) {
        mf_engine_refresh(call->engine, on_host_refreshed, call);
    }
    return TRUE;
}

static void
on_domain_refreshed(G_GNUC_UNUSED GObject *source, G_GNUC_UNUSED GAsyncResult *result,
                    gpointer data)
{
    g_autoptr(Call) call = data;
    const MfDomain *domain = mf_engine_get(call->engine, call->uuid);

    if (!domain) {
        mf_reply_no_domain(call->invocation, call->uuid);
        return;
    }
    g_dbus_method_invocation_return_value(
        call->invocation,
        g_variant_new("(@a{sv}@a(sss))", mf_describe_domain_figures(call->engine, domain),
                      mf_describe_domain_reasons(call->engine, domain)));
}

gboolean
mf_describe_domain_call(MfBusDomain *skeleton, GDBusMethodInvocation *invocation,
                        gpointer user_data)
{
    Call *call = call_new(user_data, invocation, mf_bus_domain_get_uuid(skeleton));

    if (call) {
        mf_engine_refresh(call->engine, on_domain_refreshed, call);
    }
    return TRUE;
}
