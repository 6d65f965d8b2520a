/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Holds: ksmd stands still while a domain starts that must not be merged. */
#include "mf-engine-private.h"

#define HOLD_USEC (30 * G_USEC_PER_SEC)

void
mf_engine_check_holds(MfEngine *engine, gint64 now_usec)
{
    GHashTableIter iter;
    gpointer deadline_usec = NULL;

    g_hash_table_iter_init(&iter, engine->memory->start_holds);
    while (g_hash_table_iter_next(&iter, NULL, &deadline_usec)) {
        if (*(gint64 *)deadline_usec > now_usec) {
            return;
        }
    }
    mf_apply_release(engine->apply);
}

static void
hold_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data,
            G_GNUC_UNUSED GCancellable *cancellable)
{
    GError *error = NULL;

    if (mf_apply_stop_ksmd(((MfEngine *)data)->apply, &error)) {
        g_task_return_boolean(task, TRUE);
    } else {
        g_task_return_error(task, error);
    }
}

void
mf_engine_prepare(MfEngine *engine, const MfDomain *facts, GAsyncReadyCallback callback,
                  gpointer user_data)
{
    g_autoptr(GTask) task = g_task_new(NULL, NULL, callback, user_data);
    const MfHost *host = engine->snapshot ? &engine->snapshot->host : NULL;
    gboolean isolated = host && host->has_groups && g_strcmp0(host->group_default, "isolated") == 0;
    MfMode mode = mf_decide_mode(engine->config, facts->policy, facts->nosharepages,
                                 facts->memory_kind, isolated, NULL);

    /* With <nosharepages/> QEMU marks nothing; and who does not govern ksmd can't hold it. */
    if (engine->stopped || mode != MF_MODE_OFF || facts->nosharepages || !engine->config->manage ||
        (host && (host->other_manager || !host->run.known))) {
        g_task_return_boolean(task, TRUE);
        return;
    }
    mf_memory_hold(engine->memory, facts->uuid, g_get_monotonic_time() + HOLD_USEC);
    mf_apply_hold(engine->apply);
    mf_engine_kick(engine);
    if (!host) {
        /* Before the first tick nobody knows who governs; if it is memfold, it begins held. */
        g_task_return_boolean(task, TRUE);
        return;
    }
    g_task_set_task_data(task, mf_engine_ref(engine), (GDestroyNotify)mf_engine_unref);
    mf_workers_run_now(task, hold_thread);
}

gboolean
mf_engine_prepare_finish(GAsyncResult *result, GError **error)
{
    return g_task_propagate_boolean(G_TASK(result), error);
}
