/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the guard against storms wants done: memory reclaimed, balloons filled, domains paused, and
 * all of that undone.
 *
 * Everything is in workers.  Reclaiming needs no libvirt and has workers of its own, so that a
 * libvirtd that hangs holds up its own calls and nothing else.
 */
#include "mf-engine-private.h"

#include "../core/mf-error.h"
#include "../io/mf-cgroup.h"
#include "../io/mf-proc.h"
#include "mf-balloon-call.h"

#define RECLAIMS_MAX       4
#define CALLS_MAX          6 /* see mf-monitor.h */
#define RECLAIM_LIMIT_MSEC 2000
#define KIB                1024

/* What a worker is given, and what it gives. */
typedef struct {
    MfEngine *engine;
    MfVirt *virt;
    MfActionKind kind;
    MfDomain *domain; /* uuid, name, pid */
    guint64 bytes;
    guint64 given_bytes; /* MF_ACTION_RECLAIM: of these */
    gint64 begun_usec;
    gboolean is_silent; /* its QEMU owed an answer then, and would owe another */
    MfBalloon balloon;  /* MF_ACTION_BALLOON: after it */
} Relief;

static void
relief_free(gpointer data)
{
    Relief *relief = data;

    mf_domain_free(relief->domain);
    mf_virt_unref(relief->virt);
    mf_engine_unref(relief->engine);
    g_free(relief);
}

/* The debt comes first: who dies between the two owes a domain that runs, which does no harm. */
static gboolean
suspend(const Relief *relief, GError **error)
{
    MfOwed *owed = relief->engine->owed;
    const char *uuid = relief->domain->uuid;
    MfDebt debt = {0};
    MfDebt before = {0};
    gboolean lost = FALSE;
    g_autoptr(GError) problem = NULL;

    mf_owed_get(owed, uuid, &before);
    debt = before;
    debt.pid = relief->domain->pid;
    debt.suspended = TRUE;
    if (!mf_owed_set(owed, uuid, &debt, error)) {
        return FALSE;
    }
    if (mf_virt_suspend(relief->virt, uuid, &lost, &problem)) {
        return TRUE;
    }
    if (lost) {
        /* It may stand still; if it runs, that is found out when libvirt is there again. */
        g_warning("domain \"%s\": whether it is paused is not known, memfold takes it for paused: "
                  "%s",
                  relief->domain->name, problem->message);
        return TRUE;
    }
    mf_owed_set(owed, uuid, &before, NULL);
    g_propagate_error(error, g_steal_pointer(&problem));
    return FALSE;
}

static gboolean
resume(const Relief *relief, GError **error)
{
    const char *uuid = relief->domain->uuid;

    return mf_virt_resume(relief->virt, uuid, error) &&
           mf_owed_resumed(relief->engine->owed, uuid, error);
}

/* What gives, and takes its time, goes on at the next tick. */
static gboolean
reclaim(Relief *relief, GError **error)
{
    g_autoptr(GError) problem = NULL;

    if (mf_cgroup_reclaim(relief->engine->host, relief->domain, relief->bytes, RECLAIM_LIMIT_MSEC,
                          &relief->given_bytes, &problem) ||
        (relief->given_bytes > 0 && g_error_matches(problem, MF_ERROR, MF_ERROR_TIMEOUT))) {
        return TRUE;
    }
    g_propagate_error(error, g_steal_pointer(&problem));
    return FALSE;
}

static gboolean
carry_out(Relief *relief, GError **error)
{
    MfEngine *engine = relief->engine;

    switch (relief->kind) {
    case MF_ACTION_RECLAIM:
        return reclaim(relief, error);
    case MF_ACTION_BALLOON:
        return relief->bytes > 0 ? mf_balloon_fill(relief->virt, engine->owed, relief->domain,
                                                   relief->bytes, &relief->balloon, error)
                                 : mf_balloon_empty(relief->virt, engine->owed, relief->domain,
                                                    &relief->balloon, error);
    case MF_ACTION_SUSPEND:
        return suspend(relief, error);
    case MF_ACTION_RESUME:
        return resume(relief, error);
    default:
        return TRUE;
    }
}

static gboolean
takes_by_libvirt(MfActionKind kind, guint64 bytes)
{
    return kind == MF_ACTION_SUSPEND || (kind == MF_ACTION_BALLOON && bytes > 0);
}

/* What waited behind calls that did not end was for a moment that has gone: the guard has had
 * others give way since.  And a QEMU that is stopped would hold its call for as long as it is. */
