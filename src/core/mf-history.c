/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rounds of accounts to records; mf-history-read.c reads them. */
#include <string.h>

#include "mf-history-private.h"
#include "mf-units.h"

const MfRing mf_history_rings[MF_HISTORY_RINGS_N] = {
    {20, 180, 0, 16},
    {600, 144, 16, 13},
    {3600, 168, 29, 15},
};

#define RECORD_BYTES_MAX (sizeof(MfRecord) + MF_HISTORY_BLOCKS_N * MF_HISTORY_BLOCK_BYTES_MAX)

G_STATIC_ASSERT(RECORD_BYTES_MAX *(MF_HISTORY_RECORDS_MAX + 1) <= MF_HISTORY_BYTES_MAX);
G_STATIC_ASSERT(RECORD_BYTES_MAX <= MF_HISTORY_RECORD_BYTES_MAX);

struct _MfHistory {
    MfRecord *host;
    GHashTable *records; /* uuid -> MfRecord */
    gint64 last_usec;
    guint unrecorded_count;
};

/* What one round says of a domain or the host. */
typedef struct {
    MfU64 levels_bytes[MF_HISTORY_LEVELS_N];
    guint64 interval_usec; /* since the round before; 0: counting starts anew */
    MfU64 counted[MF_HISTORY_COUNTED_N];
    MfI64 saved_change_bytes;
} Sample;

/* What ksmd did since the round before, to be shared out. */
typedef struct {
    gint64 previous_usec; /* of the round before */
    MfU64 cpu_usec;
    MfU64 scanned_pages;
    guint64 tracked_pages; /* of all domains, now */
} Scan;

static void
record_free(gpointer data)
{
    MfRecord *record = data;

    g_free(record->uuid);
    g_free(record->name);
    for (guint i = 0; i < MF_HISTORY_BLOCKS_N; i++) {
        g_free(record->blocks[i]);
    }
    g_free(record);
}

MfHistory *
mf_history_new(void)
{
    MfHistory *history = g_new0(MfHistory, 1);

    history->host = g_new0(MfRecord, 1);
    history->records = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, record_free);
    return history;
}

void
mf_history_free(MfHistory *history)
{
    if (history != NULL) {
        record_free(history->host);
        g_hash_table_unref(history->records);
        g_free(history);
    }
}

static guint32
to_units(guint64 bytes)
{
    guint64 units = mf_add_sat(bytes, MF_HISTORY_UNIT_BYTES / 2) / MF_HISTORY_UNIT_BYTES;

    return (guint32)MIN(units, MF_HISTORY_ABSENT - 1);
}

/* Adds a sample to the point that is being made. */
static void
open_add(MfHistoryOpen *open, const Sample *sample)
{
    for (guint i = 0; i < MF_HISTORY_LEVELS_N; i++) {
        if (sample->levels_bytes[i].known) {
            open->sums[i] = mf_add_sat(open->sums[i], sample->levels_bytes[i].value);
            open->counts[i]++;
        }
    }
    if (sample->levels_bytes[MF_SERIES_SAVED].known) {
        open->saved_max_bytes =
            MAX(open->saved_max_bytes, sample->levels_bytes[MF_SERIES_SAVED].value);
    }
    if (sample->interval_usec == 0) {
        return;
    }
    open->intervals_count++;
    open->covered_usec = mf_add_sat(open->covered_usec, sample->interval_usec);
    for (guint i = 0; i < MF_HISTORY_COUNTED_N; i++) {
        guint series = MF_HISTORY_LEVELS_N + i;

        if (sample->counted[i].known) {
            open->sums[series] = mf_add_sat(open->sums[series], sample->counted[i].value);
            open->counts[series]++;
        }
    }
    if (sample->saved_change_bytes.known) {
        open->saved_change_bytes += sample->saved_change_bytes.value;
        open->changes_count++;
    }
}

/* The point that is being made, as a ring keeps it.  What could not be counted all the time would
 * be too little: it is absent. */
