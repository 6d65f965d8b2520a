/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A look runs in a worker.  One that is kept waiting is left to itself, and another one begins,
 * which passes over who did that. */
#include "mf-audit-run.h"

#include "../core/mf-error.h"
#include "../io/mf-effort.h"
#include "../io/mf-proc.h"
#include "../io/mf-workers.h"
#include "mf-audit-look.h"

#define POLL_USEC (100 * 1000)

/* Looks of all audits that hang: each has a thread and a table.  And processes that are no domains,
 * of those that are passed over: any user can have more of them. */
#define HANGING_MAX       8
#define PASSED_OTHERS_MAX 2

/* A look, of its worker and of who waits for it. */
typedef struct {
    gatomicrefcount refs;
    MfConfig *config; /* the look's */
    MfAuditLook look;

    GMutex mutex; /* for what follows */
    GCond ended;
    MfEffort effort; /* the worker's, while it runs */
    gboolean has_ended;
    MfAuditReport *report; /* or NULL, with error */
    GError *error;

    gint64 hangs_at_pid; /* for hanging_mutex; 0: it need not hang, its caller has left */
} Attempt;

/* Who waits. */
typedef struct {
    guint patience_msec;
    MfAuditProgress progress;
    gpointer user_data;
    GCancellable *cancellable;
    gint told_permyriad; /* a look that begins anew is not told before it is further */
} Caller;

/* Those that have not ended, and that nobody waits for any more. */
static GMutex hanging_mutex;
static GPtrArray *hanging; /* of Attempt; or NULL */

static GHashTable *
pids_new(void)
{
    return g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
}

/* FALSE: it is in the set already. */
static gboolean
add_pid(GHashTable *pids, gint64 pid)
{
    return g_hash_table_add(pids, g_memdup2(&pid, sizeof(pid)));
}

static guint
count_hanging(void)
{
    guint count = 0;

    g_mutex_lock(&hanging_mutex);
    count = hanging ? hanging->len : 0;
    g_mutex_unlock(&hanging_mutex);
    return count;
}

/* Their processes need not be waited for once more. */
static void
add_hanging_pids(GHashTable *pids)
{
    g_mutex_lock(&hanging_mutex);
    for (guint i = 0; hanging && i < hanging->len; i++) {
        const Attempt *attempt = hanging->pdata[i];

        if (attempt->hangs_at_pid != 0) {
            add_pid(pids, attempt->hangs_at_pid);
        }
    }
    g_mutex_unlock(&hanging_mutex);
}

void
mf_audit_report_free(MfAuditReport *report)
{
    if (report) {
        g_array_unref(report->pairs);
        g_ptr_array_unref(report->others);
        g_ptr_array_unref(report->domains);
        g_free(report);
    }
}

const MfAuditDomain *
mf_audit_report_get_domain(const MfAuditReport *report, guint party)
{
    return party < report->domains->len ? report->domains->pdata[party] : NULL;
}

const MfAuditOther *
mf_audit_report_get_other(const MfAuditReport *report, guint party)
{
    guint index = party - report->domains->len;

    return party >= report->domains->len && index < report->others->len
               ? report->others->pdata[index]
               : NULL;
}

static void
attempt_unref(Attempt *attempt)
{
    MfAuditLook *look = &attempt->look;

    if (!g_atomic_ref_count_dec(&attempt->refs)) {
        return;
    }
    g_clear_pointer(&attempt->report, mf_audit_report_free);
    g_clear_error(&attempt->error);
    g_cond_clear(&attempt->ended);
    g_mutex_clear(&attempt->mutex);
    g_object_unref(look->cancellable);
    g_hash_table_unref(look->passed_pids);
    g_clear_pointer(&look->judged, g_hash_table_unref);
    g_ptr_array_unref(look->domains);
    mf_config_free(attempt->config);
    mf_root_unref(look->root);
    g_free(attempt);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Attempt, attempt_unref)

