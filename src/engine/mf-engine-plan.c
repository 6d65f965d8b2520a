/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tick that applies nothing: what would be done now, and why. */
#include "mf-engine-private.h"

typedef struct {
    MfEngine *engine;
    GPtrArray *domains; /* of MfDomain */
} DryRun;

static void
dry_run_free(gpointer data)
{
    DryRun *run = data;

    g_ptr_array_unref(run->domains);
    mf_engine_unref(run->engine);
    g_free(run);
}

/* What can't be read is the tick's to log. */
static void
collect_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data,
               G_GNUC_UNUSED GCancellable *cancellable)
{
    DryRun *run = data;

    g_task_return_pointer(task, mf_collect(run->engine->host, run->domains, FALSE, NULL),
                          (GDestroyNotify)mf_snapshot_free);
}

void
mf_engine_dry_run(MfEngine *engine, GAsyncReadyCallback callback, gpointer user_data)
{
    g_autoptr(GTask) task = g_task_new(NULL, NULL, callback, user_data);
    DryRun *run = g_new0(DryRun, 1);

    run->engine = mf_engine_ref(engine);
    run->domains = mf_registry_copy_domains(engine->registry, g_get_monotonic_time());
    g_task_set_task_data(task, run, dry_run_free);
    mf_workers_run_now(task, collect_thread);
}

/* Decides here, on the main context, where nobody else changes configuration and memory. */
MfPlan *
mf_engine_dry_run_finish(GAsyncResult *result, MfSnapshot **ret_snapshot)
{
    MfEngine *engine = ((DryRun *)g_task_get_task_data(G_TASK(result)))->engine;
    g_autoptr(MfMemory) memory = mf_memory_copy(engine->memory);

    *ret_snapshot = g_task_propagate_pointer(G_TASK(result), NULL);
    return mf_decide(engine->config, *ret_snapshot, memory);
}
