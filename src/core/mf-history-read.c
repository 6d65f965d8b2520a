/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records to series and summaries; mf-history.c writes them. */
#include "mf-history-private.h"
#include "mf-text.h"
#include "mf-units.h"

#define MSEC_PER_SEC 1000

static const char *const series_names[] = {
    [MF_SERIES_SAVED] = "saved_bytes",
    [MF_SERIES_MERGED] = "merged_bytes",
    [MF_SERIES_ZERO] = "zero_bytes",
    [MF_SERIES_RESIDENT] = "resident_bytes",
    [MF_SERIES_COW_BREAKS] = "cow_breaks_per_1000_sec",
    [MF_SERIES_SWAP_IN_COPIES] = "swap_in_copies_per_1000_sec",
    [MF_SERIES_SCANNED] = "scanned_pages_per_sec",
    [MF_SERIES_SCAN_CPU] = "scan_cpu_usec_per_sec",
};

/* A value for each of so many seconds. */
static const guint rate_secs[] = {
    [MF_SERIES_COW_BREAKS] = 1000,
    [MF_SERIES_SWAP_IN_COPIES] = 1000,
    [MF_SERIES_SCANNED] = 1,
    [MF_SERIES_SCAN_CPU] = 1,
};

/* Walks the points of a ring that fall into a time. */
typedef struct {
    const MfRecord *record;
    const MfRing *ring;
    gint64 now_usec;
    guint32 bin;
    guint32 last_bin;
    MfHistoryPoints points; /* of the block of the last bin that was looked for */
} Walk;

/* Sums over the points of a period. */
typedef struct {
    guint64 sums[MF_SERIES_N];
    guint64 covered_msec[MF_SERIES_N];
    guint counts[MF_SERIES_N];
    MfU64 saved_max_units;
    guint64 gain_cpu_usec;
    gint64 gain_units;
} Sums;

static const MfRing *
ring_for(guint period_sec)
{
    guint i = 0;

    while (i + 1 < MF_HISTORY_RINGS_N &&
           mf_history_rings[i].step_sec * mf_history_rings[i].points_n < period_sec) {
        i++;
    }
    return &mf_history_rings[i];
}

guint
mf_history_step_sec(guint period_sec)
{
    return ring_for(period_sec)->step_sec;
}

static Walk
walk_begin(const MfRecord *record, gint64 now_usec, guint period_sec)
{
    const MfRing *ring = ring_for(period_sec);
    gint64 now_sec = now_usec / G_USEC_PER_SEC;
    gint64 begin_sec = MAX(now_sec - (gint64)period_sec, 0);
    guint32 bin = (guint32)(begin_sec / ring->step_sec) + 1;
    guint32 last_bin = (guint32)(now_sec / ring->step_sec) + 1;

    /* A whole ring's time begins in the middle of one point and ends in that of another. */
    if (last_bin - bin >= ring->points_n) {
        bin = last_bin - ring->points_n + 1;
    }
    return (Walk){
        .record = record,
        .ring = ring,
        .now_usec = now_usec,
        .bin = bin,
        .last_bin = last_bin,
    };
}

static const MfHistorySlot *
walk_look(Walk *walk, guint32 bin)
{
    guint32 number = bin / MF_HISTORY_BLOCK_POINTS_N;
    guint place = walk->ring->first_block + number % walk->ring->blocks_n;
    const MfHistoryBlock *block = walk->record->blocks[place];

    if (walk->points.number != number || walk->points.written_mask == 0) {
        mf_history_block_read(block, &walk->points);
    }
    return mf_history_points_get(&walk->points, bin);
}

/* The next point that was written, and how long ago the middle of its time was; NULL at the end. */
static const MfHistorySlot *
walk_next(Walk *walk, guint64 *ret_ago_usec)
{
    while (walk->bin <= walk->last_bin) {
        guint32 bin = walk->bin++;
        const MfHistorySlot *slot = walk_look(walk, bin);
        gint64 step_usec = (gint64)walk->ring->step_sec * G_USEC_PER_SEC;
        gint64 end_usec = MIN(bin * step_usec, walk->record->last_usec);
        gint64 middle_usec = (bin * step_usec - step_usec + end_usec) / 2;

        if (slot != NULL) {
            *ret_ago_usec = (guint64)MAX(walk->now_usec - middle_usec, 0);
            return slot;
        }
    }
    return NULL;
}

GArray *
mf_record_get_series(const MfRecord *record, MfSeries series, gint64 now_usec, guint period_sec)
{
    GArray *points = g_array_new(FALSE, FALSE, sizeof(MfHistoryPoint));
    Walk walk = walk_begin(record, now_usec, period_sec);
    const MfHistorySlot *slot = NULL;
    MfHistoryPoint point;

    g_return_val_if_fail((guint)series < MF_SERIES_N, points);
    while ((slot = walk_next(&walk, &point.ago_usec)) != NULL) {
        guint32 value = slot->values[series];

        if (value == MF_HISTORY_ABSENT) {
            continue;
        }
        if (series < MF_SERIES_COW_BREAKS) {
            point.value = (guint64)value * MF_HISTORY_UNIT_BYTES;
        } else if (slot->covered_msec > 0) {
            point.value =
                mf_mul_div((guint64)value * rate_secs[series], MSEC_PER_SEC, slot->covered_msec);
        } else {
            continue;
        }
        g_array_append_val(points, point);
    }
    return points;
}