static gboolean
is_sensible(const Relief *relief, GError **error)
{
    if (takes_by_libvirt(relief->kind, relief->bytes) &&
        (relief->is_silent ||
         g_get_monotonic_time() - relief->begun_usec > MF_ANSWER_OVERDUE_USEC)) {
        g_set_error(error, MF_ERROR, MF_ERROR_BUSY,
                    "its QEMU is silent, or its turn came too late");
        return FALSE;
    }
    if (relief->kind != MF_ACTION_RECLAIM &&
        mf_proc_is_stopped(relief->engine->host, relief->domain->pid)) {
        g_set_error(error, MF_ERROR, MF_ERROR_TIMEOUT,
                    "its QEMU is stopped (by a signal or a debugger)");
        return FALSE;
    }
    return TRUE;
}

static void
relief_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data,
              G_GNUC_UNUSED GCancellable *cancellable)
{
    GError *error = NULL;

    if (is_sensible(data, &error) && carry_out(data, &error)) {
        g_task_return_boolean(task, TRUE);
    } else {
        g_task_return_error(task, error);
    }
}

static void
on_relieved(G_GNUC_UNUSED GObject *source, GAsyncResult *result, G_GNUC_UNUSED gpointer data)
{
    Relief *relief = g_task_get_task_data(G_TASK(result));
    MfEngine *engine = relief->engine;
    const char *kind = mf_action_kind_to_string(relief->kind);
    g_autoptr(GError) error = NULL;
    gboolean succeeded = g_task_propagate_boolean(G_TASK(result), &error);
    g_autofree char *subject = g_strdup_printf("%s/%s", relief->domain->uuid, kind);
    g_autofree char *what = g_strdup_printf("domain \"%s\": %s", relief->domain->name, kind);
    gint64 now_usec = g_get_monotonic_time();

    if (engine->stopped) {
        return;
    }
    mf_problems_note(engine->domain_problems, subject, what, error);
    mf_storm_done(&engine->memory->storm, relief->kind, relief->domain->uuid, succeeded,
                  relief->given_bytes, now_usec);
    if (succeeded && relief->kind == MF_ACTION_BALLOON) {
        mf_storm_set_balloon(&engine->memory->storm, relief->domain->uuid, &relief->balloon,
                             now_usec);
    }
    mf_engine_paused_check_missed(engine, relief->domain->uuid);
    mf_engine_note_changed(engine);
}

static void
relief_begin(MfEngine *engine, const MfAction *action)
{
    const MfDomain *domain = mf_registry_find(engine->registry, action->uuid);
    g_autofree char *line = mf_action_to_string(action);
    g_autoptr(GTask) task = NULL;
    Relief *relief = NULL;

    if (!domain) {
        /* It went while the snapshot was taken; nobody will say that its errand is done. */
        mf_storm_forget(&engine->memory->storm, action->uuid);
        return;
    }
    g_message("%s", line);
    relief = g_new0(Relief, 1);
    relief->begun_usec = g_get_monotonic_time();
    relief->is_silent = mf_registry_is_silent(engine->registry, action->uuid, relief->begun_usec);
    relief->engine = mf_engine_ref(engine);
    relief->virt = mf_virt_ref(engine->virt);
    relief->kind = action->kind;
    relief->domain = mf_domain_copy(domain);
    relief->bytes = action->bytes;
    task = g_task_new(NULL, NULL, on_relieved, NULL);
    g_task_set_task_data(task, relief, relief_free);
    mf_workers_run(action->kind == MF_ACTION_RECLAIM ? engine->reclaims : engine->relief_calls,
                   task, relief_thread);
}

static void
warn_of_storm(const MfPlan *plan, const char *what)
{
    for (guint i = 0; i < plan->host_reasons->len; i++) {
        const MfReason *reason = plan->host_reasons->pdata[i];

        if (reason->code == MF_REASON_STORM) {
            g_warning("%s: %s; %s", what, reason->text, reason->remedy);
        }
    }
}

/* A storm's begin and end are told once; and once more who writes, when that is known later. */
static void
tell_storm(MfEngine *engine, const MfPlan *plan)
{
    const MfStorm *storm = &engine->memory->storm;
    gboolean known = mf_storm_knows_writers(storm);

    if (storm->raging && !engine->storm_told) {
        warn_of_storm(plan, "a storm");
        /* Where the kernel does not count for each domain, the accounts tell who writes. */
        mf_engine_accounts_soon(engine);
        engine->writers_told = known;
    } else if (storm->raging && known && !engine->writers_told) {
        warn_of_storm(plan, "the storm");
        engine->writers_told = TRUE;
    } else if (!storm->raging && engine->storm_told) {
        g_message("the storm is over");
    }
    engine->storm_told = storm->raging;
}

void
mf_engine_storm_apply(MfEngine *engine, const MfPlan *plan)
{
    tell_storm(engine, plan);
    for (guint i = 0; i < plan->actions->len; i++) {
        const MfAction *action = plan->actions->pdata[i];

        if (action->kind >= MF_ACTION_RECLAIM && action->kind <= MF_ACTION_RESUME) {
            relief_begin(engine, action);
        }
    }
    mf_engine_balloons_look(engine);
}

