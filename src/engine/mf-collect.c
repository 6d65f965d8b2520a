/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-collect.h"

#include <string.h>

#include "../core/mf-account.h"
#include "../core/mf-error.h"
#include "../core/mf-units.h"
#include "../io/mf-host.h"
#include "../io/mf-ksm-groups.h"
#include "../io/mf-ksm.h"
#include "../io/mf-others.h"
#include "../io/mf-proc.h"

struct _MfProblems {
    GHashTable *texts; /* subject -> text */
    MfManagers *managers;
    MfOthers *others;
};

MfProblems *
mf_problems_new(void)
{
    MfProblems *problems = g_new0(MfProblems, 1);

    problems->texts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    problems->managers = mf_managers_new();
    problems->others = mf_others_new();
    return problems;
}

void
mf_problems_free(MfProblems *problems)
{
    if (problems) {
        mf_others_free(problems->others);
        mf_managers_free(problems->managers);
        g_hash_table_unref(problems->texts);
        g_free(problems);
    }
}

void
mf_problems_note(MfProblems *problems, const char *subject, const char *what, const GError *error)
{
    if (!problems) {
        return;
    }
    if (!error || mf_error_is_gone(error) || mf_error_is_busy(error)) {
        g_hash_table_remove(problems->texts, subject);
        return;
    }
    if (g_strcmp0(g_hash_table_lookup(problems->texts, subject), error->message) == 0) {
        return;
    }
    g_warning("%s: %s", what, error->message);
    g_hash_table_replace(problems->texts, g_strdup(subject), g_strdup(error->message));
}

gint64
mf_problems_get_waited_usec(const MfProblems *problems)
{
    return mf_others_get_waited_usec(problems->others);
}

static gboolean
is_about(gpointer subject, G_GNUC_UNUSED gpointer text, gpointer uuid)
{
    const char *rest = g_str_has_prefix(subject, uuid) ? (char *)subject + strlen(uuid) : NULL;

    return rest && (*rest == '\0' || *rest == '/');
}

void
mf_problems_forget(MfProblems *problems, const char *uuid)
{
    g_hash_table_foreach_remove(problems->texts, is_about, (gpointer)uuid);
}

static gboolean
is_of_nobody(gpointer subject, G_GNUC_UNUSED gpointer text, gpointer uuids)
{
    return g_uuid_string_is_valid(subject) && !g_hash_table_contains(uuids, subject);
}

static void
forget_nobody(MfProblems *problems, const MfSnapshot *snapshot)
{
    g_autoptr(GHashTable) uuids = mf_snapshot_uuids(snapshot);

    g_hash_table_foreach_remove(problems->texts, is_of_nobody, uuids);
}

/* What grows from one tick to the next says something wrong when it is not read. */
static void
forget_counters(MfDomain *domain)
{
    domain->cow_breaks_count = MF_U64_ABSENT;
    domain->swap_in_copies_count = MF_U64_ABSENT;
    domain->scanned_pages = MF_U64_ABSENT;
}

static void
forget_figures(MfDomain *domain)
{
    domain->accounts_usec = 0;
    domain->mergeable_bytes = MF_U64_ABSENT;
    domain->resident_bytes = MF_U64_ABSENT;
    domain->merged_bytes = MF_U64_ABSENT;
    domain->counted_bytes = MF_U64_ABSENT;
    domain->counted_scanned_pages = MF_U64_ABSENT;
    domain->zero_bytes = MF_U64_ABSENT;
    domain->saved_bytes = MF_U64_ABSENT;
    domain->rmap_items_pages = MF_U64_ABSENT;
    domain->profit_bytes = MF_I64_ABSENT;
    domain->huge_bytes = MF_U64_ABSENT;
    domain->swapped_bytes = MF_U64_ABSENT;
    domain->main_node = MF_U64_ABSENT;
    domain->other_node_bytes = MF_U64_ABSENT;
    forget_counters(domain);
    domain->ksm_group_number = MF_U64_ABSENT;
    domain->zero_only = MF_U64_ABSENT;
}

/* TRUE when domain->pid is its QEMU now.  Another process than before has nothing of the old one's
 * figures. */
static gboolean
find_process(MfRoot *root, MfDomain *domain, GError **error)
{
    gint64 pid = 0;
    gboolean found = mf_proc_find_pid(root, domain->name, domain->uuid, &pid, error);

    if (!found || pid != domain->pid) {
        forget_figures(domain);
    }
    domain->pid = found ? pid : 0;
    return found;
}

/* Where the domain's memory is matters only while pages of different nodes do not merge. */
static void
collect_nodes(MfRoot *root, MfDomain *domain, GError **error)
{
    if (mf_ksm_merges_across_nodes(root)) {
        domain->main_node = MF_U64_ABSENT;
        domain->other_node_bytes = MF_U64_ABSENT;
    } else {
        mf_proc_read_nodes(root, domain, error);
    }
}

/* Whether the process of the last tick is the domain's still, and has told its figures.  Reading
 * them ends with a look at whose they are, so that such a one need not be found first: half of what
 * a tick reads of a domain. */
static gboolean
read_of_known(MfRoot *root, guint64 page_size_bytes, MfDomain *domain, GError **error)
{
    return domain->pid > 0 && mf_proc_read_ksm_stat(root, page_size_bytes, domain, error);
}

