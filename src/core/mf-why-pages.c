/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages that could merge and do not. */
#include "mf-units.h"
#include "mf-why-private.h"

/* Of what is in memory: the rest is what grew lately. */
#define LOOKED_AT_PERMYRIAD 7500
/* Of all that ksmd tracks on the host: less is the usual bustle. */
#define VOLATILE_PERMYRIAD 2500
/* Of what ksmd tracks of a domain: then it is no victim of the bustle. */
#define MERGED_WELL_PERMYRIAD 5000
/* Of what is in memory. */
#define HUGE_PERMYRIAD 5000
/* Of what is saved: at the kernel's default of 256 the limit takes less than half of it. */
#define LIMIT_PERMYRIAD 100
#define MINUTE_SEC      60
#define HOUR_SEC        3600
#define LONG_SEC        (6 * HOUR_SEC) /* a working day is over before it has merged */

static guint64
resident_pages(const MfEvidence *evidence)
{
    return evidence->domain->resident_bytes.value / evidence->snapshot->host.page_size_bytes;
}

static char *
bytes_of(const MfEvidence *evidence, guint64 pages)
{
    return mf_format_bytes(mf_mul_sat(pages, evidence->snapshot->host.page_size_bytes));
}

/* "about 4 minutes"; free with g_free(). */
static char *
format_wait(guint64 sec)
{
    if (sec < 2 * MINUTE_SEC) {
        return g_strdup_printf("about %" G_GUINT64_FORMAT " s", sec);
    }
    if (sec < 2 * HOUR_SEC) {
        return g_strdup_printf("about %" G_GUINT64_FORMAT " minutes", sec / MINUTE_SEC);
    }
    return g_strdup_printf("about %" G_GUINT64_FORMAT " hours", sec / HOUR_SEC);
}

/* Pages of one sweep: what ksmd tracks, or has still to, whichever is more. */
static guint64
sweep_pages(const MfSnapshot *snapshot)
{
    const MfHost *host = &snapshot->host;
    guint64 tracked_pages =
        mf_add_sat(mf_add_sat(host->pages_shared_pages.value, host->pages_sharing_pages.value),
                   mf_add_sat(host->pages_unshared_pages.value, host->pages_volatile_pages.value));
    guint64 marked_bytes = 0;

    for (guint i = 0; i < snapshot->domains->len; i++) {
        const MfDomain *domain = g_ptr_array_index(snapshot->domains, i);
        marked_bytes = mf_add_sat(marked_bytes, domain->resident_bytes.value);
    }
    return MAX(tracked_pages, marked_bytes / host->page_size_bytes);
}

/* What ksmd has to scan until it has looked at all of the domain twice, and how far it has come; 0
 * when it has, or when that can't be told.  *ret_evidence is the caller's. */
static guint64
pages_to_go(const MfEvidence *evidence, char **ret_evidence)
{
    const MfWatch *watch = evidence->watch;
    const MfDomain *domain = evidence->domain;
    const MfWatched *watched = mf_watch_find(watch, domain->uuid);
    guint64 all_pages = resident_pages(evidence);
    MfU64 sweeps_count = watched != NULL ? mf_watch_sweeps_count(watch, watched) : MF_U64_ABSENT;

    if (domain->scanned_pages.known && watched != NULL) {
        guint64 looks = mf_sub_clamp(domain->scanned_pages.value, watched->base_pages);
        guint64 left = mf_sub_clamp(mf_mul_sat(all_pages, 2), looks);
        if (left > 0) {
            *ret_evidence =
                g_strdup_printf("it has scanned %" G_GUINT64_FORMAT
                                " of its pages so far, and %" G_GUINT64_FORMAT " are in memory",
                                looks, all_pages);
        }
        return left > 0
                   ? MAX(mf_mul_div(left, sweep_pages(evidence->snapshot), MAX(all_pages, 1)), 1)
                   : 0;
    }
    if (watched != NULL && watched->fresh && sweeps_count.known &&
        sweeps_count.value < MF_WATCH_SWEEPS) {
        guint64 sweep = sweep_pages(evidence->snapshot);
        MfU64 now = evidence->snapshot->host.pages_scanned_pages;
        guint64 done = now.known && watch->sweep_scanned_pages.known
                           ? mf_sub_clamp(now.value, watch->sweep_scanned_pages.value)
                           : 0;
        *ret_evidence = g_strdup_printf("%" G_GUINT64_FORMAT
                                        " of the %d sweeps that takes have ended since it came",
                                        sweeps_count.value, MF_WATCH_SWEEPS);
        return MAX(
            mf_sub_clamp(mf_mul_sat(MF_WATCH_SWEEPS - sweeps_count.value, sweep), MIN(done, sweep)),
            1);
    }
    if (domain->rmap_items_pages.known && domain->memory_kind != MF_MEMORY_FILE &&
        domain->rmap_items_pages.value < mf_mul_div(all_pages, LOOKED_AT_PERMYRIAD, MF_PERMYRIAD)) {
        *ret_evidence = g_strdup_printf("it has found %" G_GUINT64_FORMAT
                                        " of its %" G_GUINT64_FORMAT " pages so far",
                                        domain->rmap_items_pages.value, all_pages);
        return MAX(mf_sub_clamp(mf_mul_sat(sweep_pages(evidence->snapshot), 2),
                                domain->rmap_items_pages.value),
                   1);
    }
    return 0;
}

