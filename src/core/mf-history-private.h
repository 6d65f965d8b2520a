/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What mf-history.c, which writes records, and mf-history-read.c share. */
#pragma once

#include "mf-history-block.h"

#define MF_HISTORY_UNIT_BYTES 4096 /* of levels: 32 bits reach to 16 TiB, and stay there */
#define MF_HISTORY_RINGS_N    3
#define MF_HISTORY_BLOCKS_N   (16 + 13 + 15)
#define MF_HISTORY_LEVELS_N   MF_SERIES_COW_BREAKS
#define MF_HISTORY_COUNTED_N  (MF_SERIES_N - MF_HISTORY_LEVELS_N)

/* The place of a block is its number modulo the ring's blocks, so that time passes without anything
 * being moved.  There is one more than its points fill, as these begin anywhere in a block. */
typedef struct {
    guint step_sec;
    guint points_n;
    guint first_block; /* in a record's */
    guint blocks_n;
} MfRing;

extern const MfRing mf_history_rings[MF_HISTORY_RINGS_N];

/* The point of a ring that is being made, with all the digits. */
typedef struct {
    guint32 bin; /* its number: time / step + 1; 0: there is none */
    guint32 intervals_count;
    guint64 covered_usec;
    guint64 sums[MF_SERIES_N];
    guint32 counts[MF_SERIES_N]; /* of rounds or intervals in which it was known */
    guint64 saved_max_bytes;
    gint64 saved_change_bytes;
    guint32 changes_count;
} MfHistoryOpen;

/* The counters of one round, from which the next one's differences are taken. */
typedef struct {
    gint64 taken_usec; /* 0: there is none */
    gint64 pid;
    MfU64 saved_bytes;
    MfU64 counters[MF_HISTORY_COUNTED_N];
} MfHistoryBase;

struct _MfRecord {
    char *uuid; /* NULL: the host */
    char *name;
    gint64 last_usec;
    gboolean is_gone;
    gboolean scan_cpu_is_estimated;
    MfHistoryBase base;
    MfHistoryOpen open[MF_HISTORY_RINGS_N];
    MfHistoryBlock *blocks[MF_HISTORY_BLOCKS_N]; /* NULL: nothing yet */
};
