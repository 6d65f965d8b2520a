/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A domain's policy is set: in libvirt, and then here, from what libvirt has of it after. */
#include "mf-engine-private.h"

#include "../core/mf-error.h"
#include "mf-policy-edit.h"

typedef struct {
    MfEngine *engine;
    MfVirt *virt;
    char *uuid;
    char *attribute;
    char *value;
    guint caps;      /* what the domain's QEMU can do */
    MfU64 zero_only; /* and what its kernel can */
} Setting;

static void
setting_free(gpointer data)
{
    Setting *setting = data;

    g_free(setting->attribute);
    g_free(setting->value);
    g_free(setting->uuid);
    mf_virt_unref(setting->virt);
    mf_engine_unref(setting->engine);
    g_free(setting);
}

/* What is edited is what libvirt has now: somebody else may have just written it. */
static void
set_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data,
           G_GNUC_UNUSED GCancellable *cancellable)
{
    Setting *setting = data;
    GError *error = NULL;
    g_autoptr(MfDomain) domain = mf_virt_lookup(setting->virt, setting->uuid, &error);
    g_autoptr(MfPolicy) policy = NULL;
    MfDomain *facts = NULL;

    if (domain) {
        domain->caps = setting->caps;
        domain->zero_only = setting->zero_only;
        policy = mf_policy_edit(domain, setting->attribute, setting->value, &error);
    }
    if (policy && mf_virt_set_policy(setting->virt, setting->uuid, policy, &error)) {
        /* It is set; what can't be read of it now is looked up later. */
        facts = mf_virt_lookup(setting->virt, setting->uuid, NULL);
        g_task_return_pointer(task, facts, (GDestroyNotify)mf_domain_free);
    } else {
        g_task_return_error(task, error);
    }
}

static void
on_policy_set(G_GNUC_UNUSED GObject *source, GAsyncResult *result, gpointer data)
{
    GTask *outer = data;
    Setting *setting = g_task_get_task_data(G_TASK(result));
    MfEngine *engine = setting->engine;
    GError *error = NULL;
    g_autoptr(MfDomain) facts = g_task_propagate_pointer(G_TASK(result), &error);

    if (error) {
        g_task_return_error(outer, error);
    } else {
        /* A domain that stopped meanwhile stays away. */
        if (!engine->stopped && mf_registry_find(engine->registry, setting->uuid)) {
            if (facts) {
                mf_engine_take_newest(engine, facts);
            } else {
                mf_engine_domains_look_up(engine, setting->uuid);
            }
        }
        g_task_return_boolean(outer, TRUE);
    }
    g_object_unref(outer);
}

void
mf_engine_set_policy(MfEngine *engine, const char *uuid, const char *attribute, const char *value,
                     GAsyncReadyCallback callback, gpointer user_data)
{
    GTask *outer = g_task_new(NULL, NULL, callback, user_data);
    const MfDomain *domain = mf_registry_find(engine->registry, uuid);
    g_autoptr(GTask) task = NULL;
    Setting *setting = NULL;

    if (!mf_engine_is_connected(engine)) {
        g_task_return_new_error(outer, MF_ERROR, MF_ERROR_BUSY,
                                "memfoldd is not connected to libvirt (%s); try again later",
                                engine->config->libvirt_uri);
        g_object_unref(outer);
        return;
    }
    setting = g_new0(Setting, 1);
    setting->engine = mf_engine_ref(engine);
    setting->virt = mf_virt_ref(engine->virt);
    setting->uuid = g_strdup(uuid);
    setting->attribute = g_strdup(attribute);
    setting->value = g_strdup(value);
    setting->caps = domain ? domain->caps : 0;
    setting->zero_only = domain ? domain->zero_only : MF_U64_ABSENT;
    task = g_task_new(NULL, NULL, on_policy_set, outer);
    g_task_set_task_data(task, setting, setting_free);
    mf_workers_run(engine->settings, task, set_thread);
}

gboolean
mf_engine_set_policy_finish(GAsyncResult *result, GError **error)
{
    return g_task_propagate_boolean(G_TASK(result), error);
}