/* Whether the domain has marked memory that is there, so that there is something to ask of. */
static gboolean
has_marked_memory(const MfEvidence *evidence)
{
    const MfDomain *domain = evidence->domain;

    return domain->mergeable_bytes.known && domain->mergeable_bytes.value > 0 &&
           domain->resident_bytes.known && evidence->snapshot->host.page_size_bytes > 0;
}

MfReason *
mf_why_not_scanned(const MfEvidence *evidence)
{
    const MfHost *host = &evidence->snapshot->host;
    MfU64 rate = evidence->watch->scan_rate_pages;
    g_autofree char *so_far = NULL;

    if (!has_marked_memory(evidence) ||
        !mf_why_is_worth(evidence->domain, evidence->domain->resident_bytes.value)) {
        return NULL;
    }
    guint64 left_pages = pages_to_go(evidence, &so_far);
    if (left_pages == 0) {
        return NULL;
    }
    if (host->run.known && host->run.value != 1) {
        return mf_reason_new(
            MF_REASON_NOT_SCANNED, "see what the host's reasons say of ksmd",
            "ksmd has not looked at all of it twice yet, and does not run now (%s)", so_far);
    }
    if (!rate.known) {
        return mf_reason_new(
            MF_REASON_NOT_SCANNED, NULL,
            "ksmd has not looked at all of it twice yet: how long that takes is not "
            "known (%s)",
            so_far);
    }
    guint64 wait_sec = MAX(left_pages / MAX(rate.value, 1), 1);
    g_autofree char *wait = format_wait(wait_sec);
    return mf_reason_new(MF_REASON_NOT_SCANNED,
                         wait_sec > LONG_SEC ? "raise cpu-budget-permyriad in memfold.conf" : NULL,
                         "ksmd has not looked at all of it twice yet: %s at the present rate of "
                         "%" G_GUINT64_FORMAT " pages a second (%s)",
                         wait, rate.value, so_far);
}

/* Pages of the domain that were merged and are written again, from our kernel's counter. */
static MfReason *
written_again(const MfEvidence *evidence, const char *remedy)
{
    const MfWatched *watched = mf_watch_find(evidence->watch, evidence->domain->uuid);
    MfU64 breaks = watched != NULL ? mf_tally_rise_count(&watched->cow_breaks) : MF_U64_ABSENT;
    guint64 page_size_bytes = evidence->snapshot->host.page_size_bytes;

    if (!breaks.known ||
        !mf_why_is_worth(evidence->domain, mf_mul_sat(breaks.value, page_size_bytes))) {
        return NULL;
    }
    g_autofree char *size = bytes_of(evidence, breaks.value);
    return mf_reason_new(MF_REASON_VOLATILE, remedy,
                         "%" G_GUINT64_FORMAT " of its merged pages (%s) were written in the last "
                         "two sweeps, and became its own again",
                         breaks.value, size);
}

