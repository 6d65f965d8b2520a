/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-audit-look.h"

#include <unistd.h>

#include "../core/mf-error.h"
#include "../core/mf-units.h"
#include "../io/mf-pagewalk.h"
#include "../io/mf-proc.h"

/* Looks at suspects; what is in doubt after the last one stays so. */
#define LOOKS_MAX 4

#define NOT_LOOKED_AT       "its memory could not be looked at to its end"
#define USE_ZERO_PAGES_KNOB "sys/kernel/mm/ksm/use_zero_pages"

typedef struct {
    MfAuditLook *look;
    GPtrArray *domains; /* of MfDomain, beside those of the report */
    MfAuditReport *report;
    MfAudit *audit;
    MfPagewalk *walk;
    GHashTable *other_parties; /* PID -> party */

    guint party;          /* who is being looked at */
    gint64 other_pid;     /* or who will be a party when there is something to show */
    gboolean looks_again; /* not the first look */
} Run;

static void
domain_free(gpointer data)
{
    MfAuditDomain *domain = data;

    g_free(domain->uuid);
    g_free(domain->name);
    g_free(domain->group);
    g_clear_pointer(&domain->trouble, mf_reason_free);
    g_free(domain);
}

static void
other_free(gpointer data)
{
    MfAuditOther *other = data;

    g_free(other->name);
    g_free(other);
}

/* Whose files are read next. */
static void
turn_to(const Run *run, gint64 pid)
{
    g_atomic_int_set(&run->look->at_pid, (gint)pid);
    g_atomic_int_inc(&run->look->steps_count);
}

/* Another process that has one of the suspects becomes a party. */
static guint
party_of_other(Run *run)
{
    gpointer known = NULL;
    MfAuditOther *other = NULL;
    gboolean is_shared = run->look->config->default_group == MF_DEFAULT_GROUP_SHARED;

    if (g_hash_table_lookup_extended(run->other_parties, &run->other_pid, NULL, &known)) {
        return GPOINTER_TO_UINT(known);
    }
    other = g_new0(MfAuditOther, 1);
    other->pid = run->other_pid;
    other->name = mf_proc_read_comm(run->look->root, other->pid);
    g_ptr_array_add(run->report->others, other);
    guint party =
        mf_audit_add_party(run->audit, is_shared ? MF_GROUP_SHARED : NULL, MF_U64_ABSENT, FALSE);
    g_hash_table_insert(run->other_parties, g_memdup2(&run->other_pid, sizeof(run->other_pid)),
                        GUINT_TO_POINTER(party));
    return party;
}

static void
on_page(guint64 address_bytes, guint64 key, gpointer data)
{
    Run *run = data;

    if (run->other_pid != 0) {
        /* A slot in swap that a child has, too, need not be of a merged page. */
        if ((key & MF_AUDIT_KEY_SWAP) == 0 && mf_audit_is_suspect(run->audit, key)) {
            mf_audit_show_again(run->audit, party_of_other(run), key, address_bytes);
        }
    } else if (run->looks_again) {
        mf_audit_show_again(run->audit, run->party, key, address_bytes);
    } else {
        mf_audit_show(run->audit, run->party, key);
    }
}

/* A window that is halved makes the rest longer: nobody is told that there is more to do again. */
static void
on_advance(guint done_permyriad, gpointer data)
{
    Run *run = data;
    guint start_permyriad = 0;
    guint end_permyriad = 0;
    gint done_before_permyriad = g_atomic_int_get(&run->look->done_permyriad);
    guint64 of_window = (guint64)run->party * MF_PERMYRIAD + done_permyriad;

    g_atomic_int_inc(&run->look->steps_count);
    if (run->looks_again) {
        return;
    }
    mf_audit_get_window(run->audit, &start_permyriad, &end_permyriad);
    guint now_permyriad =
        start_permyriad + (guint)mf_mul_div(of_window, end_permyriad - start_permyriad,
                                            (guint64)run->domains->len * MF_PERMYRIAD);
    g_atomic_int_set(&run->look->done_permyriad, MAX(done_before_permyriad, (gint)now_permyriad));
}

