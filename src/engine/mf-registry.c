/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "../core/mf-error.h"
#include "mf-registry-private.h"

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
    registry->calls = g_ptr_array_new_with_free_func(mf_call_free);
    return registry;
}

void
mf_registry_free(MfRegistry *registry)
{
    if (registry) {
        g_hash_table_unref(registry->known);
        g_ptr_array_unref(registry->calls);
        g_free(registry);
    }
}

static gboolean
same_facts(const MfDomain *a, const MfDomain *b)
{
    return g_str_equal(a->name, b->name) && a->nosharepages == b->nosharepages &&
           a->memory_kind == b->memory_kind && a->is_unread == b->is_unread &&
           mf_policy_equal(a->policy, b->policy) &&
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
    to->is_unread = from->is_unread;
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
    known->asked_usec = 0;
    known->was_silent = FALSE;
    known->stopped = FALSE;
    known->probe_due = known->reachable;
    known->query_due = FALSE;
    known->set_due = MF_MODE_UNKNOWN;
    known->wished = MF_MODE_UNKNOWN;
    known->is_anew = FALSE;
    known->not_before_usec = 0;
    known->failures_count = 0;
    known->is_refused = FALSE;
    known->domain->accounts_usec = 0;
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
        /* Whoever changed the policy wants to see it tried now, and not what followed from the old
         * one. */
        known->set_due = MF_MODE_UNKNOWN;
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

        copy->is_unmerging = known->asked && known->asked_set == MF_MODE_OFF;
        copy->is_moving = known->moving;
        copy->switching = known->asked || known->stopped || now_usec < known->not_before_usec;
        copy->regrouping = known->moving || now_usec < known->move_not_before_usec;
        if (known->asked && silent_usec > MF_ANSWER_OVERDUE_USEC) {
            g_free(copy->switch_error);
            copy->switch_error =
                g_strdup_printf("no answer for %" G_GINT64_FORMAT " s (is QEMU stopped?)",
                                silent_usec / G_USEC_PER_SEC);
        } else if (known->stopped) {
            g_free(copy->switch_error);
            copy->switch_error = g_strdup("its QEMU is stopped (by a signal or a debugger)");
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

MfU64
mf_registry_get_accounts_age_msec(const MfRegistry *registry, const char *uuid, gint64 now_usec)
{
    const Known *known = g_hash_table_lookup(registry->known, uuid);

    if (!known || known->domain->accounts_usec == 0) {
        return MF_U64_ABSENT;
    }
    return MF_U64((guint64)MAX(now_usec - known->domain->accounts_usec, 0) / 1000);
}

static void
copy_accounts(MfDomain *to, const MfDomain *from)
{
    to->mergeable_bytes = from->mergeable_bytes;
    to->resident_bytes = from->resident_bytes;
    to->merged_bytes = from->merged_bytes;
    to->counted_bytes = from->counted_bytes;
    to->counted_scanned_pages = from->counted_scanned_pages;
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
        if (known->last_pid != 0 && figures->pid != 0 && known->last_pid != figures->pid) {
            begin_incarnation(registry, known);
        }
        if (figures->pid == 0) {
            domain->accounts_usec = 0;
        } else {
            known->last_pid = figures->pid;
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
        if (with_accounts || domain->accounts_usec == 0) {
            copy_accounts(domain, figures);
            domain->accounts_usec = domain->saved_bytes.known ? begun_usec : 0;
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

gboolean
mf_registry_is_reachable(const MfRegistry *registry, const char *uuid)
{
    const Known *known = g_hash_table_lookup(registry->known, uuid);

    return known && known->reachable;
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
    known->move_not_before_usec = now_usec + MF_RETRY_BUSY_USEC;
    if (!mf_error_is_gone(error)) {
        known->domain->group_error = g_strdup(error->message);
        known->move_not_before_usec = now_usec + MF_RETRY_FIRST_USEC;
    }
}
