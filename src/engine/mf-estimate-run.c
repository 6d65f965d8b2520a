/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-estimate-run.h"

#include <unistd.h>

#include "../core/mf-error.h"
#include "../core/mf-units.h"
#include "../io/mf-proc.h"
#include "../io/mf-sampler.h"

typedef struct {
    MfEstimate *alone;
    MfEstimate *group; /* NULL where domains are kept apart from all others */
    MfEstimate *all;
    guint domains_done;
    guint domains_count;
    MfEstimateProgress progress;
    gpointer user_data;
} Run;

static void
domain_free(gpointer data)
{
    MfEstimateDomain *domain = data;

    g_free(domain->uuid);
    g_free(domain->name);
    g_free(domain->group);
    g_clear_pointer(&domain->trouble, mf_reason_free);
    g_free(domain);
}

static void
group_free(gpointer data)
{
    MfEstimateGroup *group = data;

    g_free(group->name);
    g_free(group);
}

void
mf_estimate_report_free(MfEstimateReport *report)
{
    if (report) {
        g_ptr_array_unref(report->domains);
        g_ptr_array_unref(report->groups);
        g_free(report);
    }
}

static MfEstimate *
estimate_new(void)
{
    return mf_estimate_new(MF_ESTIMATE_SAMPLE_MAX_COUNT, MF_ESTIMATE_WINDOW_PAGES);
}

static void
on_page(guint64 hash, gboolean is_zero, gpointer data)
{
    const Run *run = data;
    MfEstimate *const estimates[] = {run->alone, run->group, run->all};

    for (guint i = 0; i < G_N_ELEMENTS(estimates); i++) {
        if (!estimates[i]) {
            continue;
        }
        if (is_zero) {
            mf_estimate_add_zero_page(estimates[i]);
        } else {
            mf_estimate_add_page(estimates[i], hash);
        }
    }
}

static void
on_advance(guint done_permyriad, gpointer data)
{
    const Run *run = data;

    run->progress((run->domains_done * MF_PERMYRIAD + done_permyriad) / run->domains_count,
                  run->user_data);
}

/* Why the domain's memory can't merge at all; NULL when it may. */
static MfReason *
why_never(const MfDomain *domain)
{
    if (domain->memory_kind == MF_MEMORY_SHARED || domain->memory_kind == MF_MEMORY_MEMFD) {
        return mf_reason_new(MF_REASON_MEMORY_SHARED, NULL,
                             "its RAM is shared with other processes, and KSM merges only private "
                             "memory: not read");
    }
    if (domain->memory_kind == MF_MEMORY_HUGEPAGES) {
        return mf_reason_new(MF_REASON_MEMORY_HUGEPAGES, NULL,
                             "its RAM is in hugetlb pages, which KSM does not merge: not read");
    }
    if (domain->memory_kind == MF_MEMORY_FILE) {
        return mf_reason_new(MF_REASON_MEMORY_FILE, NULL,
                             "its RAM is a private mapping of a file, of which only pages that "
                             "the guest has written can merge: not read");
    }
    return NULL;
}

static gboolean
read_domain(Run *run, MfSampler *sampler, MfRoot *root, MfDomain *domain, GCancellable *cancellable,
            GError **error)
{
    static const MfSamplerSink sink = {on_page, on_advance};

    return mf_proc_find_pid(root, domain->name, domain->uuid, &domain->pid, error) &&
           mf_sampler_read(sampler, domain, &sink, run, cancellable, error);
}

/* FALSE when the run was cancelled. */
static gboolean
take_domain(Run *run, MfSampler *sampler, MfRoot *root, MfDomain *domain, MfEstimateDomain *entry,
            GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) cause = NULL;
    g_autoptr(MfEstimate) alone = estimate_new();

    entry->trouble = why_never(domain);
    if (entry->trouble) {
        return TRUE;
    }
    run->alone = alone;
    if (!read_domain(run, sampler, root, domain, cancellable, &cause)) {
        if (g_error_matches(cause, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
            g_propagate_error(error, g_steal_pointer(&cause));
            return FALSE;
        }
        entry->trouble = mf_reason_new(MF_REASON_ESTIMATE_FAILED, NULL,
                                       "its memory could not be read to its end: %s; what was "
                                       "read is in the sums",
                                       cause->message);
    }
    entry->alone = mf_estimate_get_result(alone);
    entry->is_read = !entry->trouble || entry->alone.pages > 0;
    return TRUE;
}