static void
attempt_run(gpointer data)
{
    Attempt *attempt = data;
    g_autoptr(GError) error = NULL;
    MfAuditReport *report = NULL;

    g_mutex_lock(&attempt->mutex);
    mf_effort_begin(&attempt->effort);
    g_mutex_unlock(&attempt->mutex);
    report = mf_audit_look_run(&attempt->look, &error);
    g_mutex_lock(&attempt->mutex);
    attempt->report = report;
    attempt->error = g_steal_pointer(&error);
    attempt->has_ended = TRUE;
    g_mutex_lock(&hanging_mutex);
    if (hanging) {
        g_ptr_array_remove_fast(hanging, attempt);
    }
    g_mutex_unlock(&hanging_mutex);
    g_cond_signal(&attempt->ended);
    g_mutex_unlock(&attempt->mutex);
    attempt_unref(attempt);
}

/* A look like that one, of which it takes copies. */
static Attempt *
attempt_begin(const MfAuditLook *like)
{
    Attempt *attempt = g_new0(Attempt, 1);
    MfAuditLook *look = &attempt->look;

    g_atomic_ref_count_init(&attempt->refs);
    g_mutex_init(&attempt->mutex);
    g_cond_init(&attempt->ended);
    attempt->config = mf_config_copy(like->config);
    *look = (MfAuditLook){.root = mf_root_ref(like->root),
                          .config = attempt->config,
                          .domains = g_ptr_array_new_with_free_func((GDestroyNotify)mf_domain_free),
                          .judged = like->judged ? g_hash_table_ref(like->judged) : NULL,
                          .passed_pids = pids_new(),
                          .skips_others = like->skips_others,
                          .knows_all = like->knows_all,
                          .cancellable = g_cancellable_new()};
    for (guint i = 0; i < like->domains->len; i++) {
        g_ptr_array_add(look->domains, mf_domain_copy(like->domains->pdata[i]));
    }
    GHashTableIter iter;
    gpointer pid;
    g_hash_table_iter_init(&iter, like->passed_pids);
    while (g_hash_table_iter_next(&iter, &pid, NULL)) {
        add_pid(look->passed_pids, *(gint64 *)pid);
    }
    g_atomic_ref_count_inc(&attempt->refs);
    mf_workers_call_now(attempt_run, attempt);
    return attempt;
}

static void
tell_progress(const Attempt *attempt, Caller *caller)
{
    gint done_permyriad = g_atomic_int_get(&attempt->look.done_permyriad);

    if (done_permyriad > caller->told_permyriad) {
        caller->told_permyriad = done_permyriad;
        caller->progress((guint)done_permyriad, caller->user_data);
    }
}

/* Lets it end by itself, at its next step. */
static void
leave(Attempt *attempt, gint64 hangs_at_pid)
{
    g_mutex_lock(&hanging_mutex);
    if (!hanging) {
        hanging = g_ptr_array_new();
    }
    attempt->hangs_at_pid = hangs_at_pid;
    g_ptr_array_add(hanging, attempt);
    g_mutex_unlock(&hanging_mutex);
    g_cancellable_cancel(attempt->look.cancellable);
}

/* Waits for its end, the caller's wish, or for its patience without a step or work; FALSE: it is
 * left. */
static gboolean
attempt_wait(Attempt *attempt, Caller *caller)
{
    gint64 now_usec = g_get_monotonic_time();
    gint64 patience_usec = (gint64)caller->patience_msec * 1000;
    MfEffortWatch watch;
    gint steps_count = 0;
    gboolean has_ended = FALSE;

    mf_effort_watch(&watch, now_usec);
    g_mutex_lock(&attempt->mutex);
    while (!attempt->has_ended && !g_cancellable_is_cancelled(caller->cancellable)) {
        gint now_count = g_atomic_int_get(&attempt->look.steps_count);

        if (mf_effort_is_idle(&watch, &attempt->effort, patience_usec, now_usec)) {
            break;
        }
        if (now_count != steps_count) {
            steps_count = now_count;
            watch.worked_usec = now_usec;
        }
        g_cond_wait_until(&attempt->ended, &attempt->mutex, now_usec + POLL_USEC);
        now_usec = g_get_monotonic_time();
        tell_progress(attempt, caller);
    }
    has_ended = attempt->has_ended;
    if (!has_ended) {
        leave(attempt, g_cancellable_is_cancelled(caller->cancellable)
                           ? 0
                           : g_atomic_int_get(&attempt->look.at_pid));
    }
    g_mutex_unlock(&attempt->mutex);
    tell_progress(attempt, caller);
    return has_ended;
}

