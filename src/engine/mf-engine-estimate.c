/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Estimates: one at a time, in a thread of its own, for as long as somebody waits for it. */
#include "mf-engine-private.h"

#include "../core/mf-error.h"

typedef struct {
    MfEngine *engine;
    MfRoot *host;
    MfConfig *config;
    GPtrArray *domains;
    guint64 rate_bytes;
    gint *done_permyriad;
} Job;

static void
job_free(gpointer data)
{
    Job *job = data;

    g_atomic_rc_box_release(job->done_permyriad);
    g_ptr_array_unref(job->domains);
    mf_config_free(job->config);
    mf_root_unref(job->host);
    mf_engine_unref(job->engine);
    g_free(job);
}

static void
on_progress(guint done_permyriad, gpointer data)
{
    g_atomic_int_set((gint *)data, (gint)done_permyriad);
}

static void
job_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data, GCancellable *cancellable)
{
    Job *job = data;
    g_autoptr(GError) error = NULL;
    MfEstimateReport *report =
        mf_estimate_run(job->host, job->config, job->domains, job->rate_bytes, on_progress,
                        job->done_permyriad, cancellable, &error);

    if (report) {
        g_task_return_pointer(task, report, (GDestroyNotify)mf_estimate_report_free);
    } else {
        g_task_return_error(task, g_steal_pointer(&error));
    }
}

/* Copies of the named ones, or of all; NULL with GONE when one does not run. */
static GPtrArray *
pick_domains(MfEngine *engine, const char *const *names, GError **error)
{
    g_autoptr(GPtrArray) domains = g_ptr_array_new_with_free_func((GDestroyNotify)mf_domain_free);

    if (names[0] == NULL) {
        return mf_engine_dup_domains(engine);
    }
    for (guint i = 0; names[i]; i++) {
        const MfDomain *domain = mf_engine_find(engine, names[i]);
        gboolean is_twice = FALSE;

        if (!domain) {
            g_set_error(error, MF_ERROR, MF_ERROR_GONE,
                        "no running domain \"%s\" (memfold status lists them)", names[i]);
            return NULL;
        }
        for (guint k = 0; k < domains->len; k++) {
            const MfDomain *other = domains->pdata[k];
            is_twice |= g_str_equal(other->uuid, domain->uuid);
        }
        if (!is_twice) {
            g_ptr_array_add(domains, mf_domain_copy(domain));
        }
    }
    return g_steal_pointer(&domains);
}

void
mf_engine_estimate(MfEngine *engine, const char *const *names, guint64 rate_bytes,
                   gint *done_permyriad, GCancellable *cancellable, GAsyncReadyCallback callback,
                   gpointer user_data)
{
    g_autoptr(GTask) task = g_task_new(NULL, cancellable, callback, user_data);
    g_autoptr(GError) error = NULL;
    Job *job = NULL;

    if (engine->estimating || engine->stopped) {
        g_task_return_new_error(task, MF_ERROR, MF_ERROR_BUSY,
                                "another estimate is under way; try again when it has ended");
        return;
    }
    g_autoptr(GPtrArray) domains = pick_domains(engine, names, &error);
    if (!domains) {
        g_task_return_error(task, g_steal_pointer(&error));
        return;
    }
    g_message("estimate: reads the memory of %u domains", domains->len);
    engine->estimating = TRUE;
    engine->estimate_cancellable = g_object_ref(cancellable);
    job = g_new0(Job, 1);
    job->engine = mf_engine_ref(engine);
    job->host = mf_root_ref(engine->host);
    job->config = mf_config_copy(engine->config);
    job->domains = g_steal_pointer(&domains);
    job->rate_bytes = rate_bytes;
    job->done_permyriad = g_atomic_rc_box_acquire(done_permyriad);
    g_task_set_task_data(task, job, job_free);
    mf_workers_run_now(task, job_thread);
}

MfEstimateReport *
mf_engine_estimate_finish(GAsyncResult *result, GError **error)
{
    Job *job = g_task_get_task_data(G_TASK(result));

    /* Without a job it was refused, and another one may be under way. */
    if (job) {
        job->engine->estimating = FALSE;
        g_clear_object(&job->engine->estimate_cancellable);
    }
    return g_task_propagate_pointer(G_TASK(result), error);
}

void
mf_engine_estimate_stop(MfEngine *engine)
{
    if (engine->estimate_cancellable) {
        g_cancellable_cancel(engine->estimate_cancellable);
    }
}
