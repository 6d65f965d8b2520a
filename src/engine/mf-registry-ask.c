/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the domains' QEMUs are to be asked, one question at a time, and what comes of the answers.
 */
#include "../core/mf-error.h"
#include "mf-registry-private.h"

#define RETRY_LAST_USEC        (60 * G_USEC_PER_SEC)
#define RETRY_UNSUPPORTED_USEC (600 * G_USEC_PER_SEC)
/* For each tick, and not for each answer of others in between. */
#define STOPPED_LOOK_USEC (G_USEC_PER_SEC / 5)

/* How many calls may be under way, and how many of these may be expected to end soon: a QEMU that
 * does not answer gives its place to the next one, while there are any. */
#define FRESH_MAX 4

void
mf_call_free(gpointer call)
{
    g_free(((MfCall *)call)->name);
    g_free(call);
}

static gboolean
is_overdue(const MfCall *call, gint64 now_usec)
{
    return now_usec - call->asked_usec > MF_ANSWER_OVERDUE_USEC;
}

static guint
count_overdue(const MfRegistry *registry, gint64 now_usec)
{
    guint count = 0;

    for (guint i = 0; i < registry->calls->len; i++) {
        count += is_overdue(registry->calls->pdata[i], now_usec) ? 1 : 0;
    }
    return count;
}

static void
begin_call(MfRegistry *registry, Known *known, gint64 now_usec)
{
    MfCall *call = g_new0(MfCall, 1);

    call->serial = known->serial;
    call->name = g_strdup(known->domain->name);
    call->asked_usec = now_usec;
    g_ptr_array_add(registry->calls, call);
    known->asked = TRUE;
    known->asked_usec = now_usec;
    known->asked_set = known->set_due;
    known->query_due = FALSE;
    known->set_due = MF_MODE_UNKNOWN;
}

/* TRUE when its answer was overdue. */
static gboolean
end_call(MfRegistry *registry, guint serial, gint64 now_usec)
{
    for (guint i = 0; i < registry->calls->len; i++) {
        const MfCall *call = registry->calls->pdata[i];

        if (call->serial == serial) {
            gboolean overdue = is_overdue(call, now_usec);

            g_ptr_array_remove_index_fast(registry->calls, i);
            return overdue;
        }
    }
    return FALSE;
}

gboolean
mf_registry_is_silent(const MfRegistry *registry, const char *uuid, gint64 now_usec)
{
    const Known *known = g_hash_table_lookup(registry->known, uuid);

    return known && known->asked && now_usec - known->asked_usec > MF_ANSWER_OVERDUE_USEC;
}

gboolean
mf_registry_is_refused(const MfRegistry *registry, const char *uuid)
{
    const Known *known = g_hash_table_lookup(registry->known, uuid);

    return known && known->is_refused;
}

gboolean
mf_registry_is_asked(const MfRegistry *registry, const char *uuid)
{
    const Known *known = g_hash_table_lookup(registry->known, uuid);

    return known && known->asked;
}

void
mf_registry_want_nothing(MfRegistry *registry)
{
    GHashTableIter iter;
    gpointer value = NULL;

    g_hash_table_iter_init(&iter, registry->known);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Known *known = value;

        known->wished = known->set_due;
        known->set_due = MF_MODE_UNKNOWN;
    }
}

gboolean
mf_registry_want_mode(MfRegistry *registry, const char *uuid, MfMode mode)
{
    Known *known = g_hash_table_lookup(registry->known, uuid);
    gboolean is_new = known && known->wished != mode;

    if (known) {
        known->set_due = mode;
    }
    return is_new;
}

void
mf_registry_want_query(MfRegistry *registry, const char *uuid)
{
    Known *known = g_hash_table_lookup(registry->known, uuid);

    if (known) {
        known->query_due = TRUE;
    }
}

void
mf_registry_forgive(MfRegistry *registry)
{
    GHashTableIter iter;
    gpointer value = NULL;

    g_hash_table_iter_init(&iter, registry->known);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Known *known = value;

        known->not_before_usec = 0;
        known->query_due = known->reachable;
    }
}

void
mf_registry_ask_anew(MfRegistry *registry, const char *uuid)
{
    Known *known = g_hash_table_lookup(registry->known, uuid);

    if (known) {
        known->not_before_usec = 0;
        known->failures_count = 0;
        known->query_due = known->reachable;
        known->is_anew = known->asked;
    }
}

static gboolean
is_due(const Known *known, gint64 now_usec)
{
    return !known->asked && known->reachable && now_usec >= known->not_before_usec &&
           !(known->stopped && now_usec < known->stopped_look_usec) &&
           (known->probe_due || known->query_due || known->set_due != MF_MODE_UNKNOWN);
}

/* Those that answer come first, and among them who was not asked for longest; who was never asked
 * has just started. */
static gboolean
comes_before(const Known *known, const Known *other)
{
    if (known->was_silent != other->was_silent) {
        return !known->was_silent;
    }
    return known->asked_usec < other->asked_usec;
}

