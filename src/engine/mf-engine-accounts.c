/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rounds of accounts: who saves what, at one moment, for all. */
#include "mf-engine-private.h"

#define FRESH_USEC       (2 * G_USEC_PER_SEC)
#define SOON_MSEC        200
#define REFRESH_MAX_MSEC 5000

typedef struct {
    MfEngine *engine;
    GPtrArray *domains;
    gint64 begun_usec;
} Round;

static void round_begin(MfEngine *engine);

static void
round_free(gpointer data)
{
    Round *round = data;

    g_ptr_array_unref(round->domains);
    mf_engine_unref(round->engine);
    g_free(round);
}

static void
round_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data,
             G_GNUC_UNUSED GCancellable *cancellable)
{
    Round *round = data;
    MfEngine *engine = round->engine;

    g_task_return_pointer(task,
                          mf_collect(engine->host, round->domains, TRUE, engine->accounts_problems),
                          (GDestroyNotify)mf_snapshot_free);
}

static gboolean
on_due(gpointer data)
{
    MfEngine *engine = data;

    engine->accounts_id = 0;
    round_begin(engine);
    return G_SOURCE_REMOVE;
}

static void
schedule(MfEngine *engine, gint64 wait_usec)
{
    g_clear_handle_id(&engine->accounts_id, g_source_remove);
    engine->accounts_id = g_timeout_add((guint)(wait_usec / 1000), on_due, engine);
}

static void
release_waiters(MfEngine *engine)
{
    g_autoptr(GPtrArray) waiters = g_steal_pointer(&engine->accounts_waiters);

    engine->accounts_waiters = g_ptr_array_new_with_free_func(g_object_unref);
    for (guint i = 0; i < waiters->len; i++) {
        g_task_return_boolean(waiters->pdata[i], TRUE);
    }
}

static void
on_round(G_GNUC_UNUSED GObject *source, GAsyncResult *result, G_GNUC_UNUSED gpointer data)
{
    Round *round = g_task_get_task_data(G_TASK(result));
    MfEngine *engine = round->engine;
    MfSnapshot *snapshot = g_task_propagate_pointer(G_TASK(result), NULL);
    MfPace pace = engine->memory->pacing.pace;

    engine->accounting = FALSE;
    engine->accounts_cost_usec = g_get_monotonic_time() - round->begun_usec -
                                 mf_problems_get_waited_usec(engine->accounts_problems);
    mf_registry_take_figures(engine->registry, snapshot, TRUE, round->begun_usec);
    mf_snapshot_free(engine->accounts);
    engine->accounts = snapshot;
    mf_history_add(engine->history, snapshot);
    release_waiters(engine);
    if (!engine->stopped) {
        engine->accounts_at_rest = pace == MF_PACE_REST;
        schedule(engine,
                 mf_pace_accounts_wait_usec(engine->config, pace, engine->accounts_cost_usec));
        if (engine->accounts_wanted) {
            engine->accounts_wanted = FALSE;
            mf_engine_accounts_soon(engine);
        }
    }
}

static void
round_begin(MfEngine *engine)
{
    g_autoptr(GTask) task = NULL;
    Round *round = NULL;

    if (engine->accounting || engine->stopped) {
        return;
    }
    g_clear_handle_id(&engine->accounts_id, g_source_remove);
    engine->accounting = TRUE;
    round = g_new0(Round, 1);
    round->engine = mf_engine_ref(engine);
    round->begun_usec = g_get_monotonic_time();
    round->domains = mf_registry_copy_domains(engine->registry, round->begun_usec);
    task = g_task_new(NULL, NULL, on_round, NULL);
    g_task_set_task_data(task, round, round_free);
    mf_workers_run_now(task, round_thread);
}

void
mf_engine_accounts_start(MfEngine *engine)
{
    if (!engine->accounting) {
        schedule(engine, engine->accounts ? FRESH_USEC : SOON_MSEC * 1000);
    }
}

void
mf_engine_accounts_stop(MfEngine *engine)
{
    g_clear_handle_id(&engine->accounts_id, g_source_remove);
    release_waiters(engine);
}

/* How old accounts may be shown: what they cost decides. */
static gint64
allowed_age_usec(const MfEngine *engine)
{
    return MAX(FRESH_USEC, engine->accounts_cost_usec * MF_ACCOUNTS_COST_FACTOR);
}

void
mf_engine_accounts_soon(MfEngine *engine)
{
    gint64 age_usec = 0;

    if (engine->stopped) {
        return;
    }
    if (engine->accounting) {
        engine->accounts_wanted = TRUE; /* what has begun may not see it */
        return;
    }
    age_usec =
        engine->accounts ? g_get_monotonic_time() - engine->accounts->taken_usec : G_MAXINT64;
    schedule(engine, MAX(SOON_MSEC * 1000,
                         engine->accounts_cost_usec * MF_ACCOUNTS_COST_FACTOR - age_usec));
}

void
mf_engine_accounts_follow(MfEngine *engine)
{
    if (engine->accounts_at_rest && engine->memory->pacing.pace != MF_PACE_REST) {
        engine->accounts_at_rest = FALSE;
        mf_engine_accounts_soon(engine);
    }
}

static gboolean
on_refresh_late(gpointer data)
{
    GTask *task = data;
    MfEngine *engine = g_task_get_task_data(task);

    if (g_ptr_array_find(engine->accounts_waiters, task, NULL)) {
        g_task_return_boolean(task, TRUE);
        g_ptr_array_remove(engine->accounts_waiters, task);
    }
    return G_SOURCE_REMOVE;
}

void
mf_engine_refresh(MfEngine *engine, GAsyncReadyCallback callback, gpointer user_data)
{
    g_autoptr(GTask) task = g_task_new(NULL, NULL, callback, user_data);
    gint64 now_usec = g_get_monotonic_time();

    g_task_set_task_data(task, mf_engine_ref(engine), (GDestroyNotify)mf_engine_unref);
    if (engine->stopped ||
        (engine->accounts && now_usec - engine->accounts->taken_usec < allowed_age_usec(engine))) {
        g_task_return_boolean(task, TRUE);
        return;
    }
    g_ptr_array_add(engine->accounts_waiters, g_object_ref(task));
    g_timeout_add_full(G_PRIORITY_DEFAULT, REFRESH_MAX_MSEC, on_refresh_late, g_object_ref(task),
                       g_object_unref);
    round_begin(engine);
}

const MfSnapshot *
mf_engine_get_accounts(const MfEngine *engine)
{
    return engine->accounts;
}

const MfHistory *
mf_engine_get_history(const MfEngine *engine)
{
    return engine->history;
}

MfU64
mf_engine_get_accounts_age_msec(const MfEngine *engine, const char *uuid)
{
    return mf_registry_get_accounts_age_msec(engine->registry, uuid, g_get_monotonic_time());
}
