/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Points of a record's ring, twelve in a block, in as few bytes as they need.
 *
 * Most figures of most domains hardly change within twelve points.  So a block keeps, for each
 * figure, the least value and, for each point that was written, what it has more, in 0 to 4 bytes.
 * Nothing is rounded.  A block belongs to who has its pointer, and is freed with g_free().
 */
#pragma once

#include "mf-history.h"

#define MF_HISTORY_BLOCK_POINTS_N 12
#define MF_HISTORY_FIGURES_N      (MF_SERIES_N + 3)
#define MF_HISTORY_ABSENT         G_MAXUINT32
#define MF_HISTORY_ABSENT_DELTA   G_MININT32

/* The head, and each figure with 4 bytes a point. */
#define MF_HISTORY_BLOCK_BYTES_MAX                                                                 \
    (8 + MF_HISTORY_FIGURES_N * (1 + sizeof(guint32) * MF_HISTORY_BLOCK_POINTS_N))

typedef struct {
    guint32 covered_msec;        /* in which counted figures were counted */
    guint32 values[MF_SERIES_N]; /* levels in units, else counts (pages, usec) */
    guint32 saved_max_units;
    gint32 saved_change_units; /* while counting */
} MfHistorySlot;

typedef struct _MfHistoryBlock MfHistoryBlock;

/* A block that was read. */
typedef struct {
    guint32 number; /* of the block: that of a point, divided by the points of a block */
    guint16 written_mask;
    MfHistorySlot slots[MF_HISTORY_BLOCK_POINTS_N];
} MfHistoryPoints;

/* No point of a block that is NULL was written. */
void mf_history_block_read(const MfHistoryBlock *block, MfHistoryPoints *points);

/* The point of that number, or NULL: it was not written, or is of another block. */
const MfHistorySlot *mf_history_points_get(const MfHistoryPoints *points, guint32 bin);

/* Writes the point of that number, into what *block has, or a new block in its place when *block is
 * NULL or of other points. */
void mf_history_block_write(MfHistoryBlock **block, guint32 bin, const MfHistorySlot *slot);

/* At most MF_HISTORY_BLOCK_BYTES_MAX; 0 for NULL. */
gsize mf_history_block_get_size_bytes(const MfHistoryBlock *block);
