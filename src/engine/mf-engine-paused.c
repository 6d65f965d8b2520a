/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Those that memfold has paused may be had to go on by others: virsh resume.  Then memfold owes
 * them nothing any more, and a pause that comes later is not memfold's.
 *
 * An event says only that something happened, and none comes while libvirt is away: what holds now
 * is asked in a worker, which also pays the debt.
 */
#include "mf-engine-private.h"

typedef struct {
    MfEngine *engine;
    MfVirt *virt;
    char *uuid;
} Check;

static void
check_free(gpointer data)
{
    Check *check = data;

    g_free(check->uuid);
    mf_virt_unref(check->virt);
    mf_engine_unref(check->engine);
    g_free(check);
}

static void
check_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data,
             G_GNUC_UNUSED GCancellable *cancellable)
{
    Check *check = data;
    gboolean paused = TRUE;
    GError *error = NULL;

    if (mf_virt_is_paused(check->virt, check->uuid, &paused, &error) &&
        (paused || mf_owed_resumed(check->engine->owed, check->uuid, &error))) {
        g_task_return_boolean(task, !paused);
    } else {
        g_task_return_error(task, error);
    }
}

static void
on_checked(G_GNUC_UNUSED GObject *source, GAsyncResult *result, G_GNUC_UNUSED gpointer data)
{
    Check *check = g_task_get_task_data(G_TASK(result));
    MfEngine *engine = check->engine;
    g_autoptr(GError) error = NULL;
    gboolean runs = g_task_propagate_boolean(G_TASK(result), &error);
    const MfDomain *domain = NULL;

    if (engine->stopped) {
        return;
    }
    mf_storm_checked(&engine->memory->storm, check->uuid, runs, g_get_monotonic_time());
    mf_engine_paused_check_missed(engine, check->uuid);
    domain = mf_registry_find(engine->registry, check->uuid);
    if (domain) {
        g_autofree char *subject = g_strdup_printf("%s/paused", check->uuid);
        g_autofree char *what =
            g_strdup_printf("domain \"%s\": whether it is still paused", domain->name);

        mf_problems_note(engine->domain_problems, subject, what, error);
    }
    if (runs) {
        g_message("domain \"%s\": memfold had paused it, and somebody else has it go on",
                  domain ? domain->name : check->uuid);
        mf_engine_note_changed(engine);
    }
}

void
mf_engine_paused_check(MfEngine *engine, const char *uuid)
{
    g_autoptr(GTask) task = NULL;
    Check *check = NULL;

    if (!mf_storm_begin_check(&engine->memory->storm, uuid, g_get_monotonic_time())) {
        return;
    }
    check = g_new0(Check, 1);
    check->engine = mf_engine_ref(engine);
    check->virt = mf_virt_ref(engine->virt);
    check->uuid = g_strdup(uuid);
    task = g_task_new(NULL, NULL, on_checked, NULL);
    g_task_set_task_data(task, check, check_free);
    mf_workers_run(engine->relief_calls, task, check_thread);
}

void
mf_engine_paused_check_missed(MfEngine *engine, const char *uuid)
{
    if (mf_storm_missed_check(&engine->memory->storm, uuid)) {
        mf_engine_paused_check(engine, uuid);
    }
}

void
mf_engine_paused_check_all(MfEngine *engine)
{
    GHashTableIter iter;
    gpointer uuid = NULL;

    g_hash_table_iter_init(&iter, engine->memory->storm.victims);
    while (g_hash_table_iter_next(&iter, &uuid, NULL)) {
        mf_engine_paused_check(engine, uuid);
    }
}
