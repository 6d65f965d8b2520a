/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Holds: ksmd stands still while a domain starts that must not be merged.
 *
 * A hold has a deadline, for a start that never comes about.  When the QEMU is there, how long that
 * takes is up to others: while a domain is restored or migrated to this host libvirt lets nobody to
 * its monitor, and whoever restores one tells of it only at the end.  So a tick looks for the QEMU,
 * and as long as mf-start.h says so, it puts the deadline off.
 */
#include "mf-engine-private.h"

#include "../core/mf-start.h"
#include "../io/mf-proc.h"

#define HOLD_USEC (30 * G_USEC_PER_SEC)
/* After so long without a QEMU nobody waits for one any more. */
#define FORGET_USEC (600 * G_USEC_PER_SEC)

/* A domain that ksmd was stopped for, until its start is over or it has gone. */
typedef struct {
    char *name;
    gint64 prepared_usec;
    gboolean is_waited_for; /* its QEMU was there at the last tick, and the hold goes on */
    gboolean told;          /* the log knows that it takes long */
} Start;

static void
start_free(gpointer data)
{
    Start *start = data;

    g_free(start->name);
    g_free(start);
}

GHashTable *
mf_engine_starts_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, start_free);
}

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

void
mf_engine_end_hold(MfEngine *engine, const char *uuid)
{
    g_hash_table_remove(engine->starts, uuid);
    mf_memory_release(engine->memory, uuid);
    mf_engine_check_holds(engine, g_get_monotonic_time());
}

/* Whether the last plan saw the QEMU that is started, and not the one before. */
static gboolean
is_planned_for(const MfEngine *engine, const Start *start)
{
    return start->prepared_usec < engine->plan_begun_usec;
}

void
mf_engine_end_hold_judged(MfEngine *engine, const char *uuid, gint64 begun_usec)
{
    const Start *start = g_hash_table_lookup(engine->starts, uuid);

    if (!start || (is_planned_for(engine, start) && start->prepared_usec < begun_usec)) {
        mf_engine_end_hold(engine, uuid);
    }
}

GPtrArray *
mf_engine_dup_starts(const MfEngine *engine)
{
    GPtrArray *starts = g_ptr_array_new_with_free_func((GDestroyNotify)mf_domain_free);
    GHashTableIter iter;
    gpointer uuid = NULL;
    gpointer start = NULL;

    g_hash_table_iter_init(&iter, engine->starts);
    while (g_hash_table_iter_next(&iter, &uuid, &start)) {
        if (!mf_registry_find(engine->registry, uuid)) {
            g_ptr_array_add(starts, mf_domain_new(uuid, ((Start *)start)->name));
        }
    }
    return starts;
}

void
mf_engine_find_starts(MfRoot *host, GPtrArray *starts)
{
    for (guint i = 0; i < starts->len; i++) {
        MfDomain *start = starts->pdata[i];

        mf_proc_find_pid(host, start->name, start->uuid, &start->pid, NULL);
    }
}

static gboolean
has_pid(const GPtrArray *starts, const char *uuid)
{
    for (guint i = 0; i < starts->len; i++) {
        const MfDomain *start = starts->pdata[i];

        if (g_str_equal(start->uuid, uuid)) {
            return start->pid > 0;
        }
    }
    return FALSE;
}

/* Why the hold goes on; g_free(). */
static char *
why_waited_for(const MfEngine *engine, const char *uuid, const Start *start, gint64 now_usec)
{
    const MfDomain *domain = mf_registry_find(engine->registry, uuid);
    const char *what = "its QEMU could not be asked yet (is it being migrated here?)";

    if (!domain) {
        what = "libvirt has not told of it yet (is it being restored?)";
    } else if (domain->switch_error) {
        what = domain->switch_error;
    } else if (domain->mode != MF_MODE_UNKNOWN) {
        what = "it is to be switched off";
    }
    return g_strdup_printf("domain \"%s\" must not merge, and has been starting for "
                           "%" G_GINT64_FORMAT " s: %s; ksmd waits until it is switched off",
                           start->name, (now_usec - start->prepared_usec) / G_USEC_PER_SEC, what);
}

static void
hold_on(MfEngine *engine, const char *uuid, Start *start, gint64 now_usec)
{
    start->is_waited_for = TRUE;
    mf_memory_hold(engine->memory, uuid, now_usec + HOLD_USEC);
    mf_apply_hold(engine->apply);
    if (!start->told && now_usec - start->prepared_usec > HOLD_USEC) {
        g_autofree char *why = why_waited_for(engine, uuid, start, now_usec);

        g_message("%s", why);
        start->told = TRUE;
    }
}

void
mf_engine_follow_starts(MfEngine *engine, const GPtrArray *starts, gint64 now_usec)
{
    GHashTableIter iter;
    gpointer uuid = NULL;
    gpointer value = NULL;

    g_hash_table_iter_init(&iter, engine->starts);
    while (g_hash_table_iter_next(&iter, &uuid, &value)) {
        const MfDomain *domain = mf_registry_find(engine->registry, uuid);
        Start *start = value;
        const MfVerdict *verdict =
            is_planned_for(engine, start) ? mf_plan_find(engine->plan, uuid) : NULL;
        gboolean runs = domain ? domain->pid > 0 : has_pid(starts, uuid);

        start->is_waited_for = FALSE;
        if (runs && mf_start_is_over(domain, verdict)) {
            mf_memory_release(engine->memory, uuid);
            g_hash_table_iter_remove(&iter);
        } else if (runs && engine->config->manage &&
                   mf_start_is_open(domain, mf_registry_is_refused(engine->registry, uuid),
                                    verdict)) {
            hold_on(engine, uuid, start, now_usec);
        } else if (!domain && !runs && now_usec - start->prepared_usec > FORGET_USEC) {
            g_hash_table_iter_remove(&iter);
        }
    }
}

GPtrArray *
mf_engine_dup_long_starts(const MfEngine *engine)
{
    GPtrArray *reasons = g_ptr_array_new_with_free_func((GDestroyNotify)mf_reason_free);
    gint64 now_usec = g_get_monotonic_time();
    GHashTableIter iter;
    gpointer uuid = NULL;
    gpointer value = NULL;

    g_hash_table_iter_init(&iter, engine->starts);
    while (g_hash_table_iter_next(&iter, &uuid, &value)) {
        const Start *start = value;

        if (start->is_waited_for && now_usec - start->prepared_usec > HOLD_USEC) {
            g_autofree char *why = why_waited_for(engine, uuid, start, now_usec);

            g_ptr_array_add(reasons,
                            mf_reason_new(MF_REASON_START_HOLD,
                                          "wait, or destroy it; with <nosharepages/> in its "
                                          "<memoryBacking> nobody waits for its starts",
                                          "%s", why));
        }
    }
    return reasons;
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

static void
hold_begin(MfEngine *engine, const MfDomain *facts)
{
    gint64 now_usec = g_get_monotonic_time();
    Start *start = g_new0(Start, 1);

    start->name = g_strdup(facts->name);
    start->prepared_usec = now_usec;
    g_hash_table_replace(engine->starts, g_strdup(facts->uuid), start);
    mf_memory_hold(engine->memory, facts->uuid, now_usec + HOLD_USEC);
    mf_apply_hold(engine->apply);
    mf_engine_kick(engine);
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
    hold_begin(engine, facts);
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