static MfHistorySlot
open_close(const MfHistoryOpen *open)
{
    MfHistorySlot slot = {.saved_change_units = MF_HISTORY_ABSENT_DELTA};

    slot.covered_msec = (guint32)MIN(open->covered_usec / 1000, G_MAXUINT32);
    for (guint i = 0; i < MF_SERIES_N; i++) {
        slot.values[i] = MF_HISTORY_ABSENT;
        if (i < MF_HISTORY_LEVELS_N && open->counts[i] > 0) {
            slot.values[i] = to_units(open->sums[i] / open->counts[i]);
        } else if (i >= MF_HISTORY_LEVELS_N && open->counts[i] > 0 &&
                   open->counts[i] == open->intervals_count) {
            slot.values[i] = (guint32)MIN(open->sums[i], MF_HISTORY_ABSENT - 1);
        }
    }
    slot.saved_max_units =
        open->counts[MF_SERIES_SAVED] > 0 ? to_units(open->saved_max_bytes) : MF_HISTORY_ABSENT;
    if (open->changes_count > 0 && open->changes_count == open->intervals_count) {
        slot.saved_change_units = (gint32)CLAMP(open->saved_change_bytes / MF_HISTORY_UNIT_BYTES,
                                                MF_HISTORY_ABSENT_DELTA + 1, G_MAXINT32);
    }
    return slot;
}

static void
record_add(MfRecord *record, const Sample *sample, gint64 now_usec)
{
    for (guint i = 0; i < MF_HISTORY_RINGS_N; i++) {
        const MfRing *ring = &mf_history_rings[i];
        MfHistoryOpen *open = &record->open[i];
        MfHistorySlot slot;
        guint place = 0;
        guint32 bin = (guint32)(now_usec / G_USEC_PER_SEC / ring->step_sec) + 1;

        if (open->bin != bin) {
            memset(open, 0, sizeof(*open));
            open->bin = bin;
        }
        open_add(open, sample);
        slot = open_close(open);
        place = ring->first_block + bin / MF_HISTORY_BLOCK_POINTS_N % ring->blocks_n;
        mf_history_block_write(&record->blocks[place], bin, &slot);
    }
    record->last_usec = now_usec;
}

/* Fills what changed since the base of the round before, and makes this round the base. */
static void
count(MfRecord *record, const MfHistoryBase *now, gint64 previous_usec, Sample *sample)
{
    const MfHistoryBase *before = &record->base;
    gboolean follows =
        before->taken_usec > 0 && before->taken_usec == previous_usec && before->pid == now->pid;

    for (guint i = 0; i < MF_HISTORY_COUNTED_N; i++) {
        if (before->counters[i].known && now->counters[i].known) {
            follows &= before->counters[i].value <= now->counters[i].value;
        }
    }
    sample->interval_usec = follows ? (guint64)(now->taken_usec - before->taken_usec) : 0;
    for (guint i = 0; follows && i < MF_HISTORY_COUNTED_N; i++) {
        if (before->counters[i].known && now->counters[i].known) {
            sample->counted[i] = MF_U64(now->counters[i].value - before->counters[i].value);
        }
    }
    if (follows && before->saved_bytes.known && now->saved_bytes.known) {
        sample->saved_change_bytes =
            MF_I64((gint64)now->saved_bytes.value - (gint64)before->saved_bytes.value);
    }
    record->base = *now;
}

static MfU64
bytes_of(MfU64 pages, guint64 page_size_bytes)
{
    return pages.known && page_size_bytes > 0 ? MF_U64(mf_mul_sat(pages.value, page_size_bytes))
                                              : MF_U64_ABSENT;
}

static MfU64
sum_of(MfU64 a, MfU64 b)
{
    return a.known && b.known ? MF_U64(mf_add_sat(a.value, b.value)) : MF_U64_ABSENT;
}