static gboolean
is_domains_pid(const GPtrArray *domains, gint64 pid)
{
    for (guint i = 0; i < domains->len; i++) {
        if (((const MfDomain *)domains->pdata[i])->pid == pid) {
            return TRUE;
        }
    }
    return FALSE;
}

/* Whether so many others are passed over that none is read any more. */
static gboolean
passes_all_others(const MfAuditLook *like)
{
    GHashTableIter iter;
    gpointer pid;
    guint others_count = 0;

    g_hash_table_iter_init(&iter, like->passed_pids);
    while (g_hash_table_iter_next(&iter, &pid, NULL)) {
        others_count += is_domains_pid(like->domains, *(gint64 *)pid) ? 0 : 1;
    }
    return others_count >= PASSED_OTHERS_MAX;
}

/* Notes who kept that look waiting.  FALSE when another one would not do better. */
static gboolean
pass_over(const Attempt *attempt, GHashTable *passed_pids, guint patience_msec, GError **error)
{
    gint64 pid = attempt->hangs_at_pid;
    g_autofree char *comm = pid != 0 ? mf_proc_read_comm(attempt->look.root, pid) : NULL;
    g_autofree char *text =
        g_strdup_printf("process %" G_GINT64_FORMAT
                        " (%s) keeps those waiting who look at its memory, for %u s now",
                        pid, comm ? comm : "not known", patience_msec / 1000);

    if (pid == 0 || !add_pid(passed_pids, pid)) {
        g_set_error(error, MF_ERROR, MF_ERROR_TIMEOUT, "%s; end it, or audit later", text);
        return FALSE;
    }
    g_warning("audit: %s; it is passed over", text);
    return TRUE;
}

MfAuditReport *
mf_audit_run(MfRoot *root, const MfConfig *config, GPtrArray *domains, GHashTable *judged,
             gboolean knows_all, guint patience_msec, MfAuditProgress progress, gpointer user_data,
             GCancellable *cancellable, GError **error)
{
    gint64 begun_usec = g_get_monotonic_time();
    g_autoptr(GHashTable) passed_pids = pids_new();
    Caller caller = {patience_msec, progress, user_data, cancellable, 0};
    MfAuditLook like = {.root = root,
                        .config = config,
                        .domains = domains,
                        .judged = judged,
                        .passed_pids = passed_pids,
                        .knows_all = knows_all};

    add_hanging_pids(passed_pids);
    if (g_hash_table_size(passed_pids) > 0) {
        g_warning("audit: %u processes still keep earlier audits waiting, and are passed over",
                  g_hash_table_size(passed_pids));
    }
    while (!g_cancellable_set_error_if_cancelled(cancellable, error)) {
        if (count_hanging() >= HANGING_MAX) {
            g_set_error(error, MF_ERROR, MF_ERROR_BUSY,
                        "%d earlier looks still wait for processes that the log names; end these",
                        HANGING_MAX);
            return NULL;
        }
        like.skips_others = passes_all_others(&like);
        g_autoptr(Attempt) attempt = attempt_begin(&like);
        if (attempt_wait(attempt, &caller)) {
            if (!attempt->report) {
                g_propagate_error(error, g_steal_pointer(&attempt->error));
                return NULL;
            }
            attempt->report->took_usec = g_get_monotonic_time() - begun_usec;
            return g_steal_pointer(&attempt->report);
        }
        if (!g_cancellable_is_cancelled(cancellable) &&
            !pass_over(attempt, passed_pids, patience_msec, error)) {
            return NULL;
        }
    }
    return NULL;
}
