/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-watch.h"

#include "mf-units.h"

#define RATE_WINDOW_USEC (5 * G_USEC_PER_SEC) /* shorter ones show ksmd's sleep, not its pace */

void
mf_watch_init(MfWatch *watch)
{
    *watch = (MfWatch){0};
    watch->domains = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

void
mf_watch_clear(MfWatch *watch)
{
    g_clear_pointer(&watch->domains, g_hash_table_unref);
}

void
mf_watch_copy(const MfWatch *watch, MfWatch *ret_copy)
{
    GHashTableIter iter;
    gpointer uuid;
    gpointer watched;

    mf_watch_init(ret_copy);
    GHashTable *domains = ret_copy->domains;
    *ret_copy = *watch;
    ret_copy->domains = domains;
    g_hash_table_iter_init(&iter, watch->domains);
    while (g_hash_table_iter_next(&iter, &uuid, &watched)) {
        g_hash_table_insert(domains, g_strdup(uuid), g_memdup2(watched, sizeof(MfWatched)));
    }
}

/* Counters that fall are another process's, or begin anew. */
static void
note_count(MfTally *tally, MfU64 count, guint64 ended_sweeps_count)
{
    if (!count.known || !tally->now_count.known || count.value < tally->now_count.value) {
        *tally = (MfTally){count, count, count};
        return;
    }
    tally->now_count = count;
    if (ended_sweeps_count > 0) {
        tally->before_last_count = ended_sweeps_count > 1 ? count : tally->last_count;
        tally->last_count = count;
    }
}

MfU64
mf_tally_rise_count(const MfTally *tally)
{
    return tally->now_count.known
               ? MF_U64(mf_sub_clamp(tally->now_count.value, tally->before_last_count.value))
               : MF_U64_ABSENT;
}

static void
measure_rate(const MfSnapshot *snapshot, MfWatch *watch)
{
    const MfHost *host = &snapshot->host;
    gint64 interval_usec = snapshot->taken_usec - watch->rate_since_usec;
    MfU64 now = host->pages_scanned_pages;
    MfU64 before = watch->rate_scanned_pages;
    gboolean running = host->run.known && host->run.value == 1;
    gboolean begun = watch->rate_since_usec != 0 && now.known && before.known &&
                     now.value >= before.value && interval_usec >= 0;

    if (running && begun && interval_usec < RATE_WINDOW_USEC) {
        return;
    }
    watch->scan_rate_pages = MF_U64_ABSENT;
    if (running && begun && now.value > before.value) {
        watch->scan_rate_pages =
            MF_U64(mf_mul_div(now.value - before.value, G_USEC_PER_SEC, (guint64)interval_usec));
    }
    watch->rate_since_usec = running ? snapshot->taken_usec : 0;
    watch->rate_scanned_pages = now;
}

/* Sweeps that have ended since the last tick. */
static guint64
note_sweep(const MfHost *host, MfWatch *watch)
{
    MfU64 before = watch->sweep_number;

    watch->sweep_number = host->full_scans_count;
    if (!before.known || !host->full_scans_count.known ||
        host->full_scans_count.value < before.value) {
        watch->sweep_scanned_pages = MF_U64_ABSENT;
        return 0;
    }
    guint64 ended_count = host->full_scans_count.value - before.value;
    if (ended_count > 0) {
        watch->sweep_scanned_pages = host->pages_scanned_pages;
    }
    return ended_count;
}

/* Whether ksmd has as good as nothing on record of memory that is there. */
static gboolean
is_new_to_ksmd(const MfDomain *domain, guint64 page_size_bytes)
{
    guint64 resident_pages = domain->resident_bytes.value / page_size_bytes;

    return domain->rmap_items_pages.value <= resident_pages / 2;
}

static void
note_domain(const MfHost *host, const MfDomain *domain, guint64 ended_count, MfWatch *watch)
{
    MfWatched *watched = g_hash_table_lookup(watch->domains, domain->uuid);
    gboolean gone = domain->mergeable_bytes.known && domain->mergeable_bytes.value == 0;
    gboolean known = domain->pid != 0 && domain->mergeable_bytes.known &&
                     domain->resident_bytes.known && domain->rmap_items_pages.known &&
                     host->page_size_bytes > 0;

    if (watched != NULL && (gone || (domain->pid != 0 && watched->pid != domain->pid))) {
        g_hash_table_remove(watch->domains, domain->uuid);
        watched = NULL;
    }
    if (watched == NULL) {
        if (gone || !known) {
            return;
        }
        watched = g_new0(MfWatched, 1);
        watched->pid = domain->pid;
        watched->fresh = is_new_to_ksmd(domain, host->page_size_bytes);
        watched->first_sweep_number = host->full_scans_count;
        watched->base_pages = watched->fresh ? domain->scanned_pages.value : 0;
        g_hash_table_insert(watch->domains, g_strdup(domain->uuid), watched);
    }
    note_count(&watched->cow_breaks, domain->cow_breaks_count, ended_count);
    note_count(&watched->swap_in_copies, domain->swap_in_copies_count, ended_count);
}

void
mf_watch_note(const MfSnapshot *snapshot, MfWatch *watch)
{
    guint64 ended_count = note_sweep(&snapshot->host, watch);

    measure_rate(snapshot, watch);
    note_count(&watch->swap_in_copies, snapshot->host.swap_in_copies_count, ended_count);
    mf_snapshot_drop_gone(snapshot, watch->domains);
    for (guint i = 0; i < snapshot->domains->len; i++) {
        note_domain(&snapshot->host, g_ptr_array_index(snapshot->domains, i), ended_count, watch);
    }
}

const MfWatched *
mf_watch_find(const MfWatch *watch, const char *uuid)
{
    return g_hash_table_lookup(watch->domains, uuid);
}

MfU64
mf_watch_sweeps_count(const MfWatch *watch, const MfWatched *watched)
{
    if (!watch->sweep_number.known || !watched->first_sweep_number.known) {
        return MF_U64_ABSENT;
    }
    return MF_U64(mf_sub_clamp(watch->sweep_number.value, watched->first_sweep_number.value));
}
