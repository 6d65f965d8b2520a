/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-monitor.h"

#include "../core/mf-error.h"
#include "../io/mf-proc.h"
#include "../io/mf-qmp.h"
#include "../io/mf-workers.h"

struct _MfMonitor {
    MfVirt *virt;
    MfRoot *host;
    MfWorkers *workers;
};

typedef struct {
    MfVirt *virt;
    MfRoot *host;
    MfAnswer *answer;
} Call;

MfMonitor *
mf_monitor_new(MfVirt *virt, MfRoot *host)
{
    MfMonitor *monitor = g_new0(MfMonitor, 1);

    monitor->virt = mf_virt_ref(virt);
    monitor->host = mf_root_ref(host);
    monitor->workers = mf_workers_new(MF_MONITOR_CALLS_MAX);
    return monitor;
}

void
mf_monitor_free(MfMonitor *monitor)
{
    if (monitor) {
        mf_workers_free(monitor->workers);
        mf_virt_unref(monitor->virt);
        mf_root_unref(monitor->host);
        g_free(monitor);
    }
}

void
mf_answer_free(MfAnswer *answer)
{
    if (answer) {
        g_free(answer->question.uuid);
        mf_domain_free(answer->facts);
        g_clear_error(&answer->set_error);
        g_clear_error(&answer->error);
        g_free(answer);
    }
}

static void
call_free(gpointer data)
{
    Call *call = data;

    mf_virt_unref(call->virt);
    mf_root_unref(call->host);
    mf_answer_free(call->answer);
    g_free(call);
}

static char *
say(gpointer data, const char *command, GError **error)
{
    Call *call = data;

    return mf_virt_monitor(call->virt, call->answer->question.uuid, command, error);
}

static void
ask_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data,
           G_GNUC_UNUSED GCancellable *cancellable)
{
    Call *call = data;
    MfAnswer *answer = call->answer;
    MfDomain *facts = answer->facts;
    MfQmp qmp = {say, call};

    facts->caps = answer->question.caps;
    answer->stopped =
        answer->question.pid > 0 && mf_proc_is_stopped(call->host, answer->question.pid);
    if (answer->stopped) {
        g_task_return_pointer(task, g_steal_pointer(&call->answer), (GDestroyNotify)mf_answer_free);
        return;
    }
    if (answer->question.probe) {
        facts->caps = 0;
        if (!mf_qmp_probe(&qmp, &facts->caps, &answer->error)) {
            /* No monitor to talk to is an answer, too: nothing can be switched. */
            facts->caps = mf_error_is_unsupported(answer->error) ? MF_CAP_PROBED : 0;
        }
    }
    if (!answer->error && answer->question.set != MF_MODE_UNKNOWN) {
        mf_qmp_set_mode(&qmp, facts->caps, answer->question.set, &answer->set_error);
    }
    if (!answer->error) {
        mf_qmp_query(&qmp, facts->caps, facts, &answer->error);
    }
    g_task_return_pointer(task, g_steal_pointer(&call->answer), (GDestroyNotify)mf_answer_free);
}

void
mf_monitor_ask(MfMonitor *monitor, const MfQuestion *question, GAsyncReadyCallback callback,
               gpointer user_data)
{
    g_autoptr(GTask) task = g_task_new(NULL, NULL, callback, user_data);
    Call *call = g_new0(Call, 1);

    call->virt = mf_virt_ref(monitor->virt);
    call->host = mf_root_ref(monitor->host);
    call->answer = g_new0(MfAnswer, 1);
    call->answer->question = *question;
    call->answer->question.uuid = g_strdup(question->uuid);
    call->answer->facts = mf_domain_new(question->uuid, "");
    g_task_set_task_data(task, call, call_free);
    mf_workers_run(monitor->workers, task, ask_thread);
}

MfAnswer *
mf_monitor_ask_finish(GAsyncResult *result)
{
    return g_task_propagate_pointer(G_TASK(result), NULL);
}
