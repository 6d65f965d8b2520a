/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The questions to QEMUs: what the plan and the registry want asked, and what comes of the answers.
 */
#include "mf-engine-private.h"

typedef struct {
    MfEngine *engine;
    guint serial;
} Asked;

static void
log_answer(const MfEngine *engine, const MfAnswer *answer)
{
    const MfDomain *domain = mf_registry_find(engine->registry, answer->question.uuid);
    const char *wanted = mf_mode_to_string(answer->question.set);

    if (!domain || answer->stopped || answer->question.set == MF_MODE_UNKNOWN) {
        return;
    }
    if (answer->set_error) {
        g_warning("domain \"%s\": can't be switched to %s: %s", domain->name, wanted,
                  answer->set_error->message);
    } else if (!answer->error) {
        g_message("domain \"%s\": memory merging is %s now", domain->name,
                  mf_mode_to_string(answer->facts->mode));
    }
}

static void
on_answer(G_GNUC_UNUSED GObject *source, GAsyncResult *result, gpointer data)
{
    g_autofree Asked *asked = data;
    g_autoptr(MfEngine) engine = asked->engine;
    g_autoptr(MfAnswer) answer = mf_monitor_ask_finish(result);
    const char *uuid = answer->question.uuid;
    const MfDomain *domain = NULL;
    g_autofree char *what = NULL;
    g_autofree char *subject = g_strdup_printf("%s/qemu", uuid);

    if (engine->stopped) {
        return;
    }
    log_answer(engine, answer);
    domain = mf_registry_find(engine->registry, uuid);
    what = g_strdup_printf("domain \"%s\": QEMU", domain ? domain->name : uuid);
    mf_problems_note(engine->domain_problems, subject, what, domain ? answer->error : NULL);
    if (mf_registry_take_answer(engine->registry, asked->serial, answer, g_get_monotonic_time())) {
        mf_engine_note_changed(engine);
    }
    if (answer->question.set == MF_MODE_OFF &&
        (answer->error || answer->set_error || answer->stopped)) {
        mf_storm_unmerge_failed(&engine->memory->storm, uuid);
    }
    if (domain && domain->mode == MF_MODE_OFF) {
        mf_engine_end_hold(engine, uuid);
    }
    if (answer->question.set != MF_MODE_UNKNOWN && !answer->stopped) {
        mf_engine_accounts_soon(engine);
    }
    mf_engine_domains_ask(engine);
}

void
mf_engine_domains_ask(MfEngine *engine)
{
    MfQuestion question = {0};
    guint serial = 0;

    while (
        !engine->stopped && mf_virt_is_connected(engine->virt) &&
        mf_registry_next_question(engine->registry, g_get_monotonic_time(), &question, &serial)) {
        Asked *asked = g_new0(Asked, 1);

        if (question.set == MF_MODE_OFF) {
            mf_storm_unmerge_begun(&engine->memory->storm, question.uuid, g_get_monotonic_time());
        }
        asked->engine = mf_engine_ref(engine);
        asked->serial = serial;
        mf_monitor_ask(engine->monitor, &question, on_answer, asked);
    }
}

char *
mf_engine_dup_silence(const MfEngine *engine)
{
    return mf_registry_dup_silence(engine->registry, g_get_monotonic_time());
}

void
mf_engine_domains_apply(MfEngine *engine, const MfPlan *plan)
{
    mf_registry_want_nothing(engine->registry);
    /* Nobody could be asked, and by then another plan may hold. */
    if (!mf_virt_is_connected(engine->virt)) {
        return;
    }
    for (guint i = 0; i < plan->actions->len; i++) {
        const MfAction *action = plan->actions->pdata[i];

        /* One that still waits to be asked for has been told. */
        if (action->kind == MF_ACTION_DOMAIN_MODE &&
            mf_registry_want_mode(engine->registry, action->uuid, action->mode)) {
            g_autofree char *line = mf_action_to_string(action);

            g_message("%s", line);
        }
    }
    mf_engine_domains_ask(engine);
}
