/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-registry.h"

#include <string.h>

#include "../core/mf-error.h"

#define RETRY_FIRST_USEC       (5 * G_USEC_PER_SEC)
#define RETRY_LAST_USEC        (60 * G_USEC_PER_SEC)
#define RETRY_BUSY_USEC        (1 * G_USEC_PER_SEC)
#define RETRY_UNSUPPORTED_USEC (600 * G_USEC_PER_SEC)

typedef struct {
    MfDomain *domain;
    guint serial; /* of this incarnation */
    gint64 added_usec;
    gint64 accounts_usec; /* when smaps told; 0: not yet */
    gboolean reachable;   /* libvirt has told of it, so that its monitor may be used */
    gint64 doubt_usec;    /* since when, while it has not */

    gboolean asked;
    gint64 asked_usec;
    gboolean probe_due;
    gboolean query_due;
    MfMode set_due; /* UNKNOWN: none */
    gint64 not_before_usec;
    guint failures_count;

    gboolean moving; /* to another group of the kernel's */
    gint64 move_not_before_usec;
    gint64 moved_usec; /* the last move's end: an older look at its group is void */
} Known;

struct _MfRegistry {
    GHashTable *known; /* uuid -> Known */
    guint last_serial;
};

static void
known_free(gpointer data)
{
    Known *known = data;

    mf_domain_free(known->domain);
    g_free(known);
}

MfRegistry *
mf_registry_new(void)
{
    MfRegistry *registry = g_new0(MfRegistry, 1);

    registry->known = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, known_free);
    return registry;
}

void
mf_registry_free(MfRegistry *registry)
{
    if (registry) {
        g_hash_table_unref(registry->known);
        g_free(registry);
    }
}

static gboolean
same_facts(const MfDomain *a, const MfDomain *b)
{
    return g_str_equal(a->name, b->name) && a->nosharepages == b->nosharepages &&
           a->memory_kind == b->memory_kind && mf_policy_equal(a->policy, b->policy) &&
           g_strcmp0(a->policy_error, b->policy_error) == 0;
}

static void
copy_facts(MfDomain *to, const MfDomain *from)
{
    g_free(to->name);
    to->name = g_strdup(from->name);
    to->nosharepages = from->nosharepages;
    to->memory_kind = from->memory_kind;
    mf_policy_free(to->policy);
    to->policy = mf_policy_copy(from->policy);
    g_free(to->policy_error);
    to->policy_error = g_strdup(from->policy_error);
}

/* What only libvirt tells, and the hook leaves as it was.  TRUE when anything changed. */
static gboolean
take_hardware(MfDomain *to, const MfDomain *from)
{
    if (g_strcmp0(to->launch_security, from->launch_security) == 0 &&
        to->passthrough_count == from->passthrough_count) {
        return FALSE;
    }
    g_free(to->launch_security);
    to->launch_security = g_strdup(from->launch_security);
    to->passthrough_count = from->passthrough_count;
    return TRUE;
}

/* Everything that QEMU said is void; the new one is asked. */
static void
begin_incarnation(MfRegistry *registry, Known *known)
{
    known->serial = ++registry->last_serial;
    known->asked = FALSE;
    known->probe_due = known->reachable;
    known->query_due = FALSE;
    known->set_due = MF_MODE_UNKNOWN;
    known->not_before_usec = 0;
    known->failures_count = 0;
    known->accounts_usec = 0;
    known->domain->caps = 0;
    known->domain->mode = MF_MODE_UNKNOWN;
    g_clear_pointer(&known->domain->blocks, g_ptr_array_unref);
    g_clear_pointer(&known->domain->switch_error, g_free);
    known->moving = FALSE;
    known->move_not_before_usec = 0;
    known->domain->ksm_group_number = MF_U64_ABSENT;
    g_clear_pointer(&known->domain->group_error, g_free);
}