static Scan
add_host(MfHistory *history, const MfSnapshot *snapshot)
{
    const MfHost *host = &snapshot->host;
    gint64 now_usec = snapshot->taken_usec;
    MfU64 mapped_pages = sum_of(host->pages_shared_pages, host->pages_sharing_pages);
    Sample sample = {
        .levels_bytes = {host->saved_bytes, bytes_of(mapped_pages, host->page_size_bytes),
                         bytes_of(host->zero_pages, host->page_size_bytes), MF_U64_ABSENT},
    };
    MfHistoryBase base = {
        .taken_usec = now_usec,
        .saved_bytes = host->saved_bytes,
        .counters = {host->cow_breaks_count, host->swap_in_copies_count, host->pages_scanned_pages,
                     host->ksmd_cpu_usec},
    };
    Scan scan = {.previous_usec = history->last_usec};

    count(history->host, &base, history->last_usec, &sample);
    record_add(history->host, &sample, now_usec);
    scan.scanned_pages = sample.counted[MF_SERIES_SCANNED - MF_HISTORY_LEVELS_N];
    scan.cpu_usec = sample.counted[MF_SERIES_SCAN_CPU - MF_HISTORY_LEVELS_N];
    for (guint i = 0; i < snapshot->domains->len; i++) {
        const MfDomain *domain = g_ptr_array_index(snapshot->domains, i);

        if (domain->rmap_items_pages.known) {
            scan.tracked_pages = mf_add_sat(scan.tracked_pages, domain->rmap_items_pages.value);
        }
    }
    return scan;
}

/* The domain's part of ksmd's CPU time: by the pages that were scanned of it, where the kernel
 * counts them; else by those that ksmd tracks for it. */
static MfU64
scan_cpu_usec(const Scan *scan, const MfDomain *domain, MfU64 scanned_pages, gboolean *estimated)
{
    *estimated = !domain->scanned_pages.known;
    if (!scan->cpu_usec.known) {
        return MF_U64_ABSENT;
    }
    if (!*estimated) {
        if (!scanned_pages.known || !scan->scanned_pages.known) {
            return MF_U64_ABSENT;
        }
        return MF_U64(
            MIN(mf_mul_div(scan->cpu_usec.value, scanned_pages.value, scan->scanned_pages.value),
                scan->cpu_usec.value));
    }
    if (!domain->rmap_items_pages.known || scan->tracked_pages == 0) {
        return MF_U64_ABSENT;
    }
    return MF_U64(
        mf_mul_div(scan->cpu_usec.value, domain->rmap_items_pages.value, scan->tracked_pages));
}

static void
add_domain(MfRecord *record, const MfDomain *domain, const Scan *scan, gint64 now_usec)
{
    MfU64 *cpu_usec = NULL;
    Sample sample = {
        .levels_bytes = {domain->saved_bytes, domain->merged_bytes, domain->zero_bytes,
                         domain->resident_bytes},
    };
    MfHistoryBase base = {
        .taken_usec = now_usec,
        .pid = domain->pid,
        .saved_bytes = domain->saved_bytes,
        .counters = {domain->cow_breaks_count, domain->swap_in_copies_count, domain->scanned_pages},
    };

    count(record, &base, scan->previous_usec, &sample);
    if (sample.interval_usec > 0) {
        cpu_usec = &sample.counted[MF_SERIES_SCAN_CPU - MF_HISTORY_LEVELS_N];
        *cpu_usec =
            scan_cpu_usec(scan, domain, sample.counted[MF_SERIES_SCANNED - MF_HISTORY_LEVELS_N],
                          &record->scan_cpu_is_estimated);
    }
    record_add(record, &sample, now_usec);
}

/* Makes room for one record; FALSE when all of them are of domains that run. */
static gboolean
make_room(MfHistory *history)
{
    const MfRecord *oldest = NULL;
    GHashTableIter iter;
    gpointer value = NULL;

    if (g_hash_table_size(history->records) < MF_HISTORY_RECORDS_MAX) {
        return TRUE;
    }
    g_hash_table_iter_init(&iter, history->records);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const MfRecord *record = value;

        if (record->is_gone && (oldest == NULL || record->last_usec < oldest->last_usec)) {
            oldest = record;
        }
    }
    return oldest != NULL && g_hash_table_remove(history->records, oldest->uuid);
}