MfReason *
mf_why_volatile(const MfEvidence *evidence)
{
    static const char remedy[] =
        "nothing, if its guest is at work; merge=off spares ksmd the effort";
    const MfHost *host = &evidence->snapshot->host;
    const MfDomain *domain = evidence->domain;
    /* ksmd counts pages that it skipped as if they had changed. */
    gboolean skips = host->smart_scan.known && host->smart_scan.value != 0;

    if (!has_marked_memory(evidence)) {
        return NULL;
    }
    MfReason *reason = written_again(evidence, remedy);
    if (reason != NULL || skips || !evidence->settled || !host->pages_volatile_pages.known ||
        !domain->rmap_items_pages.known || !domain->merged_bytes.known) {
        return reason;
    }
    guint64 volatile_pages = host->pages_volatile_pages.value;
    guint64 tracked_pages =
        mf_add_sat(mf_add_sat(host->pages_shared_pages.value, host->pages_sharing_pages.value),
                   mf_add_sat(host->pages_unshared_pages.value, volatile_pages));
    guint64 share = mf_mul_div(volatile_pages, MF_PERMYRIAD, tracked_pages);
    guint64 merged_pages = domain->merged_bytes.value / host->page_size_bytes;
    guint64 unmerged_pages = mf_sub_clamp(domain->rmap_items_pages.value, merged_pages);
    if (share < VOLATILE_PERMYRIAD ||
        merged_pages >=
            mf_mul_div(domain->rmap_items_pages.value, MERGED_WELL_PERMYRIAD, MF_PERMYRIAD) ||
        !mf_why_is_worth(domain, mf_mul_sat(unmerged_pages, host->page_size_bytes))) {
        return NULL;
    }
    g_autofree char *share_text = mf_format_permyriad(share);
    return mf_reason_new(MF_REASON_VOLATILE, remedy,
                         "%s of the pages that ksmd tracks on this host (%" G_GUINT64_FORMAT
                         ") change between two looks; of this domain it tracks %" G_GUINT64_FORMAT
                         ", of which %" G_GUINT64_FORMAT " are merged",
                         share_text, volatile_pages, domain->rmap_items_pages.value, merged_pages);
}

MfReason *
mf_why_huge_pages(const MfEvidence *evidence)
{
    const MfHost *host = &evidence->snapshot->host;
    const MfDomain *domain = evidence->domain;

    if (!has_marked_memory(evidence) || !domain->huge_bytes.known ||
        !mf_why_is_worth(domain, domain->huge_bytes.value)) {
        return NULL;
    }
    g_autofree char *huge = mf_format_bytes(domain->huge_bytes.value);
    if (host->huge_min_pages.value > 1 && host->pages_unsplit_pages.value > 0) {
        return mf_reason_new(
            MF_REASON_HUGE_PAGES, "write a lower number to /sys/kernel/mm/ksm/huge_min_pages",
            "%s of its memory is in transparent huge pages, which are split only where "
            "%" G_GUINT64_FORMAT " pages of one have equal ones (huge_min_pages); "
            "%" G_GUINT64_FORMAT " pages on this host were left for that",
            huge, host->huge_min_pages.value, host->pages_unsplit_pages.value);
    }
    guint64 half_bytes = mf_mul_div(domain->resident_bytes.value, HUGE_PERMYRIAD, MF_PERMYRIAD);
    g_autoptr(MfReason) unscanned = mf_why_not_scanned(evidence);
    if (unscanned != NULL || domain->huge_bytes.value < half_bytes || !domain->merged_bytes.known ||
        mf_why_is_worth(domain, domain->merged_bytes.value)) {
        return NULL;
    }
    g_autofree char *merged = mf_format_bytes(domain->merged_bytes.value);
    g_autofree char *remedy = g_strdup_printf(
        "memfold estimate %s tells whether there is anything equal in them; without transparent "
        "huge pages nothing needs to be split",
        domain->name);
    return mf_reason_new(
        MF_REASON_HUGE_PAGES, remedy,
        "%s of its memory is in transparent huge pages that ksmd has not split, since it "
        "found nothing equal in them or could not; %s are merged",
        huge, merged);
}

/* Domains that should merge and have most of their memory on another node. */
static guint
count_elsewhere(const MfEvidence *evidence, guint *ret_others_count)
{
    const GPtrArray *domains = evidence->snapshot->domains;
    guint elsewhere_count = 0;

    *ret_others_count = 0;
    for (guint i = 0; i < domains->len; i++) {
        const MfDomain *other = g_ptr_array_index(domains, i);
        const MfVerdict *verdict = g_ptr_array_index(evidence->plan->verdicts, i);
        if (other != evidence->domain && verdict->want == MF_MODE_ON && other->main_node.known) {
            ++*ret_others_count;
            elsewhere_count += other->main_node.value != evidence->domain->main_node.value ? 1 : 0;
        }
    }
    return elsewhere_count;
}