gboolean
mf_registry_update(MfRegistry *registry, const MfDomain *facts, MfSource source, gint64 now_usec)
{
    Known *known = g_hash_table_lookup(registry->known, facts->uuid);
    gboolean changed = FALSE;

    if (!known) {
        known = g_new0(Known, 1);
        known->domain = mf_domain_new(facts->uuid, facts->name);
        known->added_usec = now_usec;
        known->doubt_usec = now_usec;
        begin_incarnation(registry, known);
        g_hash_table_insert(registry->known, known->domain->uuid, known);
        changed = TRUE;
    }
    if (source == MF_SOURCE_LIBVIRT && !known->reachable) {
        known->reachable = TRUE;
        known->probe_due = TRUE;
    }
    if (!same_facts(known->domain, facts)) {
        copy_facts(known->domain, facts);
        /* Whoever changed the policy wants to see it tried now. */
        known->not_before_usec = 0;
        known->move_not_before_usec = 0;
        changed = TRUE;
    }
    if (source == MF_SOURCE_LIBVIRT) {
        changed |= take_hardware(known->domain, facts);
    }
    return changed;
}

gboolean
mf_registry_remove(MfRegistry *registry, const char *uuid)
{
    return g_hash_table_remove(registry->known, uuid);
}

const MfDomain *
mf_registry_find(const MfRegistry *registry, const char *uuid)
{
    const Known *known = g_hash_table_lookup(registry->known, uuid);

    return known ? known->domain : NULL;
}

const MfDomain *
mf_registry_find_any(const MfRegistry *registry, const char *name_or_uuid)
{
    g_autofree char *uuid = g_ascii_strdown(name_or_uuid, -1);
    GHashTableIter iter;
    gpointer value = NULL;

    g_hash_table_iter_init(&iter, registry->known);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Known *known = value;

        if (g_str_equal(known->domain->name, name_or_uuid)) {
            return known->domain;
        }
    }
    return mf_registry_find(registry, uuid);
}

static int
compare_names(gconstpointer a, gconstpointer b)
{
    const MfDomain *first = *(const MfDomain *const *)a;
    const MfDomain *second = *(const MfDomain *const *)b;

    return strcmp(first->name, second->name);
}

GPtrArray *
mf_registry_copy_domains(const MfRegistry *registry, gint64 now_usec)
{
    GPtrArray *domains = g_ptr_array_new_with_free_func((GDestroyNotify)mf_domain_free);
    GHashTableIter iter;
    gpointer value = NULL;

    g_hash_table_iter_init(&iter, registry->known);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Known *known = value;
        MfDomain *copy = mf_domain_copy(known->domain);
        gint64 silent_usec = now_usec - known->asked_usec;

        copy->switching = known->asked || now_usec < known->not_before_usec;
        copy->regrouping = known->moving || now_usec < known->move_not_before_usec;
        if (known->asked && silent_usec > MF_ANSWER_OVERDUE_USEC) {
            g_free(copy->switch_error);
            copy->switch_error =
                g_strdup_printf("no answer for %" G_GINT64_FORMAT " s (is QEMU stopped?)",
                                silent_usec / G_USEC_PER_SEC);
        }
        g_ptr_array_add(domains, copy);
    }
    g_ptr_array_sort(domains, compare_names);
    return domains;
}

GPtrArray *
mf_registry_list_domains(const MfRegistry *registry)
{
    GPtrArray *domains = g_ptr_array_sized_new(g_hash_table_size(registry->known));
    GHashTableIter iter;
    gpointer value = NULL;

    g_hash_table_iter_init(&iter, registry->known);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        g_ptr_array_add(domains, ((Known *)value)->domain);
    }
    return domains;
}

guint
mf_registry_get_n_domains(const MfRegistry *registry)
{
    return g_hash_table_size(registry->known);
}

gboolean
mf_registry_is_asked(const MfRegistry *registry, const char *uuid)
{
    const Known *known = g_hash_table_lookup(registry->known, uuid);

    return known && known->asked;
}

MfU64
mf_registry_get_accounts_age_msec(const MfRegistry *registry, const char *uuid, gint64 now_usec)
{
    const Known *known = g_hash_table_lookup(registry->known, uuid);

    if (!known || known->accounts_usec == 0) {
        return MF_U64_ABSENT;
    }
    return MF_U64((guint64)MAX(now_usec - known->accounts_usec, 0) / 1000);
}

