/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Audits: who has pages in common with the named domains, among all that the engine knows. */
#include "mf-engine-private.h"

/* A host that an audit of takes longer is one where ksmd has much to do. */
#define HOLD_USEC (60 * G_USEC_PER_SEC)

/* Without a step and without work. */
#define PATIENCE_MSEC 10000

typedef struct {
    MfSurvey survey;
    GPtrArray *domains; /* all of them */
    GHashTable *judged; /* set of UUIDs; NULL: all of them */
    gboolean knows_all;
} Job;

static void
job_free(gpointer data)
{
    Job *job = data;

    g_clear_pointer(&job->judged, g_hash_table_unref);
    g_ptr_array_unref(job->domains);
    mf_survey_clear(&job->survey);
    g_free(job);
}

static void
job_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data, GCancellable *cancellable)
{
    Job *job = data;
    MfSurvey *survey = &job->survey;
    g_autoptr(GError) error = NULL;
    MfAuditReport *report =
        mf_audit_run(survey->host, survey->config, job->domains, job->judged, job->knows_all,
                     PATIENCE_MSEC, mf_survey_note_progress, survey, cancellable, &error);

    if (report) {
        g_task_return_pointer(task, report, (GDestroyNotify)mf_audit_report_free);
    } else {
        g_task_return_error(task, g_steal_pointer(&error));
    }
}

/* The UUIDs of the named domains. */
static GHashTable *
set_of(const GPtrArray *domains)
{
    GHashTable *set = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (guint i = 0; i < domains->len; i++) {
        g_hash_table_add(set, g_strdup(((const MfDomain *)domains->pdata[i])->uuid));
    }
    return set;
}

void
mf_engine_audit(MfEngine *engine, const char *const *names, gint *done_permyriad,
                GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
    g_autoptr(GTask) task = g_task_new(NULL, cancellable, callback, user_data);
    g_autoptr(GError) error = NULL;
    MfSurvey survey;
    Job *job = NULL;

    if (!mf_survey_begin(&survey, engine, &engine->audit_turn, "audit", names, done_permyriad,
                         cancellable, &error)) {
        g_task_return_error(task, g_steal_pointer(&error));
        return;
    }
    engine->memory->audit_end_usec = g_get_monotonic_time() + HOLD_USEC;
    mf_engine_kick(engine);
    g_message("audit: looks at the page tables for %u domains", survey.named->len);
    job = g_new(Job, 1);
    *job = (Job){.survey = survey,
                 .domains = mf_engine_dup_domains(engine),
                 .judged = names[0] ? set_of(survey.named) : NULL,
                 .knows_all = mf_engine_domains_are_known(engine)};
    g_task_set_task_data(task, job, job_free);
    mf_workers_run_now(task, job_thread);
}

MfAuditReport *
mf_engine_audit_finish(GAsyncResult *result, GError **error)
{
    Job *job = g_task_get_task_data(G_TASK(result));

    /* Without a job it was refused, and another one may be under way. */
    if (job) {
        job->survey.engine->memory->audit_end_usec = 0;
        mf_engine_kick(job->survey.engine);
        mf_survey_end(&job->survey);
    }
    return g_task_propagate_pointer(G_TASK(result), error);
}

gboolean
mf_engine_is_auditing(const MfEngine *engine)
{
    return engine->audit_turn.cancellable != NULL;
}