static MfEstimateDomain *
entry_new(const MfConfig *config, const MfDomain *domain)
{
    MfEstimateDomain *entry = g_new0(MfEstimateDomain, 1);

    entry->uuid = g_strdup(domain->uuid);
    entry->name = g_strdup(domain->name);
    entry->group = g_strdup(mf_config_group_of(config, domain->policy));
    entry->merged_bytes = domain->merged_bytes;
    entry->saved_bytes = domain->saved_bytes;
    return entry;
}

static gint
compare(gconstpointer a, gconstpointer b, gpointer config)
{
    const MfDomain *one = *(MfDomain *const *)a;
    const MfDomain *two = *(MfDomain *const *)b;
    int order =
        g_strcmp0(mf_config_group_of(config, one->policy), mf_config_group_of(config, two->policy));

    return order != 0 ? order : g_strcmp0(one->name, two->name);
}

/* Reads the domains of one group, which are those from first on; gives the first of the next one.
 */
static gboolean
take_group(Run *run, MfSampler *sampler, MfRoot *root, const MfConfig *config, GPtrArray *domains,
           guint *first, MfEstimateReport *report, GCancellable *cancellable, GError **error)
{
    MfDomain *leader = domains->pdata[*first];
    const char *name = mf_config_group_of(config, leader->policy);
    g_autoptr(MfEstimate) estimate = g_str_equal(name, MF_GROUP_ISOLATED) ? NULL : estimate_new();
    guint count = 0;

    run->group = estimate;
    for (; *first < domains->len; (*first)++) {
        MfDomain *domain = domains->pdata[*first];
        MfEstimateDomain *entry = NULL;

        if (!g_str_equal(mf_config_group_of(config, domain->policy), name)) {
            break;
        }
        entry = entry_new(config, domain);
        g_ptr_array_add(report->domains, entry);
        if (!take_domain(run, sampler, root, domain, entry, cancellable, error)) {
            return FALSE;
        }
        count += entry->is_read ? 1 : 0;
        run->domains_done++;
        on_advance(0, run);
    }
    report->domains_count += count;
    if (count > 0 && estimate) {
        MfEstimateGroup *group = g_new0(MfEstimateGroup, 1);

        group->name = g_strdup(name);
        group->domains_count = count;
        group->result = mf_estimate_get_result(estimate);
        g_ptr_array_add(report->groups, group);
    }
    return TRUE;
}

MfEstimateReport *
mf_estimate_run(MfRoot *root, const MfConfig *config, GPtrArray *domains, guint64 rate_bytes,
                MfEstimateProgress progress, gpointer user_data, GCancellable *cancellable,
                GError **error)
{
    g_autoptr(MfSampler) sampler = mf_sampler_new(root, rate_bytes, error);
    g_autoptr(MfEstimateReport) report = g_new0(MfEstimateReport, 1);
    g_autoptr(MfEstimate) all = estimate_new();
    gint64 begun_usec = g_get_monotonic_time();
    Run run = {
        .all = all, .domains_count = domains->len, .progress = progress, .user_data = user_data};

    report->page_size_bytes = (guint64)sysconf(_SC_PAGESIZE);
    report->groups = g_ptr_array_new_with_free_func(group_free);
    report->domains = g_ptr_array_new_with_free_func(domain_free);
    if (!sampler) {
        return NULL;
    }
    g_ptr_array_sort_with_data(domains, compare, (gpointer)config);
    for (guint next = 0; next < domains->len;) {
        if (!take_group(&run, sampler, root, config, domains, &next, report, cancellable, error)) {
            return NULL;
        }
    }
    report->all = mf_estimate_get_result(all);
    report->took_usec = g_get_monotonic_time() - begun_usec;
    return g_steal_pointer(&report);
}