static void
copy_accounts(MfDomain *to, const MfDomain *from)
{
    to->mergeable_bytes = from->mergeable_bytes;
    to->resident_bytes = from->resident_bytes;
    to->merged_bytes = from->merged_bytes;
    to->saved_bytes = from->saved_bytes;
    to->huge_bytes = from->huge_bytes;
    to->swapped_bytes = from->swapped_bytes;
    to->main_node = from->main_node;
    to->other_node_bytes = from->other_node_bytes;
}

void
mf_registry_take_figures(MfRegistry *registry, const MfSnapshot *snapshot, gboolean with_accounts,
                         gint64 begun_usec)
{
    for (guint i = 0; i < snapshot->domains->len; i++) {
        const MfDomain *figures = snapshot->domains->pdata[i];
        Known *known = g_hash_table_lookup(registry->known, figures->uuid);
        MfDomain *domain = known ? known->domain : NULL;

        if (!known || known->added_usec > begun_usec) {
            continue;
        }
        if (domain->pid != 0 && figures->pid != 0 && domain->pid != figures->pid) {
            begin_incarnation(registry, known);
        }
        if (figures->pid == 0) {
            known->accounts_usec = 0;
        }
        domain->pid = figures->pid;
        domain->zero_bytes = figures->zero_bytes;
        domain->rmap_items_pages = figures->rmap_items_pages;
        domain->profit_bytes = figures->profit_bytes;
        domain->cow_breaks_count = figures->cow_breaks_count;
        domain->swap_in_copies_count = figures->swap_in_copies_count;
        domain->scanned_pages = figures->scanned_pages;
        if (!with_accounts && known->moved_usec <= begun_usec) {
            domain->ksm_group_number = figures->ksm_group_number;
            domain->zero_only = figures->zero_only;
        }
        /* A tick that began before a round of accounts ended has older ones. */
        if (with_accounts || known->accounts_usec == 0) {
            copy_accounts(domain, figures);
            known->accounts_usec = domain->saved_bytes.known ? snapshot->taken_usec : 0;
        }
    }
}

const char *
mf_registry_next_doubtful(MfRegistry *registry, gint64 now_usec)
{
    GHashTableIter iter;
    gpointer value = NULL;

    g_hash_table_iter_init(&iter, registry->known);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Known *known = value;

        if (!known->reachable && now_usec - known->doubt_usec >= MF_DOUBTFUL_USEC) {
            known->doubt_usec = now_usec;
            return known->domain->uuid;
        }
    }
    return NULL;
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
    }
}

gboolean
mf_registry_begin_move(MfRegistry *registry, const char *uuid, guint *ret_serial)
{
    Known *known = g_hash_table_lookup(registry->known, uuid);

    if (!known || known->moving) {
        return FALSE;
    }
    known->moving = TRUE;
    *ret_serial = known->serial;
    return TRUE;
}

void
mf_registry_end_move(MfRegistry *registry, const char *uuid, guint serial, const GError *error,
                     gint64 now_usec)
{
    Known *known = g_hash_table_lookup(registry->known, uuid);

    if (!known || known->serial != serial) {
        return;
    }
    known->moving = FALSE;
    known->moved_usec = now_usec;
    known->domain->ksm_group_number = MF_U64_ABSENT;
    known->domain->zero_only = MF_U64_ABSENT;
    g_clear_pointer(&known->domain->group_error, g_free);
    if (!error) {
        return;
    }
    /* The group that it was to join has gone, most likely: there is another place then. */
    known->move_not_before_usec = now_usec + RETRY_BUSY_USEC;
    if (!mf_error_is_gone(error)) {
        known->domain->group_error = g_strdup(error->message);
        known->move_not_before_usec = now_usec + RETRY_FIRST_USEC;
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
    gint64 wait_usec = RETRY_FIRST_USEC;

    g_clear_pointer(&known->domain->switch_error, g_free);
    if (mf_error_is_gone(error) || mf_error_is_busy(error)) {
        wait_usec = RETRY_BUSY_USEC;
    } else {
        known->domain->switch_error = g_strdup(error->message);
        known->failures_count++;
        wait_usec = MIN(RETRY_FIRST_USEC << MIN(known->failures_count - 1, 8), RETRY_LAST_USEC);
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