MfReason *
mf_why_other_node(const MfEvidence *evidence)
{
    const MfHost *host = &evidence->snapshot->host;
    const MfDomain *domain = evidence->domain;
    const char *remedy =
        "write 1 to merge_across_nodes (needs a host on which nothing is merged), or "
        "bind the domains to one node (<numatune>)";
    guint others_count;

    if (!has_marked_memory(evidence) || !host->merge_across_nodes.known ||
        host->merge_across_nodes.value != 0 || !domain->main_node.known) {
        return NULL;
    }
    guint elsewhere_count = count_elsewhere(evidence, &others_count);
    gboolean spread =
        domain->other_node_bytes.known && mf_why_is_worth(domain, domain->other_node_bytes.value);
    if (!spread && elsewhere_count == 0) {
        return NULL;
    }
    g_autofree char *other = mf_format_bytes(domain->other_node_bytes.value);
    return mf_reason_new(
        MF_REASON_OTHER_NODE, remedy,
        "only pages of one NUMA node merge with each other (merge_across_nodes=0): "
        "most of its memory is on node %" G_GUINT64_FORMAT
        ", %s on others, and %u of %u other domains are on another node",
        domain->main_node.value, other, elsewhere_count, others_count);
}

MfReason *
mf_why_sharing_limit(const MfEvidence *evidence)
{
    const MfHost *host = &evidence->snapshot->host;
    const MfDomain *domain = evidence->domain;

    if (!has_marked_memory(evidence) || domain->merged_bytes.value == 0 ||
        !host->stable_node_chains_count.known || !host->stable_node_dups_pages.known ||
        !host->pages_sharing_pages.known) {
        return NULL;
    }
    guint64 copies_pages =
        mf_sub_clamp(host->stable_node_dups_pages.value, host->stable_node_chains_count.value);
    if (mf_mul_sat(copies_pages, host->page_size_bytes) < MF_WHY_WORTH_BYTES ||
        copies_pages < mf_mul_div(host->pages_sharing_pages.value, LIMIT_PERMYRIAD, MF_PERMYRIAD)) {
        return NULL;
    }
    g_autofree char *size = bytes_of(evidence, copies_pages);
    return mf_reason_new(MF_REASON_SHARING_LIMIT,
                         "write a higher number to max_page_sharing (needs a host on which nothing "
                         "is merged); if it is pages of zeroes, use-zero-pages=on in memfold.conf",
                         "%" G_GUINT64_FORMAT " contents on this host are shared more often than "
                         "max_page_sharing=%" G_GUINT64_FORMAT " allows for one page, which takes "
                         "%s for further copies",
                         host->stable_node_chains_count.value, host->max_page_sharing_pages.value,
                         size);
}

MfReason *
mf_why_swapped_in(const MfEvidence *evidence)
{
    static const char remedy[] = "give the host more memory or a lower vm.swappiness; the copies "
                                 "merge again within two sweeps";
    const MfDomain *domain = evidence->domain;
    const MfWatched *watched = mf_watch_find(evidence->watch, domain->uuid);
    guint64 page_size_bytes = evidence->snapshot->host.page_size_bytes;
    MfU64 own = watched != NULL ? mf_tally_rise_count(&watched->swap_in_copies) : MF_U64_ABSENT;
    MfU64 all = mf_tally_rise_count(&evidence->watch->swap_in_copies);

    if (!has_marked_memory(evidence)) {
        return NULL;
    }
    if (own.known) {
        if (!mf_why_is_worth(domain, mf_mul_sat(own.value, page_size_bytes))) {
            return NULL;
        }
        g_autofree char *size = bytes_of(evidence, own.value);
        return mf_reason_new(MF_REASON_SWAPPED_IN, remedy,
                             "%" G_GUINT64_FORMAT
                             " of its merged pages (%s) came back from swap as "
                             "copies in the last two sweeps",
                             own.value, size);
    }
    if (!all.known || mf_mul_sat(all.value, page_size_bytes) < MF_WHY_WORTH_BYTES ||
        !domain->swapped_bytes.known || !mf_why_is_worth(domain, domain->swapped_bytes.value)) {
        return NULL;
    }
    g_autofree char *swapped = mf_format_bytes(domain->swapped_bytes.value);
    return mf_reason_new(MF_REASON_SWAPPED_IN, remedy,
                         "%s of its memory is in swap, and on this host %" G_GUINT64_FORMAT
                         " merged pages came back from there as copies in the last two sweeps",
                         swapped, all.value);
}
