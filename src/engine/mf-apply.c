/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-apply.h"

#include <string.h>

#include "../core/mf-error.h"
#include "../io/mf-ksm.h"

struct _MfApply {
    MfRoot *host;
    MfJournal *journal;
    GMutex lock; /* one writer at a time; guards what follows, but held */
    gboolean closed;
    gint held;        /* atomic: a hold asks ksmd to stand still */
    GMutex told_lock; /* guards the next one, and is never held for long */
    char *last_error[MF_KNOB_N];
};

MfApply *
mf_apply_new(MfRoot *host, MfJournal *journal)
{
    MfApply *apply = g_new0(MfApply, 1);

    apply->host = mf_root_ref(host);
    apply->journal = journal;
    g_mutex_init(&apply->lock);
    g_mutex_init(&apply->told_lock);
    return apply;
}

void
mf_apply_free(MfApply *apply)
{
    if (!apply) {
        return;
    }
    for (guint i = 0; i < MF_KNOB_N; i++) {
        g_free(apply->last_error[i]);
    }
    g_mutex_clear(&apply->told_lock);
    g_mutex_clear(&apply->lock);
    mf_root_unref(apply->host);
    g_free(apply);
}

/* Lock held.  The value found, not the one that the plan assumes, is what the journal keeps. */
static gboolean
write_knob(MfApply *apply, MfKnob knob, const char *to, gboolean *ret_written, GError **error)
{
    g_autofree char *now = NULL;

    *ret_written = FALSE;
    if (apply->closed) {
        g_set_error(error, MF_ERROR, MF_ERROR_BUSY, "memfoldd is stopping");
        return FALSE;
    }
    now = mf_ksm_read_knob(apply->host, knob, error);
    if (!now) {
        return FALSE;
    }
    if (strcmp(now, to) == 0) {
        return TRUE;
    }
    if (!mf_journal_record(apply->journal, knob, now, to, error)) {
        return FALSE;
    }
    *ret_written = mf_ksm_write_knob(apply->host, knob, to, error);
    return *ret_written;
}

/* The same failure at every tick is one line in the log. */
static void
note_error(MfApply *apply, MfKnob knob, const GError *error)
{
    const char *text = error && !mf_error_is_busy(error) ? error->message : NULL;
    gboolean is_new = FALSE;

    g_mutex_lock(&apply->told_lock);
    is_new = g_strcmp0(text, apply->last_error[knob]) != 0;
    if (is_new) {
        g_free(apply->last_error[knob]);
        apply->last_error[knob] = g_strdup(text);
    }
    g_mutex_unlock(&apply->told_lock);
    if (is_new && text) {
        g_warning("ksm %s: %s", mf_knob_to_string(knob), text);
    }
}

GPtrArray *
mf_apply_dup_failures(MfApply *apply)
{
    GPtrArray *failures = g_ptr_array_new_with_free_func((GDestroyNotify)mf_reason_free);

    g_mutex_lock(&apply->told_lock);
    for (guint i = 0; i < MF_KNOB_N; i++) {
        if (apply->last_error[i]) {
            g_ptr_array_add(failures,
                            mf_reason_new(MF_REASON_KNOB_FAILED,
                                          "do what the text says; memfoldd tries again by itself",
                                          "ksm %s can't be set: %s", mf_knob_to_string(i),
                                          apply->last_error[i]));
        }
    }
    g_mutex_unlock(&apply->told_lock);
    return failures;
}

void
mf_apply_clear_failures(MfApply *apply)
{
    for (guint i = 0; i < MF_KNOB_N; i++) {
        note_error(apply, i, NULL);
    }
}

guint
mf_apply_knobs(MfApply *apply, const MfPlan *plan)
{
    guint n_written = 0;
    gboolean is_tried[MF_KNOB_N] = {FALSE};

    for (guint i = 0; i < plan->actions->len; i++) {
        const MfAction *action = plan->actions->pdata[i];
        g_autofree char *line = NULL;
        g_autoptr(GError) error = NULL;
        gboolean written = FALSE;

        if (action->kind != MF_ACTION_KNOB) {
            continue;
        }
        is_tried[action->knob] = TRUE;
        g_mutex_lock(&apply->lock);
        if (!(action->knob == MF_KNOB_RUN && strcmp(action->to, "1") == 0 &&
              g_atomic_int_get(&apply->held))) {
            write_knob(apply, action->knob, action->to, &written, &error);
            note_error(apply, action->knob, error);
        }
        g_mutex_unlock(&apply->lock);
        if (!written) {
            continue;
        }
        n_written++;
        line = mf_action_to_string(action);
        /* The governor moves pages_to_scan all the time. */
        if (action->knob == MF_KNOB_PAGES_TO_SCAN) {
            g_info("%s", line);
        } else {
            g_message("%s", line);
        }
    }
    for (guint i = 0; i < MF_KNOB_N; i++) {
        if (!is_tried[i]) {
            note_error(apply, i, NULL);
        }
    }
    return n_written;
}

void
mf_apply_hold(MfApply *apply)
{
    g_atomic_int_set(&apply->held, TRUE);
}

void
mf_apply_release(MfApply *apply)
{
    g_atomic_int_set(&apply->held, FALSE);
}

gboolean
mf_apply_stop_ksmd(MfApply *apply, GError **error)
{
    g_autofree char *now = NULL;
    gboolean stopped = FALSE;
    gboolean written = FALSE;

    g_mutex_lock(&apply->lock);
    now = mf_ksm_read_knob(apply->host, MF_KNOB_RUN, error);
    stopped = now && (strcmp(now, "1") != 0 || !g_atomic_int_get(&apply->held) ||
                      write_knob(apply, MF_KNOB_RUN, "0", &written, error));
    g_mutex_unlock(&apply->lock);
    if (written) {
        g_message("ksm run: 1 -> 0 (a domain that must not be merged is starting)");
    }
    return stopped;
}

void
mf_apply_close(MfApply *apply)
{
    g_mutex_lock(&apply->lock);
    apply->closed = TRUE;
    g_mutex_unlock(&apply->lock);
}

gboolean
mf_apply_restore(MfApply *apply, const char *other_manager)
{
    gboolean restored = FALSE;

    g_mutex_lock(&apply->lock);
    restored = mf_journal_restore(apply->journal, other_manager);
    g_mutex_unlock(&apply->lock);
    return restored;
}