static void
collect_domain(MfRoot *root, guint64 page_size_bytes, MfDomain *domain, gboolean with_accounts,
               MfU64 scanned_pages, MfProblems *problems)
{
    g_autoptr(GError) known_error = NULL;
    g_autoptr(GError) error = NULL;

    /* A QEMU that un-merges holds its memory lock, and with it whoever reads of it; the knobs and
     * the other domains do not wait for that. */
    if (domain->switching && domain->pid > 0 && !with_accounts) {
        forget_counters(domain);
        return;
    }
    if (!read_of_known(root, page_size_bytes, domain, &known_error)) {
        if (!find_process(root, domain, &error)) {
            mf_problems_note(problems, domain->uuid, "figures", error);
            return;
        }
        domain->zero_bytes = MF_U64_ABSENT;
        domain->rmap_items_pages = MF_U64_ABSENT;
        domain->profit_bytes = MF_I64_ABSENT;
        forget_counters(domain);
        /* A kernel that has no such file has none for anybody. */
        if (mf_error_is_unsupported(known_error)) {
            error = g_steal_pointer(&known_error);
        } else {
            mf_proc_read_ksm_stat(root, page_size_bytes, domain, &error);
        }
    }
    /* A domain that has just come is accounted at once: it can't be un-merged before its cost is
     * known. */
    if (with_accounts || !domain->saved_bytes.known) {
        domain->mergeable_bytes = MF_U64_ABSENT;
        domain->resident_bytes = MF_U64_ABSENT;
        domain->merged_bytes = MF_U64_ABSENT;
        domain->counted_bytes = mf_account_counted_bytes(domain);
        domain->counted_scanned_pages = scanned_pages;
        domain->saved_bytes = MF_U64_ABSENT;
        domain->huge_bytes = MF_U64_ABSENT;
        domain->swapped_bytes = MF_U64_ABSENT;
        mf_proc_read_smaps(root, page_size_bytes, domain, error ? NULL : &error);
        collect_nodes(root, domain, error ? NULL : &error);
    }
    mf_problems_note(problems, domain->uuid, "figures", error);
}

/* What the kernel was told of each domain: its group, and whether nothing but zeroes is merged. One
 * that is switched or moved may hold its memory lock; there it is what it was. */
static void
collect_orders(MfRoot *root, MfSnapshot *snapshot)
{
    for (guint i = 0; i < snapshot->domains->len; i++) {
        MfDomain *domain = snapshot->domains->pdata[i];

        if (!snapshot->host.has_groups) {
            domain->ksm_group_number = MF_U64_ABSENT;
            domain->zero_only = MF_U64_ABSENT;
        } else if (domain->pid > 0 &&
                   !(domain->ksm_group_number.known && (domain->switching || domain->regrouping))) {
            domain->ksm_group_number = mf_proc_read_ksm_group(root, domain);
            domain->zero_only = mf_proc_read_zero_only(root, domain);
        }
    }
}

/* What processes save that are no domains. */
static void
collect_others(MfRoot *root, MfSnapshot *snapshot, MfProblems *problems)
{
    g_autoptr(GHashTable) pids = g_hash_table_new(g_int64_hash, g_int64_equal);
    g_autoptr(MfOthers) unremembered = problems ? NULL : mf_others_new();
    g_autoptr(GError) bound = NULL;
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < snapshot->domains->len; i++) {
        MfDomain *domain = snapshot->domains->pdata[i];

        if (domain->pid > 0) {
            g_hash_table_add(pids, &domain->pid);
        }
    }
    mf_others_read(problems ? problems->others : unremembered, root, pids, &snapshot->host, &bound,
                   &error);
    mf_problems_note(problems, "others", "other processes that merge", error);
    mf_problems_note(problems, "others-bound", "other processes that merge", bound);
}

static void
note_scanned(MfSnapshot *snapshot)
{
    MfU64 now_pages = snapshot->host.pages_scanned_pages;

    for (guint i = 0; i < snapshot->domains->len; i++) {
        MfDomain *domain = snapshot->domains->pdata[i];
        MfU64 then_pages = domain->counted_scanned_pages;

        domain->scanned_since_bytes =
            now_pages.known && then_pages.known && now_pages.value >= then_pages.value
                ? MF_U64(mf_mul_sat(now_pages.value - then_pages.value,
                                    snapshot->host.page_size_bytes))
                : MF_U64_ABSENT;
    }
}

MfSnapshot *
mf_collect(MfRoot *root, GPtrArray *domains, gboolean with_accounts, MfProblems *problems)
{
    g_autoptr(MfSnapshot) snapshot = mf_snapshot_new();
    g_autoptr(GError) host_error = NULL;
    g_autoptr(GError) ksm_error = NULL;
    g_autoptr(GError) groups_error = NULL;
    MfHost *host = &snapshot->host;
    /* Those that are accounted within a tick go without. */
    MfU64 scanned_pages = with_accounts ? mf_ksm_read_scanned(root) : MF_U64_ABSENT;

    g_ptr_array_unref(snapshot->domains);
    snapshot->domains = g_ptr_array_ref(domains);
    if (problems) {
        forget_nobody(problems, snapshot);
    }
    mf_host_read_in_turns(root, problems ? problems->managers : NULL, host, &host_error);
    mf_problems_note(problems, "host", "host", host_error);
    for (guint i = 0; i < domains->len; i++) {
        collect_domain(root, host->page_size_bytes, domains->pdata[i], with_accounts, scanned_pages,
                       problems);
    }
    if (with_accounts) {
        collect_others(root, snapshot, problems);
        snapshot->groups = mf_ksm_read_groups(root, &groups_error);
        mf_problems_note(problems, "groups", "groups of ksm", groups_error);
    }
    /* Last, and close to the accounts: the sums are compared with these counters. */
    mf_ksm_read(root, host, &ksm_error);
    mf_problems_note(problems, "ksm", "ksm", ksm_error);
    note_scanned(snapshot);
    collect_orders(root, snapshot);
    snapshot->taken_usec = g_get_monotonic_time();
    return g_steal_pointer(&snapshot);
}
