/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Telling the kernel what to do with QEMUs: which merge group they are in, and whether only their
 * pages of zeroes are merged.  Workers do it, since the kernel copies what a process has merged
 * before it lets it go to another group.  A domain that ksmd waits for is waited for no longer once
 * it is in its group, if it may merge there.
 */
#include "../core/mf-error.h"
#include "../io/mf-proc.h"
#include "mf-engine-private.h"

typedef struct {
    MfEngine *engine;
    guint serial;
    MfDomain *domain;
    MfActionKind kind; /* GROUP or FLAGS */
    gint64 begun_usec;
    char *to;
} Move;

static void
move_free(gpointer data)
{
    Move *move = data;

    mf_engine_unref(move->engine);
    mf_domain_free(move->domain);
    g_free(move->to);
    g_free(move);
}

static void
move_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data,
            G_GNUC_UNUSED GCancellable *cancellable)
{
    Move *move = data;
    GError *error = NULL;

    gboolean done =
        move->kind == MF_ACTION_GROUP
            ? mf_proc_write_ksm_group(move->engine->host, move->domain, move->to, &error)
            : mf_proc_write_ksm_flags(move->engine->host, move->domain, move->to, &error);

    if (done) {
        g_task_return_boolean(task, TRUE);
    } else {
        g_task_return_error(task, error);
    }
}

/* One that must not merge at all is waited for until its QEMU has switched it off. */
static gboolean
may_merge_in_group(const MfEngine *engine, const char *uuid)
{
    const MfVerdict *verdict = engine->plan ? mf_plan_find(engine->plan, uuid) : NULL;

    return verdict && verdict->want != MF_MODE_OFF;
}

static void
on_moved(G_GNUC_UNUSED GObject *source, GAsyncResult *result, G_GNUC_UNUSED gpointer data)
{
    Move *move = g_task_get_task_data(G_TASK(result));
    MfEngine *engine = move->engine;
    const char *uuid = move->domain->uuid;
    g_autofree char *what = g_strdup_printf("domain \"%s\": the kernel", move->domain->name);
    g_autofree char *subject = g_strdup_printf("%s/group", uuid);
    g_autoptr(GError) error = NULL;

    g_task_propagate_boolean(G_TASK(result), &error);
    if (engine->stopped) {
        return;
    }
    mf_problems_note(engine->domain_problems, subject, what, error);
    mf_registry_end_move(engine->registry, uuid, move->serial, error, g_get_monotonic_time());
    if (error && move->kind == MF_ACTION_GROUP) {
        mf_storm_unmerge_failed(&engine->memory->storm, uuid);
    }
    if (!error && move->kind == MF_ACTION_GROUP && may_merge_in_group(engine, uuid)) {
        mf_engine_end_hold_judged(engine, uuid, move->begun_usec);
    }
    mf_engine_note_changed(engine);
}

void
mf_engine_groups_apply(MfEngine *engine, const MfPlan *plan)
{
    for (guint i = 0; i < plan->actions->len; i++) {
        const MfAction *action = plan->actions->pdata[i];
        const MfDomain *domain = NULL;
        guint serial = 0;

        if ((action->kind != MF_ACTION_GROUP && action->kind != MF_ACTION_FLAGS) ||
            !(domain = mf_snapshot_find(engine->snapshot, action->uuid)) ||
            !mf_registry_begin_move(engine->registry, action->uuid, &serial)) {
            continue;
        }
        g_autofree char *line = mf_action_to_string(action);
        g_autoptr(GTask) task = g_task_new(NULL, NULL, on_moved, NULL);
        Move *move = g_new0(Move, 1);

        g_message("%s", line);
        move->begun_usec = g_get_monotonic_time();
        if (action->kind == MF_ACTION_GROUP) {
            mf_storm_unmerge_begun(&engine->memory->storm, action->uuid, move->begun_usec);
        }
        move->engine = mf_engine_ref(engine);
        move->serial = serial;
        move->domain = mf_domain_copy(domain);
        move->kind = action->kind;
        move->to = g_strdup(action->to);
        g_task_set_task_data(task, move, move_free);
        mf_workers_run(engine->moves, task, move_thread);
    }
}