static void
sums_add(Sums *sums, const MfHistorySlot *slot)
{
    for (guint i = 0; i < MF_SERIES_N; i++) {
        if (slot->values[i] != MF_HISTORY_ABSENT) {
            sums->sums[i] += slot->values[i];
            sums->covered_msec[i] += slot->covered_msec;
            sums->counts[i]++;
        }
    }
    if (slot->saved_max_units != MF_HISTORY_ABSENT) {
        sums->saved_max_units = MF_U64(MAX(sums->saved_max_units.value, slot->saved_max_units));
    }
    if (slot->saved_change_units != MF_HISTORY_ABSENT_DELTA &&
        slot->values[MF_SERIES_SCAN_CPU] != MF_HISTORY_ABSENT) {
        sums->gain_units += slot->saved_change_units;
        sums->gain_cpu_usec += slot->values[MF_SERIES_SCAN_CPU];
    }
}

static MfU64
counted(const Sums *sums, MfSeries series)
{
    return sums->counts[series] > 0 ? MF_U64(sums->sums[series]) : MF_U64_ABSENT;
}

/* a * b / c of a signed a, saturating. */
static gint64
signed_mul_div(gint64 a, guint64 b, guint64 c)
{
    guint64 size = MIN(mf_mul_div((guint64)ABS(a), b, c), (guint64)G_MAXINT64);

    return a < 0 ? -(gint64)size : (gint64)size;
}

static MfHistoryPoint
mean_of(const GArray *points, guint first, guint count)
{
    MfHistoryPoint mean = {0, 0};

    for (guint i = first; i < first + count; i++) {
        const MfHistoryPoint *point = &g_array_index(points, MfHistoryPoint, i);

        mean.ago_usec += point->ago_usec;
        mean.value += point->value;
    }
    mean.ago_usec /= count;
    mean.value /= count;
    return mean;
}

/* From the mean of the first half of the points to that of the second: a single peak at either end
 * does not make a trend. */
static MfI64
trend_of(const GArray *points)
{
    guint half = points->len / 2;
    MfHistoryPoint before;
    MfHistoryPoint after;

    if (half == 0) {
        return MF_I64_ABSENT;
    }
    before = mean_of(points, 0, half);
    after = mean_of(points, points->len - half, half);
    if (before.ago_usec <= after.ago_usec) {
        return MF_I64_ABSENT;
    }
    return MF_I64(signed_mul_div((gint64)after.value - (gint64)before.value,
                                 3600 * (guint64)G_USEC_PER_SEC, before.ago_usec - after.ago_usec));
}

MfHistorySummary
mf_record_summarise(const MfRecord *record, gint64 now_usec, guint period_sec)
{
    g_autoptr(GArray) saved = mf_record_get_series(record, MF_SERIES_SAVED, now_usec, period_sec);
    MfHistorySummary summary = {.scan_cpu_is_estimated = record->scan_cpu_is_estimated};
    Walk walk = walk_begin(record, now_usec, period_sec);
    const MfHistorySlot *slot = NULL;
    guint64 ago_usec = 0;
    Sums sums = {0};

    while ((slot = walk_next(&walk, &ago_usec)) != NULL) {
        sums_add(&sums, slot);
        summary.points_count++;
    }
    if (!record->is_gone) {
        summary.saved_bytes = record->base.saved_bytes;
    }
    if (sums.counts[MF_SERIES_SAVED] > 0) {
        summary.saved_average_bytes = MF_U64(mf_mul_div(
            sums.sums[MF_SERIES_SAVED], MF_HISTORY_UNIT_BYTES, sums.counts[MF_SERIES_SAVED]));
        summary.saved_max_bytes = MF_U64(sums.saved_max_units.value * MF_HISTORY_UNIT_BYTES);
    }
    summary.saved_trend_bytes_per_hour = trend_of(saved);
    summary.cow_breaks_count = counted(&sums, MF_SERIES_COW_BREAKS);
    summary.swap_in_copies_count = counted(&sums, MF_SERIES_SWAP_IN_COPIES);
    summary.scanned_pages = counted(&sums, MF_SERIES_SCANNED);
    summary.scan_cpu_usec = counted(&sums, MF_SERIES_SCAN_CPU);
    if (sums.covered_msec[MF_SERIES_COW_BREAKS] > 0) {
        summary.cow_breaks_per_1000_sec =
            MF_U64(mf_mul_div(sums.sums[MF_SERIES_COW_BREAKS], 1000 * MSEC_PER_SEC,
                              sums.covered_msec[MF_SERIES_COW_BREAKS]));
    }
    if (sums.gain_cpu_usec > 0) {
        summary.gain_bytes_per_cpu_sec = MF_I64(signed_mul_div(
            sums.gain_units * MF_HISTORY_UNIT_BYTES, G_USEC_PER_SEC, sums.gain_cpu_usec));
    }
    if (summary.saved_average_bytes.known && summary.scan_cpu_usec.value > 0) {
        summary.saved_bytes_per_cpu_sec = MF_U64(mf_mul_div(
            summary.saved_average_bytes.value, G_USEC_PER_SEC, summary.scan_cpu_usec.value));
    }
    return summary;
}

const char *
mf_record_get_uuid(const MfRecord *record)
{
    return record->uuid;
}

const char *
mf_record_get_name(const MfRecord *record)
{
    return record->name;
}

gint64
mf_record_get_last_usec(const MfRecord *record)
{
    return record->last_usec;
}

gboolean
mf_record_is_gone(const MfRecord *record)
{
    return record->is_gone;
}

const char *
mf_series_to_string(MfSeries series)
{
    return mf_text_of(series_names, G_N_ELEMENTS(series_names), series);
}
