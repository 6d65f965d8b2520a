/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was saved, and what it cost, over the last hour, day and week.
 *
 * Each round of accounts adds one sample for each domain and one for the host.  A record keeps them
 * in three rings of points, one a resolution: 20 s for an hour, 10 min for a day, 1 h for a week.
 * A record grows as they fill, by what its figures change (mf-history-block.h): to 4 KiB or so for
 * a domain at rest, and never beyond MF_HISTORY_RECORD_BYTES_MAX.  All records together stay below
 * MF_HISTORY_BYTES_MAX.  Domains that are gone are kept for a week, or until their room is needed
 * for one that runs; a domain for which there is no room at all is not recorded and is counted.
 *
 * Levels (saved, merged, ...) are the mean over the rounds of a point.  Counted figures are the
 * differences between rounds that follow one another.  Where a counter went back, where the PID is
 * another one, and after a round without the domain, counting starts anew.  A figure that was
 * absent in a round is absent from the point, or does not count in the mean.
 *
 * Pure: time is the snapshots' monotonic time.  For one thread.
 */
#pragma once

#include "mf-types.h"

#define MF_HISTORY_RECORDS_MAX      640 /* of domains, those that are gone included */
#define MF_HISTORY_RECORD_BYTES_MAX (25 * 1024)
#define MF_HISTORY_BYTES_MAX        (16 * 1024 * 1024)
#define MF_HISTORY_PERIOD_MIN_SEC   60
#define MF_HISTORY_PERIOD_MAX_SEC   (7 * 24 * 3600)

typedef enum {
    /* Levels, of a domain: as in MfDomain; of the host: merged is what is mapped to merged pages,
     * and resident is not known. */
    MF_SERIES_SAVED,
    MF_SERIES_MERGED,
    MF_SERIES_ZERO,
    MF_SERIES_RESIDENT,
    /* Counted. */
    MF_SERIES_COW_BREAKS,
    MF_SERIES_SWAP_IN_COPIES,
    MF_SERIES_SCANNED,
    MF_SERIES_SCAN_CPU,
    MF_SERIES_N
} MfSeries;

typedef struct _MfHistory MfHistory;
typedef struct _MfRecord MfRecord;

/* A point of a series; its unit is in the name of the series (mf_series_to_string()). */
typedef struct {
    guint64 ago_usec; /* before now: the middle of the time that it is about */
    guint64 value;
} MfHistoryPoint;

/* What a period comes to.  Counts are of the time in which they could be counted. */
typedef struct {
    guint points_count;
    MfU64 saved_bytes; /* in the last round; absent for a domain that is gone */
    MfU64 saved_average_bytes;
    MfU64 saved_max_bytes; /* of a single round */
    MfI64 saved_trend_bytes_per_hour;
    MfU64 cow_breaks_count;
    MfU64 cow_breaks_per_1000_sec;
    MfU64 swap_in_copies_count;
    MfU64 scanned_pages;
    MfU64 scan_cpu_usec;
    MfI64 gain_bytes_per_cpu_sec;   /* by how much saved grew, for each second of scan_cpu */
    MfU64 saved_bytes_per_cpu_sec;  /* what was saved on average, for each of them */
    gboolean scan_cpu_is_estimated; /* by the pages that ksmd tracks, for want of a counter */
} MfHistorySummary;

MfHistory *mf_history_new(void);
void mf_history_free(MfHistory *history);

/* Adds a round of accounts.  One that is not later than the last is left out. */
void mf_history_add(MfHistory *history, const MfSnapshot *snapshot);

/* Records belong to the history, until the next mf_history_add().  The host's is always there; a
 * domain's is NULL when there is none. */
const MfRecord *mf_history_get_host(const MfHistory *history);
const MfRecord *mf_history_find(const MfHistory *history, const char *uuid);

/* All records of domains (of const MfRecord), sorted by name.  The caller owns the array. */
GPtrArray *mf_history_list(const MfHistory *history);

/* Domains of the last round for which there was no room. */
guint mf_history_get_unrecorded_count(const MfHistory *history);

/* What the records take, names apart. */
gsize mf_history_get_size_bytes(const MfHistory *history);

const char *mf_record_get_uuid(const MfRecord *record);
const char *mf_record_get_name(const MfRecord *record); /* of its last round */

/* When the record last took something, and whether the last round was without the domain. */
gint64 mf_record_get_last_usec(const MfRecord *record);
gboolean mf_record_is_gone(const MfRecord *record);

/* The time that one point is about, in the finest ring that goes back for period_sec, which is
 * MF_HISTORY_PERIOD_MIN_SEC to MF_HISTORY_PERIOD_MAX_SEC. */
guint mf_history_step_sec(guint period_sec);

/* What the last period_sec before now_usec come to. */
MfHistorySummary mf_record_summarise(const MfRecord *record, gint64 now_usec, guint period_sec);

/* The points of one series in that time, oldest first; those that are absent are left out.  Of
 * MfHistoryPoint; the caller owns it. */
GArray *mf_record_get_series(const MfRecord *record, MfSeries series, gint64 now_usec,
                             guint period_sec);

/* "saved_bytes", "cow_breaks_per_1000_sec", ...: names and units of the points' values. */
const char *mf_series_to_string(MfSeries series);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfHistory, mf_history_free)
