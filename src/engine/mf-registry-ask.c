/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the domains' QEMUs are to be asked, one question at a time, and what comes of the answers.
 */
#include "../core/mf-error.h"
#include "mf-registry-private.h"

#define RETRY_LAST_USEC        (60 * G_USEC_PER_SEC)
#define RETRY_UNSUPPORTED_USEC (600 * G_USEC_PER_SEC)

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
        ((Known *)value)->set_due = MF_MODE_UNKNOWN;
    }
}

void
mf_registry_want_mode(MfRegistry *registry, const char *uuid, MfMode mode)
{
    Known *known = g_hash_table_lookup(registry->known, uuid);

    if (known) {
        known->set_due = mode;
    }
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

gboolean
mf_registry_next_question(MfRegistry *registry, gint64 now_usec, MfQuestion *ret_question,
                          guint *ret_serial)
{
    GHashTableIter iter;
    gpointer value = NULL;

    g_hash_table_iter_init(&iter, registry->known);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Known *known = value;

        if (known->asked || !known->reachable || now_usec < known->not_before_usec ||
            !(known->probe_due || known->query_due || known->set_due != MF_MODE_UNKNOWN)) {
            continue;
        }
        *ret_question = (MfQuestion){
            .uuid = known->domain->uuid,
            .probe = known->probe_due,
            .caps = known->domain->caps,
            .set = known->set_due,
        };
        *ret_serial = known->serial;
        known->asked = TRUE;
        known->asked_usec = now_usec;
        known->query_due = FALSE;
        known->set_due = MF_MODE_UNKNOWN;
        return TRUE;
    }
    return FALSE;
}

/* Says when to ask again, and keeps what to tell. */
static void
note_failure(Known *known, const GError *error, gint64 now_usec)
{
    gint64 wait_usec = MF_RETRY_FIRST_USEC;

    g_clear_pointer(&known->domain->switch_error, g_free);
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
    known->not_before_usec = now_usec + wait_usec;
}

gboolean
mf_registry_take_answer(MfRegistry *registry, guint serial, const MfAnswer *answer, gint64 now_usec)
{
    Known *known = g_hash_table_lookup(registry->known, answer->question.uuid);
    const MfDomain *facts = answer->facts;
    MfDomain *domain = known ? known->domain : NULL;
    gboolean changed = FALSE;

    if (!known || known->serial != serial) {
        return FALSE;
    }
    known->asked = FALSE;
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
        known->failures_count = 0;
        known->not_before_usec = 0;
    }
    return changed;
}
