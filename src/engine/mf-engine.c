/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-engine-private.h"

#include "../core/mf-error.h"
#include "../core/mf-poison.h"
#include "../io/mf-host.h"

#define KICK_DELAY_MSEC 10
#define MOVES_MAX       4 /* each may copy what a guest had merged */
#define STOP_WAIT_USEC  (5 * G_USEC_PER_SEC)
#define TICK_LATE_USEC  (10 * G_USEC_PER_SEC)

MfEngine *
mf_engine_new(MfRoot *host, MfJournal *journal, const MfConfig *config)
{
    MfEngine *engine = g_new0(MfEngine, 1);

    g_atomic_ref_count_init(&engine->refs);
    engine->host = mf_root_ref(host);
    engine->config = mf_config_copy(config);
    engine->memory = mf_memory_new();
    engine->apply = mf_apply_new(host, journal);
    engine->starts = mf_engine_starts_new();
    engine->registry = mf_registry_new();
    engine->owed = mf_owed_new(mf_journal_get_runtime(journal), host);
    engine->admissions = mf_admissions_new();
    engine->tick_problems = mf_problems_new();
    engine->accounts_problems = mf_problems_new();
    engine->history = mf_history_new();
    engine->domain_problems = mf_problems_new();
    engine->moves = mf_workers_new(MOVES_MAX);
    engine->accounts_waiters = g_ptr_array_new_with_free_func(g_object_unref);
    return engine;
}

MfEngine *
mf_engine_ref(MfEngine *engine)
{
    g_atomic_ref_count_inc(&engine->refs);
    return engine;
}

void
mf_engine_unref(MfEngine *engine)
{
    if (!engine || !g_atomic_ref_count_dec(&engine->refs)) {
        return;
    }
    g_ptr_array_unref(engine->accounts_waiters);
    mf_workers_free(engine->moves);
    mf_problems_free(engine->domain_problems);
    mf_problems_free(engine->accounts_problems);
    mf_problems_free(engine->tick_problems);
    mf_plan_free(engine->plan);
    mf_snapshot_free(engine->accounts);
    mf_history_free(engine->history);
    mf_snapshot_free(engine->snapshot);
    mf_owed_free(engine->owed);
    mf_registry_free(engine->registry);
    mf_admissions_free(engine->admissions);
    g_hash_table_unref(engine->starts);
    mf_apply_free(engine->apply);
    mf_memory_free(engine->memory);
    mf_config_free(engine->config);
    mf_root_unref(engine->host);
    g_free(engine);
}

void
mf_engine_listen(MfEngine *engine, MfEngineChanged changed, gpointer user_data)
{
    engine->changed = changed;
    engine->changed_data = user_data;
}

void
mf_engine_tell_changed(MfEngine *engine)
{
    if (engine->changed) {
        engine->changed(engine, engine->changed_data);
    }
}

void
mf_engine_note_changed(MfEngine *engine)
{
    mf_engine_kick(engine);
    mf_engine_tell_changed(engine);
}

typedef struct {
    MfEngine *engine;
    GPtrArray *domains; /* of MfDomain */
    GPtrArray *starts;  /* of MfDomain: see mf_engine_dup_starts() */
    gint64 begun_usec;
    gboolean lets_go;
} Tick;

static void
tick_free(gpointer data)
{
    Tick *tick = data;

    g_clear_pointer(&tick->domains, g_ptr_array_unref);
    g_clear_pointer(&tick->starts, g_ptr_array_unref);
    mf_engine_unref(tick->engine);
    g_free(tick);
}

static Tick *
tick_new(MfEngine *engine)
{
    Tick *tick = g_new0(Tick, 1);

    tick->engine = mf_engine_ref(engine);
    tick->begun_usec = g_get_monotonic_time();
    return tick;
}

static void
tick_end(MfEngine *engine)
{
    engine->ticking = FALSE;
    engine->tick_late_told = FALSE;
    if (engine->tick_again && !engine->stopped) {
        mf_engine_kick(engine);
    }
    engine->tick_again = FALSE;
}

static void
apply_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data,
             G_GNUC_UNUSED GCancellable *cancellable)
{
    Tick *tick = data;
    MfEngine *engine = tick->engine;

    /* The main context replaces plan and snapshot only in the next tick. */
    if (tick->lets_go) {
        mf_apply_restore(engine->apply, engine->snapshot->host.other_manager);
    } else {
        mf_apply_knobs(engine->apply, engine->plan);
    }
    g_task_return_boolean(task, TRUE);
}