/* A domain that has another PID by now was stopped and started while nobody told us. */
static void
forget_former(MfEngine *engine)
{
    g_auto(GStrv) uuids = mf_owed_list(engine->owed);

    for (guint i = 0; uuids[i]; i++) {
        const MfDomain *domain = mf_registry_find(engine->registry, uuids[i]);
        MfDebt debt = {0};

        if (domain && domain->pid > 0 && mf_owed_get(engine->owed, uuids[i], &debt) &&
            debt.pid > 0 && debt.pid != domain->pid) {
            mf_engine_storm_forget(engine, uuids[i]);
        }
    }
}

void
mf_engine_storm_adopt(MfEngine *engine)
{
    forget_former(engine);
    for (guint i = 0; engine->debts_left && engine->debts_left[i]; i++) {
        const char *uuid = engine->debts_left[i];
        const MfDomain *domain = mf_registry_find(engine->registry, uuid);
        MfDebt debt = {0};

        if (!*uuid || !domain || domain->pid <= 0) {
            continue;
        }
        if (mf_owed_get(engine->owed, uuid, &debt)) {
            g_message("domain \"%s\": an earlier memfoldd left it %s", domain->name,
                      debt.suspended ? "paused" : "with a filled balloon");
            mf_storm_owe(&engine->memory->storm, uuid, debt.suspended, &debt.balloon);
            mf_engine_paused_check(engine, uuid);
        }
        engine->debts_left[i][0] = '\0';
    }
}

/* Where a paused domain goes on after a migration, nobody knows that it is owed a resumption.  What
 * is written down also holds while the pause is carried out. */
static void
warn_of_paused(MfEngine *engine, const char *uuid)
{
    const MfVictim *victim = g_hash_table_lookup(engine->memory->storm.victims, uuid);
    const MfDomain *domain = mf_registry_find(engine->registry, uuid);
    MfDebt debt = {0};

    mf_owed_get(engine->owed, uuid, &debt);
    if (victim && debt.suspended && domain) {
        g_warning("domain \"%s\": it has gone while memfold %s; if it was migrated or saved, it %s "
                  "paused where it comes up: virsh resume %s there",
                  domain->name, victim->suspended ? "had it paused" : "was pausing it",
                  victim->suspended ? "stays" : "may stay", domain->name);
    }
}

void
mf_engine_storm_forget(MfEngine *engine, const char *uuid)
{
    warn_of_paused(engine, uuid);
    mf_storm_forget(&engine->memory->storm, uuid);
    mf_owed_forget(engine->owed, uuid);
}

void
mf_engine_storm_renew(MfEngine *engine)
{
    g_clear_pointer(&engine->relief_calls, mf_workers_free);
    engine->relief_calls = mf_workers_new(CALLS_MAX);
    mf_engine_balloons_renew(engine);
}

void
mf_engine_storm_start(MfEngine *engine)
{
    g_autoptr(GError) error = NULL;

    if (!mf_owed_load(engine->owed, &error)) {
        g_warning("%s; domains that an earlier memfoldd paused stay so: virsh list --state-paused",
                  error->message);
    }
    engine->debts_left = mf_owed_list(engine->owed);
    engine->reclaims = mf_workers_new(RECLAIMS_MAX);
    mf_engine_storm_renew(engine);
}

/* What gives the domain what it is owed, without us; g_free(). */
static char *
owed_remedy(MfOwed *owed, const char *uuid)
{
    g_autoptr(GString) text = g_string_new(NULL);
    MfDebt debt = {0};

    mf_owed_get(owed, uuid, &debt);
    if (debt.suspended) {
        g_string_append_printf(text, "virsh resume %s", uuid);
    }
    if (debt.balloon.before_bytes > 0) {
        g_string_append_printf(text, "%svirsh setmem %s %" G_GUINT64_FORMAT " --live",
                               debt.suspended ? "; " : "", uuid, debt.balloon.before_bytes / KIB);
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* Whoever is still paused is so for want of room, and that does not change by our end. */
void
mf_engine_storm_stop(MfEngine *engine)
{
    g_auto(GStrv) uuids = mf_owed_list(engine->owed);

    for (guint i = 0; uuids[i]; i++) {
        const MfDomain *domain = mf_registry_find(engine->registry, uuids[i]);
        g_autofree char *remedy = owed_remedy(engine->owed, uuids[i]);

        g_warning("domain \"%s\": memfold leaves it as it is since the storm, and goes on when it "
                  "is started again; or: %s",
                  domain ? domain->name : uuids[i], remedy);
    }
    g_clear_pointer(&engine->balloon_looks, mf_workers_free);
    g_clear_pointer(&engine->relief_calls, mf_workers_free);
    g_clear_pointer(&engine->reclaims, mf_workers_free);
    g_clear_pointer(&engine->debts_left, g_strfreev);
}
