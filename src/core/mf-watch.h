/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How far ksmd has come with each domain.
 *
 * A page is merged when ksmd finds it unchanged for the second time.  So a domain is through after
 * two sweeps over all memory that began after it came, which is when the third one has ended, since
 * the first was under way.  And what happened before the last two sweeps (pages written again,
 * copies from swap) has been made good by them.  Both are counted here from tick to tick.
 */
#pragma once

#include "mf-types.h"

/* Sweeps that have to end after a domain has come. */
#define MF_WATCH_SWEEPS 3

/* A counter now and when the last two sweeps ended; absent while it can't be read. */
typedef struct {
    MfU64 now_count;
    MfU64 last_count;
    MfU64 before_last_count;
} MfTally;

typedef struct {
    gint64 pid;
    gboolean fresh;           /* ksmd knew next to nothing of it when it was seen first */
    MfU64 first_sweep_number; /* full_scans then */
    guint64 base_pages;       /* scanned_pages of a fresh one then; else 0 */
    MfTally cow_breaks;
    MfTally swap_in_copies;
} MfWatched;

typedef struct {
    MfU64 sweep_number;        /* full_scans at the last tick */
    MfU64 sweep_scanned_pages; /* pages_scanned when that sweep had just begun; absent: not seen */
    gint64 rate_since_usec;    /* when the rate began to be measured; 0: not yet */
    MfU64 rate_scanned_pages;  /* pages_scanned then */
    MfU64 scan_rate_pages;     /* a second, lately; absent: not measured, or ksmd stands still */
    MfTally swap_in_copies;    /* of the whole host */
    GHashTable *domains;       /* uuid -> MfWatched */
} MfWatch;

void mf_watch_init(MfWatch *watch);
void mf_watch_clear(MfWatch *watch);

/* Makes of copy, which is not initialised, all that watch is. */
void mf_watch_copy(const MfWatch *watch, MfWatch *ret_copy);

/* Takes a tick's snapshot.  A domain is watched from when it has mergeable memory and its figures
 * are known until it has none.  Pure but for watch. */
void mf_watch_note(const MfSnapshot *snapshot, MfWatch *watch);

/* NULL when the domain is not watched. */
const MfWatched *mf_watch_find(const MfWatch *watch, const char *uuid);

/* Sweeps that have ended since the domain was seen first; absent when the kernel does not count
 * them. */
MfU64 mf_watch_sweeps_count(const MfWatch *watch, const MfWatched *watched);

/* What the counter rose by since the sweep before the last ended, or since it was seen first when
 * that is later; absent when it can't be read. */
MfU64 mf_tally_rise_count(const MfTally *tally);
