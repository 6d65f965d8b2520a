/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arithmetic of saving; why it adds up is told in the header. */
#include "mf-account.h"

#include "mf-units.h"

MfU64
mf_account_saved_bytes(gboolean area_known, const MfArea *area, MfU64 zero_pages,
                       guint64 page_size_bytes)
{
    if (!area_known) {
        return MF_U64_ABSENT;
    }
    guint64 shared_bytes = mf_sub_clamp(area->resident_bytes, area->proportional_bytes);
    guint64 zero_bytes = zero_pages.known ? mf_mul_sat(zero_pages.value, page_size_bytes) : 0;

    return MF_U64(mf_add_sat(shared_bytes, zero_bytes));
}

MfU64
mf_account_host_saved_bytes(const MfHost *host)
{
    if (!host->pages_sharing_pages.known || host->page_size_bytes == 0) {
        return MF_U64_ABSENT;
    }
    guint64 zero_pages = host->zero_pages.known ? host->zero_pages.value : 0;
    guint64 saved_pages = mf_add_sat(host->pages_sharing_pages.value, zero_pages);

    return MF_U64(mf_mul_sat(saved_pages, host->page_size_bytes));
}

static guint64
zero_bytes(const MfDomain *domain)
{
    return domain->zero_bytes.known ? domain->zero_bytes.value : 0;
}

MfU64
mf_account_counted_bytes(const MfDomain *domain)
{
    if (!domain->profit_bytes.known || !domain->rmap_items_pages.known) {
        return MF_U64_ABSENT;
    }
    guint64 items_bytes = mf_mul_sat(domain->rmap_items_pages.value, MF_RMAP_ITEM_BYTES);
    gint64 profit_bytes = domain->profit_bytes.value;
    guint64 all_bytes = profit_bytes >= 0 ? mf_add_sat(items_bytes, (guint64)profit_bytes)
                                          : mf_sub_clamp(items_bytes, 0 - (guint64)profit_bytes);

    return MF_U64(mf_sub_clamp(all_bytes, zero_bytes(domain)));
}

/* The count may stay as it is while what was merged no longer leaves it, and what is merged anew
 * comes: both happen when ksmd comes by.  A page that it scans merges with one other at most. */
static guint64
most_merged_bytes(const MfDomain *domain)
{
    MfU64 scanned = domain->scanned_since_bytes;

    return scanned.known ? mf_add_sat(domain->merged_bytes.value, mf_mul_sat(scanned.value, 2))
                         : G_MAXUINT64;
}

MfU64
mf_account_move_cost_bytes(const MfDomain *domain)
{
    MfU64 counted = mf_account_counted_bytes(domain);
    guint64 merged_bytes = domain->merged_bytes.value;

    if (!domain->merged_bytes.known || !counted.known) {
        return domain->merged_bytes;
    }
    if (!domain->counted_bytes.known) {
        return MF_U64(MAX(merged_bytes, counted.value));
    }
    guint64 grown_bytes =
        mf_add_sat(merged_bytes, mf_sub_clamp(counted.value, domain->counted_bytes.value));
    return MF_U64(MAX(grown_bytes, MIN(counted.value, most_merged_bytes(domain))));
}

MfU64
mf_account_unmerge_cost_bytes(const MfDomain *domain)
{
    MfU64 counted = mf_account_counted_bytes(domain);
    MfU64 move = mf_account_move_cost_bytes(domain);
    guint64 most_bytes = mf_add_sat(move.value, zero_bytes(domain));

    if (!domain->saved_bytes.known) {
        return move.known ? MF_U64(most_bytes) : MF_U64_ABSENT;
    }
    if (!counted.known) {
        return domain->saved_bytes;
    }
    /* Un-merging takes no more than either of these. */
    guint64 counted_bytes = mf_add_sat(counted.value, zero_bytes(domain));
    return MF_U64(MAX(domain->saved_bytes.value,
                      move.known ? MIN(counted_bytes, most_bytes) : counted_bytes));
}

MfU64
mf_account_sum_error_permyriad(const MfSnapshot *snapshot)
{
    const MfHost *host = &snapshot->host;

    if (!host->saved_bytes.known || !host->other_saved_bytes.known) {
        return MF_U64_ABSENT;
    }

    guint64 sum_bytes = host->other_saved_bytes.value;
    for (guint i = 0; i < snapshot->domains->len; i++) {
        const MfDomain *domain = g_ptr_array_index(snapshot->domains, i);
        if (!domain->saved_bytes.known) {
            return MF_U64_ABSENT;
        }
        sum_bytes = mf_add_sat(sum_bytes, domain->saved_bytes.value);
    }

    guint64 host_bytes = host->saved_bytes.value;
    if (host_bytes == 0) {
        return MF_U64(sum_bytes == 0 ? 0 : MF_PERMYRIAD);
    }
    guint64 error_bytes = sum_bytes > host_bytes ? sum_bytes - host_bytes : host_bytes - sum_bytes;
    return MF_U64(mf_mul_div(error_bytes, MF_PERMYRIAD, host_bytes));
}
