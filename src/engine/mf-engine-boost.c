/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asking the kernel to scan domains before all others.  A worker does it: the kernel waits for a
 * process that is just starting another program. */
#include "../io/mf-ksm.h"
#include "mf-engine-private.h"

typedef struct {
    MfEngine *engine;
    char *uuid;
    char *name;
    gint64 pid;
} Request;

static void
request_free(gpointer data)
{
    Request *request = data;

    mf_engine_unref(request->engine);
    g_free(request->uuid);
    g_free(request->name);
    g_free(request);
}

static void
boost_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data,
             G_GNUC_UNUSED GCancellable *cancellable)
{
    Request *request = data;
    GError *error = NULL;

    if (mf_ksm_boost(request->engine->host, request->pid, &error)) {
        g_task_return_boolean(task, TRUE);
    } else {
        g_task_return_error(task, error);
    }
}

/* It is asked for again in a while, whatever came of it. */
static void
on_boosted(G_GNUC_UNUSED GObject *source, GAsyncResult *result, G_GNUC_UNUSED gpointer data)
{
    Request *request = g_task_get_task_data(G_TASK(result));
    MfEngine *engine = request->engine;
    g_autofree char *what = g_strdup_printf("domain \"%s\": boost", request->name);
    g_autofree char *subject = g_strdup_printf("%s/boost", request->uuid);
    g_autoptr(GError) error = NULL;

    g_task_propagate_boolean(G_TASK(result), &error);
    if (!engine->stopped) {
        mf_problems_note(engine->domain_problems, subject, what, error);
    }
}

void
mf_engine_boosts_apply(MfEngine *engine, const MfPlan *plan)
{
    for (guint i = 0; i < plan->actions->len; i++) {
        const MfAction *action = plan->actions->pdata[i];

        if (action->kind != MF_ACTION_BOOST) {
            continue;
        }
        g_autofree char *line = mf_action_to_string(action);
        g_autoptr(GTask) task = g_task_new(NULL, NULL, on_boosted, NULL);
        Request *request = g_new0(Request, 1);

        /* Every few seconds, for a minute. */
        g_info("%s", line);
        request->engine = mf_engine_ref(engine);
        request->uuid = g_strdup(action->uuid);
        request->name = g_strdup(action->name);
        request->pid = g_ascii_strtoll(action->to, NULL, 10);
        g_task_set_task_data(task, request, request_free);
        mf_workers_run_now(task, boost_thread);
    }
}
