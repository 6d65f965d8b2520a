/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-workers.h"

struct _MfWorkers {
    GThreadPool *pool;
};

typedef struct {
    GTask *task;
    GTaskThreadFunc function;
} Work;

static void
work_free(gpointer data)
{
    Work *work = data;

    g_object_unref(work->task);
    g_free(work);
}

static void
work_run(gpointer data, G_GNUC_UNUSED gpointer pool_data)
{
    Work *work = data;

    work->function(work->task, g_task_get_source_object(work->task),
                   g_task_get_task_data(work->task), g_task_get_cancellable(work->task));
    work_free(work);
}

MfWorkers *
mf_workers_new(guint max_threads_count)
{
    MfWorkers *workers = g_new0(MfWorkers, 1);

    /* Not exclusive: such a pool starts no thread before it has work, and so can't fail. */
    workers->pool =
        g_thread_pool_new_full(work_run, NULL, work_free, (gint)max_threads_count, FALSE, NULL);
    return workers;
}

void
mf_workers_free(MfWorkers *workers)
{
    if (workers) {
        g_thread_pool_free(workers->pool, TRUE, FALSE);
        g_free(workers);
    }
}

void
mf_workers_run(MfWorkers *workers, GTask *task, GTaskThreadFunc function)
{
    Work *work = g_new0(Work, 1);

    work->task = g_object_ref(task);
    work->function = function;
    g_thread_pool_push(workers->pool, work, NULL);
}