static void
on_applied(G_GNUC_UNUSED GObject *source, GAsyncResult *result, G_GNUC_UNUSED gpointer data)
{
    MfEngine *engine = ((Tick *)g_task_get_task_data(G_TASK(result)))->engine;

    tick_end(engine);
}

static gboolean
has_knob_actions(const MfPlan *plan)
{
    for (guint i = 0; i < plan->actions->len; i++) {
        if (((MfAction *)plan->actions->pdata[i])->kind == MF_ACTION_KNOB) {
            return TRUE;
        }
    }
    return FALSE;
}

static void
collect_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data,
               G_GNUC_UNUSED GCancellable *cancellable)
{
    Tick *tick = data;

    mf_engine_find_starts(tick->engine->host, tick->starts);
    g_task_return_pointer(
        task, mf_collect(tick->engine->host, tick->domains, FALSE, tick->engine->tick_problems),
        (GDestroyNotify)mf_snapshot_free);
}

static gboolean on_tick(gpointer data);

static void
warn_of_poison(MfEngine *engine)
{
    if (mf_poison_is_news(&engine->snapshot->host, &engine->poison_told_bytes)) {
        g_autoptr(MfReason) reason = mf_poison_reason(&engine->snapshot->host);

        g_warning("%s; %s", reason->text, reason->remedy);
    }
}

/* A storm does not wait for a slow tick. */
static void
set_tick(MfEngine *engine)
{
    guint msec = mf_storm_tick_msec(engine->config, &engine->memory->storm);

    if (engine->tick_id == 0 || msec != engine->tick_msec) {
        g_clear_handle_id(&engine->tick_id, g_source_remove);
        engine->tick_id = g_timeout_add(msec, on_tick, engine);
        engine->tick_msec = msec;
    }
}

static void
on_collected(G_GNUC_UNUSED GObject *source, GAsyncResult *result, G_GNUC_UNUSED gpointer data)
{
    Tick *tick = g_task_get_task_data(G_TASK(result));
    MfEngine *engine = tick->engine;
    MfSnapshot *snapshot = g_task_propagate_pointer(G_TASK(result), NULL);

    if (engine->stopped) {
        mf_snapshot_free(snapshot);
        tick_end(engine);
        return;
    }
    mf_registry_take_figures(engine->registry, snapshot, FALSE, tick->begun_usec);
    mf_snapshot_free(engine->snapshot);
    engine->snapshot = snapshot;
    warn_of_poison(engine);
    mf_engine_follow_starts(engine, tick->starts, snapshot->taken_usec);
    mf_plan_free(engine->plan);
    mf_engine_storm_adopt(engine);
    engine->plan = mf_decide(engine->config, snapshot, engine->memory);
    engine->plan_begun_usec = tick->begun_usec;
    set_tick(engine);
    mf_engine_accounts_follow(engine);
    mf_engine_check_holds(engine, snapshot->taken_usec);
    mf_engine_groups_apply(engine, engine->plan);
    mf_engine_boosts_apply(engine, engine->plan);
    mf_engine_domains_apply(engine, engine->plan);
    mf_engine_domains_doubt(engine);
    mf_engine_storm_apply(engine, engine->plan);
    if (engine->let_go || has_knob_actions(engine->plan)) {
        g_autoptr(GTask) task = g_task_new(NULL, NULL, on_applied, NULL);
        Tick *apply = tick_new(engine);

        apply->lets_go = engine->let_go;
        engine->let_go = FALSE;
        g_task_set_task_data(task, apply, tick_free);
        mf_workers_run_now(task, apply_thread);
    } else {
        mf_apply_clear_failures(engine->apply);
        tick_end(engine);
    }
}

static void
tick_begin(MfEngine *engine)
{
    g_autoptr(GTask) task = NULL;
    Tick *tick = NULL;

    if (engine->ticking) {
        engine->tick_again = TRUE;
        return;
    }
    engine->ticking = TRUE;
    tick = tick_new(engine);
    engine->tick_begun_usec = tick->begun_usec;
    tick->domains = mf_registry_copy_domains(engine->registry, tick->begun_usec);
    tick->starts = mf_engine_dup_starts(engine);
    task = g_task_new(NULL, NULL, on_collected, NULL);
    g_task_set_task_data(task, tick, tick_free);
    mf_workers_run_now(task, collect_thread);
}