static gboolean
has_place(const MfRegistry *registry, gint64 now_usec)
{
    guint calls_count = registry->calls->len;

    return calls_count < MF_MONITOR_CALLS_MAX &&
           calls_count - count_overdue(registry, now_usec) < FRESH_MAX;
}

gboolean
mf_registry_next_question(MfRegistry *registry, gint64 now_usec, MfQuestion *ret_question,
                          guint *ret_serial)
{
    Known *next = NULL;
    GHashTableIter iter;
    gpointer value = NULL;

    if (!has_place(registry, now_usec)) {
        return FALSE;
    }
    g_hash_table_iter_init(&iter, registry->known);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Known *known = value;

        if (is_due(known, now_usec) && (!next || comes_before(known, next))) {
            next = known;
        }
    }
    if (!next) {
        return FALSE;
    }
    *ret_question = (MfQuestion){
        .uuid = next->domain->uuid,
        .pid = next->domain->pid,
        .probe = next->probe_due,
        .caps = next->domain->caps,
        .set = next->set_due,
    };
    *ret_serial = next->serial;
    begin_call(registry, next, now_usec);
    return TRUE;
}

char *
mf_registry_dup_silence(const MfRegistry *registry, gint64 now_usec)
{
    g_autoptr(GString) text = g_string_new(NULL);
    GHashTableIter iter;
    gpointer value = NULL;
    guint waiting_count = 0;

    if (count_overdue(registry, now_usec) < MF_MONITOR_CALLS_MAX) {
        return NULL;
    }
    g_hash_table_iter_init(&iter, registry->known);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        waiting_count += is_due(value, now_usec) ? 1 : 0;
    }
    g_string_append_printf(text,
                           "%u QEMUs do not answer, and no other is asked before one does (%u "
                           "%s): ",
                           registry->calls->len, waiting_count,
                           waiting_count == 1 ? "waits" : "wait");
    for (guint i = 0; i < registry->calls->len; i++) {
        const MfCall *call = registry->calls->pdata[i];

        g_string_append_printf(text, "%s%s", i > 0 ? ", " : "", call->name);
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* Says when to ask again, and keeps what to tell. */
static void
note_failure(Known *known, const GError *error, gint64 now_usec)
{
    gint64 wait_usec = MF_RETRY_FIRST_USEC;

    g_clear_pointer(&known->domain->switch_error, g_free);
    known->is_refused =
        !mf_error_is_gone(error) && !mf_error_is_busy(error) && !mf_error_is_timeout(error);
    if (mf_error_is_gone(error) || mf_error_is_busy(error)) {
        wait_usec = MF_RETRY_BUSY_USEC;
    } else {
        known->domain->switch_error = g_strdup(error->message);
        known->failures_count++;
        wait_usec = MIN(MF_RETRY_FIRST_USEC << MIN(known->failures_count - 1, 8), RETRY_LAST_USEC);
    }
    if (mf_error_is_unsupported(error)) {
        wait_usec = RETRY_UNSUPPORTED_USEC;
    }
    if (known->is_anew) {
        known->failures_count = 0;
        wait_usec = MF_RETRY_BUSY_USEC;
    }
    known->not_before_usec = now_usec + wait_usec;
}

gboolean
mf_registry_take_answer(MfRegistry *registry, guint serial, const MfAnswer *answer, gint64 now_usec)
{
    Known *known = g_hash_table_lookup(registry->known, answer->question.uuid);
    const MfDomain *facts = answer->facts;
    MfDomain *domain = known ? known->domain : NULL;
    gboolean changed = FALSE;

    gboolean overdue = end_call(registry, serial, now_usec);

    if (!known || known->serial != serial) {
        return FALSE;
    }
    known->asked = FALSE;
    known->was_silent = overdue;
    known->stopped = answer->stopped;
    if (answer->stopped) {
        /* It was not asked.  What was to be set is for the next plan to say. */
        known->query_due = TRUE;
        known->stopped_look_usec = now_usec + STOPPED_LOOK_USEC;
        return FALSE;
    }
    known->probe_due = (facts->caps & MF_CAP_PROBED) == 0;
    changed = domain->caps != facts->caps || answer->question.set != MF_MODE_UNKNOWN;
    domain->caps = facts->caps;
    if (!answer->error) {
        changed |= domain->mode != facts->mode;
        domain->mode = facts->mode;
        g_clear_pointer(&domain->blocks, g_ptr_array_unref);
        domain->blocks = facts->blocks ? g_ptr_array_ref(facts->blocks) : NULL;
    }
    /* A QEMU without anything to ask is told by its capabilities, and is not a failure. */
    if (answer->error &&
        !(mf_error_is_unsupported(answer->error) && (facts->caps & MF_CAP_PROBED))) {
        known->query_due = TRUE;
        note_failure(known, answer->error, now_usec);
    } else if (answer->set_error) {
        note_failure(known, answer->set_error, now_usec);
    } else {
        g_clear_pointer(&domain->switch_error, g_free);
        known->is_refused = FALSE;
        known->failures_count = 0;
        known->not_before_usec = 0;
    }
    known->is_anew = FALSE;
    return changed;
}