/* The record of a domain; a new one only for a domain whose process is known.  NULL: none. */
static MfRecord *
obtain(MfHistory *history, const MfDomain *domain)
{
    MfRecord *record = g_hash_table_lookup(history->records, domain->uuid);

    if (record == NULL) {
        if (domain->pid <= 0) {
            return NULL;
        }
        if (!make_room(history)) {
            history->unrecorded_count++;
            return NULL;
        }
        record = g_new0(MfRecord, 1);
        record->uuid = g_strdup(domain->uuid);
        g_hash_table_insert(history->records, record->uuid, record);
    }
    if (g_strcmp0(record->name, domain->name) != 0) {
        g_free(record->name);
        record->name = g_strdup(domain->name);
    }
    record->is_gone = FALSE;
    return record;
}

/* Marks the records of domains that snapshot does not have, and drops those that are too old. */
static void
note_gone(MfHistory *history, const MfSnapshot *snapshot)
{
    g_autoptr(GHashTable) present = g_hash_table_new(g_str_hash, g_str_equal);
    GHashTableIter iter;
    gpointer value = NULL;

    for (guint i = 0; i < snapshot->domains->len; i++) {
        const MfDomain *domain = g_ptr_array_index(snapshot->domains, i);

        g_hash_table_add(present, domain->uuid);
    }
    g_hash_table_iter_init(&iter, history->records);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        MfRecord *record = value;
        gint64 age_usec = snapshot->taken_usec - record->last_usec;

        record->is_gone = !g_hash_table_contains(present, record->uuid);
        if (record->is_gone && age_usec > MF_HISTORY_PERIOD_MAX_SEC * (gint64)G_USEC_PER_SEC) {
            g_hash_table_iter_remove(&iter);
        }
    }
}

void
mf_history_add(MfHistory *history, const MfSnapshot *snapshot)
{
    Scan scan;

    if (snapshot->taken_usec <= history->last_usec) {
        return;
    }
    history->unrecorded_count = 0;
    note_gone(history, snapshot);
    scan = add_host(history, snapshot);
    for (guint i = 0; i < snapshot->domains->len; i++) {
        const MfDomain *domain = g_ptr_array_index(snapshot->domains, i);
        MfRecord *record = obtain(history, domain);

        if (record != NULL && domain->pid > 0) {
            add_domain(record, domain, &scan, snapshot->taken_usec);
        } else if (record != NULL) {
            record->base = (MfHistoryBase){0};
        }
    }
    history->last_usec = snapshot->taken_usec;
}

const MfRecord *
mf_history_get_host(const MfHistory *history)
{
    return history->host;
}

const MfRecord *
mf_history_find(const MfHistory *history, const char *uuid)
{
    return g_hash_table_lookup(history->records, uuid);
}

static int
compare_names(gconstpointer a, gconstpointer b)
{
    const MfRecord *first = *(const MfRecord *const *)a;
    const MfRecord *second = *(const MfRecord *const *)b;
    int by_name = strcmp(first->name, second->name);

    return by_name != 0 ? by_name : strcmp(first->uuid, second->uuid);
}

GPtrArray *
mf_history_list(const MfHistory *history)
{
    GPtrArray *list = g_ptr_array_new();
    GHashTableIter iter;
    gpointer record = NULL;

    g_hash_table_iter_init(&iter, history->records);
    while (g_hash_table_iter_next(&iter, NULL, &record)) {
        g_ptr_array_add(list, record);
    }
    g_ptr_array_sort(list, compare_names);
    return list;
}

guint
mf_history_get_unrecorded_count(const MfHistory *history)
{
    return history->unrecorded_count;
}

static gsize
size_bytes_of(const MfRecord *record)
{
    gsize size_bytes = sizeof(*record);

    for (guint i = 0; i < MF_HISTORY_BLOCKS_N; i++) {
        size_bytes += mf_history_block_get_size_bytes(record->blocks[i]);
    }
    return size_bytes;
}

gsize
mf_history_get_size_bytes(const MfHistory *history)
{
    gsize size_bytes = size_bytes_of(history->host);
    GHashTableIter iter;
    gpointer record = NULL;

    g_hash_table_iter_init(&iter, history->records);
    while (g_hash_table_iter_next(&iter, NULL, &record)) {
        size_bytes += size_bytes_of(record);
    }
    return size_bytes;
}