/* Nothing is decided while a tick waits for a file of the host's. */
static void
warn_of_late_tick(MfEngine *engine)
{
    gint64 age_usec = g_get_monotonic_time() - engine->tick_begun_usec;

    if (age_usec >= TICK_LATE_USEC && !engine->tick_late_told) {
        engine->tick_late_told = TRUE;
        g_warning("a tick has not ended for %" G_GINT64_FORMAT " s: reading the host's figures, or "
                  "writing a knob, waits for the kernel; nothing is decided meanwhile",
                  age_usec / G_USEC_PER_SEC);
    }
}

static gboolean
on_tick(gpointer data)
{
    MfEngine *engine = data;

    if (engine->ticking) {
        warn_of_late_tick(engine);
    } else {
        tick_begin(engine);
    }
    return G_SOURCE_CONTINUE;
}

static gboolean
on_kick(gpointer data)
{
    MfEngine *engine = data;

    engine->kick_id = 0;
    tick_begin(engine);
    return G_SOURCE_REMOVE;
}

void
mf_engine_kick(MfEngine *engine)
{
    if (!engine->stopped && engine->kick_id == 0) {
        engine->kick_id = g_timeout_add(KICK_DELAY_MSEC, on_kick, engine);
    }
}

void
mf_engine_start(MfEngine *engine)
{
    set_tick(engine);
    mf_engine_kick(engine);
    mf_engine_accounts_start(engine);
    mf_engine_storm_start(engine);
    mf_engine_domains_start(engine);
}

static gboolean
on_stop_timeout(gpointer data)
{
    gboolean *late = data;

    *late = TRUE;
    return G_SOURCE_CONTINUE;
}

gboolean
mf_engine_stop(MfEngine *engine)
{
    g_autoptr(MfSnapshot) present = mf_snapshot_new();
    gboolean late = FALSE;
    guint timeout_id = 0;

    engine->stopped = TRUE;
    mf_engine_listen(engine, NULL, NULL);
    g_clear_handle_id(&engine->tick_id, g_source_remove);
    g_clear_handle_id(&engine->kick_id, g_source_remove);
    mf_engine_accounts_stop(engine);
    mf_survey_stop(&engine->estimate_turn);
    mf_survey_stop(&engine->audit_turn);
    mf_engine_storm_stop(engine);
    mf_engine_domains_stop(engine);
    timeout_id = g_timeout_add(STOP_WAIT_USEC / 1000, on_stop_timeout, &late);
    while (engine->ticking && !late) {
        g_main_context_iteration(NULL, TRUE);
    }
    g_source_remove(timeout_id);
    mf_host_read(engine->host, &present->host, NULL);
    mf_apply_close(engine->apply);
    return mf_apply_restore(engine->apply, present->host.other_manager);
}

void
mf_engine_set_config(MfEngine *engine, const MfConfig *config)
{
    if (g_strcmp0(engine->config->libvirt_uri, config->libvirt_uri) != 0) {
        g_message("configuration: libvirt-uri takes effect when memfoldd is started again");
    }
    /* Not here: a tick may be writing, and a write waits for ksmd. */
    engine->let_go = !config->manage && (engine->let_go || engine->config->manage);
    if (engine->let_go) {
        mf_apply_release(engine->apply);
    }
    mf_config_free(engine->config);
    engine->config = mf_config_copy(config);
    if (engine->tick_id != 0) {
        set_tick(engine);
        mf_engine_accounts_start(engine);
        mf_engine_kick(engine);
    }
}

const MfConfig *
mf_engine_get_config(const MfEngine *engine)
{
    return engine->config;
}

GPtrArray *
mf_engine_dup_failures(const MfEngine *engine)
{
    return mf_apply_dup_failures(engine->apply);
}

const MfSnapshot *
mf_engine_get_snapshot(const MfEngine *engine)
{
    return engine->snapshot;
}

const MfPlan *
mf_engine_get_plan(const MfEngine *engine)
{
    return engine->plan;
}

guint
mf_engine_get_ksmd_budget_permyriad(const MfEngine *engine)
{
    return mf_pace_budget_permyriad(engine->config, engine->memory->pacing.pace);
}

MfU64
mf_engine_get_ksmd_cpu_permyriad(const MfEngine *engine)
{
    return engine->memory->ksmd_cpu_permyriad;
}