static const MfPagewalkSink sink = {on_page, on_advance};

static void
fail_domain(MfAuditDomain *entry, const char *what, const char *why)
{
    if (!entry->trouble) {
        entry->trouble = mf_reason_new(MF_REASON_AUDIT_FAILED, NULL, "%s: %s", what, why);
    }
}

/* FALSE when the run was cancelled. */
static gboolean
look_at_domain(Run *run, guint party, GError **error)
{
    const MfDomain *domain = run->domains->pdata[party];
    MfAuditDomain *entry = run->report->domains->pdata[party];
    MfPagewalkCounts counts = {0};
    g_autoptr(GError) cause = NULL;

    if (entry->pid == 0) {
        return TRUE;
    }
    run->party = party;
    run->other_pid = 0;
    turn_to(run, entry->pid);
    if (!mf_pagewalk_read(run->walk, domain, &sink, run, &counts, run->look->cancellable, &cause)) {
        if (g_error_matches(cause, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
            g_propagate_error(error, g_steal_pointer(&cause));
            return FALSE;
        }
        /* Who has ended shares nothing. */
        if (!mf_error_is_gone(cause)) {
            fail_domain(entry, NOT_LOOKED_AT, cause->message);
        }
    }
    if (!run->looks_again) {
        entry->looked_pages = counts.looked_pages;
        entry->merged_pages = counts.merged_pages;
        entry->swapped_pages = counts.swapped_pages;
    }
    return TRUE;
}

static gboolean
look_at_domains(Run *run, GError **error)
{
    run->report->looks_count++;
    for (guint i = 0; i < run->domains->len; i++) {
        if (!look_at_domain(run, i, error)) {
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean
is_domains_pid(const Run *run, gint64 pid)
{
    for (guint i = 0; i < run->report->domains->len; i++) {
        const MfAuditDomain *entry = run->report->domains->pdata[i];

        if (entry->pid == pid) {
            return TRUE;
        }
    }
    return FALSE;
}

/* Who can't be looked at is missed in the kernel's count, and needs no word here. */
static gboolean
look_at_others(Run *run, GError **error)
{
    g_auto(GStrv) names =
        run->look->skips_others ? NULL : mf_root_list(run->look->root, "proc", NULL);

    for (guint i = 0; names && names[i]; i++) {
        g_autoptr(GError) cause = NULL;
        gint64 pid;

        if (!g_ascii_string_to_signed(names[i], 10, 1, G_MAXINT32, &pid, NULL) ||
            is_domains_pid(run, pid) || g_hash_table_contains(run->look->passed_pids, &pid)) {
            continue;
        }
        run->other_pid = pid;
        turn_to(run, pid);
        if (!mf_pagewalk_read_other(run->walk, pid, &sink, run, run->look->cancellable, &cause) &&
            g_error_matches(cause, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
            g_propagate_error(error, g_steal_pointer(&cause));
            return FALSE;
        }
    }
    return TRUE;
}

static MfPagePlace
place_of(const Run *run, guint party, guint64 address_bytes)
{
    const MfAuditDomain *domain = mf_audit_report_get_domain(run->report, party);
    const MfAuditOther *other = mf_audit_report_get_other(run->report, party);

    return (MfPagePlace){domain ? domain->pid : other->pid, address_bytes};
}

static gboolean
has_key(const Run *run, guint slot, MfPagePlace place, guint64 key)
{
    turn_to(run, place.pid);
    return mf_pagewalk_has_key(run->walk, slot, place, key);
}

/* At one moment: the one is looked at before the other, and after it. */
static gboolean
is_shared_now(const Run *run, MfPagePlace one, MfPagePlace other, guint64 key)
{
    return has_key(run, 0, one, key) && has_key(run, 1, other, key) && has_key(run, 0, one, key);
}

static void
settle_suspects(Run *run)
{
    for (guint i = mf_audit_get_n_suspects(run->audit); i > 0; i--) {
        const MfAuditSuspect *suspect = mf_audit_get_suspect(run->audit, i - 1);

        if (suspect->other_party != MF_AUDIT_NO_PARTY) {
            MfPagePlace one = place_of(run, suspect->first_party, suspect->first_address_bytes);
            MfPagePlace other = place_of(run, suspect->other_party, suspect->other_address_bytes);

            mf_audit_settle(run->audit, i - 1, is_shared_now(run, one, other, suspect->key),
                            MF_U64_ABSENT);
        } else if ((suspect->key & MF_AUDIT_KEY_SWAP) != 0) {
            mf_audit_settle(run->audit, i - 1, FALSE, MF_U64_ABSENT);
        } else {
            mf_audit_settle(run->audit, i - 1, FALSE,
                            mf_pagewalk_count_mappings(run->walk, suspect->key));
        }
    }
}

static void
ask_for_mappings(Run *run)
{
    guint cursor = 0;
    guint64 frame;

    while (mf_audit_next_frame(run->audit, &cursor, &frame)) {
        MfU64 count = mf_pagewalk_count_mappings(run->walk, frame);

        mf_audit_set_mapped(run->audit, frame, count.known ? count.value : G_MAXUINT64);
    }
}

static gboolean
audit_window(Run *run, GError **error)
{
    gboolean needs_look = FALSE;

    run->looks_again = FALSE;
    if (!look_at_domains(run, error)) {
        return FALSE;
    }
    ask_for_mappings(run);
    needs_look = mf_audit_list_suspects(run->audit);
    run->looks_again = TRUE;
    for (guint i = 0; needs_look && i < LOOKS_MAX; i++) {
        mf_audit_begin_look(run->audit);
        if (!look_at_domains(run, error) || !look_at_others(run, error)) {
            return FALSE;
        }
        settle_suspects(run);
        needs_look = mf_audit_get_n_suspects(run->audit) > 0;
    }
    mf_audit_end_looks(run->audit);
    return TRUE;
}

static gint
compare(gconstpointer a, gconstpointer b, gpointer data)
{
    const MfDomain *one = *(MfDomain *const *)a;
    const MfDomain *two = *(MfDomain *const *)b;
    const Run *run = data;
    int order = g_strcmp0(mf_config_group_of(run->look->config, one->policy),
                          mf_config_group_of(run->look->config, two->policy));

    return order != 0 ? order : g_strcmp0(one->name, two->name);
}

/* Its process, its groups, and what ksmd's counter says of its zero pages. */
static void
find_domain(Run *run, MfDomain *domain, MfAuditDomain *entry)
{
    gboolean had_pid = domain->pid != 0;
    g_autoptr(GError) error = NULL;
    g_autoptr(GError) unread = NULL;

    gint64 pid = domain->pid;

    if (mf_proc_read_pid_file(run->look->root, domain->name, &pid, NULL) || had_pid) {
        if (g_hash_table_contains(run->look->passed_pids, &pid)) {
            fail_domain(entry, NOT_LOOKED_AT, "its process keeps waiting who reads there");
            return;
        }
        turn_to(run, pid);
    }
    if (!mf_proc_find_pid(run->look->root, domain->name, domain->uuid, &domain->pid, &error)) {
        /* One that was there has ended. */
        if (!had_pid || !mf_error_is_gone(error)) {
            fail_domain(entry, NOT_LOOKED_AT, error->message);
        }
        return;
    }
    domain->zero_bytes = MF_U64_ABSENT;
    if (!mf_proc_read_ksm_stat(run->look->root, run->report->page_size_bytes, domain, &unread) &&
        mf_error_is_gone(unread)) {
        return;
    }
    entry->pid = domain->pid;
    entry->ksm_group_number = mf_proc_read_ksm_group(run->look->root, domain);
    if (domain->is_unread) {
        fail_domain(entry, "its group is not known", "what its XML asks for could not be read");
    }
    if (domain->zero_bytes.known) {
        entry->zero_pages = MF_U64(domain->zero_bytes.value / run->report->page_size_bytes);
    }
}

/* Judged ones first: what only the others have is not asked about. */
static void
add_domains(Run *run)
{
    GPtrArray *domains = run->look->domains;
    GHashTable *judged = run->look->judged;

    for (guint pass = 0; pass < 2; pass++) {
        for (guint i = 0; i < domains->len; i++) {
            MfDomain *domain = domains->pdata[i];
            gboolean is_judged = !judged || g_hash_table_contains(judged, domain->uuid);
            const char *group = mf_config_group_of(run->look->config, domain->policy);
            MfAuditDomain *entry = NULL;

            if (is_judged != (pass == 0)) {
                continue;
            }
            entry = g_new0(MfAuditDomain, 1);
            entry->uuid = g_strdup(domain->uuid);
            entry->name = g_strdup(domain->name);
            entry->group = g_strdup(group);
            entry->is_judged = is_judged;
            find_domain(run, domain, entry);
            mf_audit_add_party(run->audit, g_str_equal(group, MF_GROUP_ISOLATED) ? NULL : group,
                               entry->ksm_group_number, is_judged);
            g_ptr_array_add(run->domains, domain);
            g_ptr_array_add(run->report->domains, entry);
        }
    }
}

/* ksmd's zero pages where the configuration forbids them.  They do not show in page tables: where
 * the kernel may place them and does not count them (stock ones before 6.6), nothing is proven. */
static void
judge_zero_pages(Run *run, MfAuditDomain *entry)
{
    if (!entry->is_judged || run->look->config->use_zero_pages != MF_SETTING_OFF ||
        g_str_equal(entry->group, MF_GROUP_SHARED)) {
        return;
    }
    if (entry->zero_pages.known) {
        run->report->zero_violation_pages += entry->zero_pages.value;
    } else if (entry->pid != 0 && mf_root_exists(run->look->root, USE_ZERO_PAGES_KNOB)) {
        fail_domain(entry, "its merged pages of zeroes are not known",
                    "the kernel does not count them in its ksm_stat, or it can't be read");
    }
}

static void
conclude(Run *run)
{
    MfAuditReport *report = run->report;

    report->counts = mf_audit_get_counts(run->audit);
    for (guint i = 0; i < report->domains->len; i++) {
        MfAuditDomain *entry = report->domains->pdata[i];

        entry->violation_pages = mf_audit_get_violations_of(run->audit, i);
        judge_zero_pages(run, entry);
        report->failed_count += entry->trouble ? 1 : 0;
    }
    report->pairs = g_array_copy((GArray *)mf_audit_get_pairs(run->audit));
    report->verdict = mf_audit_judge(&report->counts, report->zero_violation_pages,
                                     report->failed_count + (report->knows_all ? 0 : 1));
}

MfAuditReport *
mf_audit_look_run(MfAuditLook *look, GError **error)
{
    g_autoptr(MfPagewalk) walk = mf_pagewalk_new(look->root, error);
    g_autoptr(MfAuditReport) report = g_new0(MfAuditReport, 1);
    g_autoptr(MfAudit) audit = mf_audit_new(MF_AUDIT_KEYS_MAX_COUNT, MF_AUDIT_PAIRS_MAX_COUNT);
    g_autoptr(GPtrArray) in_order = g_ptr_array_new();
    g_autoptr(GHashTable) others = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    Run run = {.look = look,
               .domains = in_order,
               .report = report,
               .audit = audit,
               .walk = walk,
               .other_parties = others};

    report->knows_all = look->knows_all;
    report->page_size_bytes = (guint64)sysconf(_SC_PAGESIZE);
    report->domains = g_ptr_array_new_with_free_func(domain_free);
    report->others = g_ptr_array_new_with_free_func(other_free);
    report->pairs = g_array_new(FALSE, FALSE, sizeof(MfAuditPair));
    if (!walk) {
        return NULL;
    }
    g_ptr_array_sort_with_data(look->domains, compare, &run);
    add_domains(&run);
    while (mf_audit_next_window(audit)) {
        if (!audit_window(&run, error)) {
            return NULL;
        }
    }
    g_clear_pointer(&report->pairs, g_array_unref);
    conclude(&run);
    return g_steal_pointer(&report);
}
