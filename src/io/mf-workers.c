/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-workers.h"

struct _MfWorkers {
    GThreadPool *pool;
};

typedef struct {
    GTask *task; /* or NULL, and then call and data say what to do */
    GTaskThreadFunc function;
    MfWorkersCall call;
    gpointer data;
} Work;

/* Given to workers and not done: of all pools, for one process ends them all. */
static gint undone_count;

static void
work_run(gpointer data, G_GNUC_UNUSED gpointer pool_data)
{
    g_autofree Work *work = data;

    if (work->task) {
        work->function(work->task, g_task_get_source_object(work->task),
                       g_task_get_task_data(work->task), g_task_get_cancellable(work->task));
        g_object_unref(work->task);
    } else {
        work->call(work->data);
    }
    g_atomic_int_add(&undone_count, -1);
    g_main_context_wakeup(NULL);
}

/* Not exclusive: such a pool starts no thread before it has work, and so can't fail. */
static GThreadPool *
pool_new(gint max_threads_count)
{
    return g_thread_pool_new(work_run, NULL, max_threads_count, FALSE, NULL);
}

static void
pool_push(GThreadPool *pool, const Work *what)
{
    Work *work = g_memdup2(what, sizeof(*what));

    g_atomic_int_inc(&undone_count);
    g_thread_pool_push(pool, work, NULL);
}

static void
pool_run(GThreadPool *pool, GTask *task, GTaskThreadFunc function)
{
    const Work work = {.task = g_object_ref(task), .function = function};

    pool_push(pool, &work);
}

static GThreadPool *
unbounded_pool(void)
{
    static GThreadPool *unbounded;

    if (g_once_init_enter(&unbounded)) {
        g_once_init_leave(&unbounded, pool_new(-1));
    }
    return unbounded;
}

MfWorkers *
mf_workers_new(guint max_threads_count)
{
    MfWorkers *workers = g_new0(MfWorkers, 1);

    workers->pool = pool_new((gint)max_threads_count);
    return workers;
}

void
mf_workers_free(MfWorkers *workers)
{
    if (workers) {
        g_thread_pool_free(workers->pool, FALSE, FALSE);
        g_free(workers);
    }
}

void
mf_workers_run(MfWorkers *workers, GTask *task, GTaskThreadFunc function)
{
    pool_run(workers->pool, task, function);
}

void
mf_workers_run_now(GTask *task, GTaskThreadFunc function)
{
    pool_run(unbounded_pool(), task, function);
}

void
mf_workers_call_now(MfWorkersCall call, gpointer data)
{
    const Work work = {.call = call, .data = data};

    pool_push(unbounded_pool(), &work);
}

static gboolean
on_late(gpointer data)
{
    *(gboolean *)data = TRUE;
    return G_SOURCE_CONTINUE;
}

guint
mf_workers_wait(guint wait_msec)
{
    gboolean late = FALSE;
    guint timeout_id = g_timeout_add(wait_msec, on_late, &late);

    /* A thread that ends calls into the libraries, too, for what they keep for each thread. */
    g_thread_pool_set_max_unused_threads(-1);
    /* A task's return is pending before its function counts as done, and may give more work. */
    while ((g_atomic_int_get(&undone_count) > 0 || g_main_context_pending(NULL)) && !late) {
        g_main_context_iteration(NULL, TRUE);
    }
    g_source_remove(timeout_id);
    return (guint)g_atomic_int_get(&undone_count);
}
