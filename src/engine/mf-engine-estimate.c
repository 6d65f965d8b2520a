/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Estimates: what merging the named domains would save, as the engine knows them now. */
#include "mf-engine-private.h"

typedef struct {
    MfSurvey survey;
    guint64 rate_bytes;
} Job;

static void
job_free(gpointer data)
{
    Job *job = data;

    mf_survey_clear(&job->survey);
    g_free(job);
}

static void
job_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data, GCancellable *cancellable)
{
    Job *job = data;
    MfSurvey *survey = &job->survey;
    g_autoptr(GError) error = NULL;
    MfEstimateReport *report =
        mf_estimate_run(survey->host, survey->config, survey->named, job->rate_bytes,
                        mf_survey_note_progress, survey, cancellable, &error);

    if (report) {
        g_task_return_pointer(task, report, (GDestroyNotify)mf_estimate_report_free);
    } else {
        g_task_return_error(task, g_steal_pointer(&error));
    }
}

void
mf_engine_estimate(MfEngine *engine, const char *const *names, guint64 rate_bytes,
                   gint *done_permyriad, GCancellable *cancellable, GAsyncReadyCallback callback,
                   gpointer user_data)
{
    g_autoptr(GTask) task = g_task_new(NULL, cancellable, callback, user_data);
    g_autoptr(GError) error = NULL;
    MfSurvey survey;
    Job *job = NULL;

    if (!mf_survey_begin(&survey, engine, &engine->estimate_turn, "estimate", names, done_permyriad,
                         cancellable, &error)) {
        g_task_return_error(task, g_steal_pointer(&error));
        return;
    }
    g_message("estimate: reads the memory of %u domains", survey.named->len);
    job = g_new(Job, 1);
    *job = (Job){.survey = survey, .rate_bytes = rate_bytes};
    g_task_set_task_data(task, job, job_free);
    mf_workers_run_now(task, job_thread);
}

MfEstimateReport *
mf_engine_estimate_finish(GAsyncResult *result, GError **error)
{
    Job *job = g_task_get_task_data(G_TASK(result));

    /* Without a job it was refused, and another one may be under way. */
    if (job) {
        mf_survey_end(&job->survey);
    }
    return g_task_propagate_pointer(G_TASK(result), error);
}

gboolean
mf_engine_is_estimating(const MfEngine *engine)
{
    return engine->estimate_turn.cancellable != NULL;
}
