/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each figure is a byte that tells two widths, the least value in the one, and the differences from
 * it in the other. */
#include "mf-history-block.h"

#include <string.h>

#define WIDTH_MAX    4
#define WIDTH_ABSENT 5 /* of a least value: it is MF_HISTORY_ABSENT */

struct _MfHistoryBlock {
    guint32 number;
    guint16 written_mask;
    guint16 bytes_n;
    guint8 bytes[];
};

G_STATIC_ASSERT(G_STRUCT_OFFSET(MfHistoryBlock, bytes) == 8);
G_STATIC_ASSERT(MF_HISTORY_BLOCK_POINTS_N <= 16);
G_STATIC_ASSERT(sizeof(MfHistorySlot) == sizeof(guint32) * MF_HISTORY_FIGURES_N);

/* The last figure has a sign: small ones of either sign make small numbers, and the mark of what is
 * absent the greatest. */
static guint32
figure_get(const MfHistorySlot *slot, guint i)
{
    guint32 change = (guint32)slot->saved_change_units;

    if (i == 0) {
        return slot->covered_msec;
    }
    if (i <= MF_SERIES_N) {
        return slot->values[i - 1];
    }
    if (i == MF_SERIES_N + 1) {
        return slot->saved_max_units;
    }
    return change << 1 ^ (slot->saved_change_units < 0 ? G_MAXUINT32 : 0);
}

static void
figure_set(MfHistorySlot *slot, guint i, guint32 value)
{
    if (i == 0) {
        slot->covered_msec = value;
    } else if (i <= MF_SERIES_N) {
        slot->values[i - 1] = value;
    } else if (i == MF_SERIES_N + 1) {
        slot->saved_max_units = value;
    } else {
        slot->saved_change_units = (gint32)(value >> 1 ^ ((value & 1) != 0 ? G_MAXUINT32 : 0));
    }
}

static guint
width_of(guint32 value)
{
    return value == 0 ? 0 : (guint)g_bit_storage(value) / 8 + (g_bit_storage(value) % 8 != 0);
}

static guint8 *
put(guint8 *to, guint32 value, guint width)
{
    for (guint i = 0; i < width; i++) {
        *to++ = (guint8)(value >> 8 * i);
    }
    return to;
}

static guint32
take(const guint8 **from, guint width)
{
    guint32 value = 0;

    for (guint i = 0; i < width; i++) {
        value |= (guint32) * (*from)++ << 8 * i;
    }
    return value;
}

static gboolean
is_written(const MfHistoryPoints *points, guint place)
{
    return (points->written_mask >> place & 1) != 0;
}

static guint8 *
put_figure(guint8 *to, const MfHistoryPoints *points, guint figure)
{
    guint32 least = G_MAXUINT32;
    guint32 most = 0;
    guint least_width = 0;
    guint width = 0;

    for (guint i = 0; i < MF_HISTORY_BLOCK_POINTS_N; i++) {
        if (is_written(points, i)) {
            least = MIN(least, figure_get(&points->slots[i], figure));
            most = MAX(most, figure_get(&points->slots[i], figure));
        }
    }
    width = width_of(most - least);
    if (width == WIDTH_MAX) {
        least = 0;
    }
    least_width = least == MF_HISTORY_ABSENT ? WIDTH_ABSENT : width_of(least);
    *to++ = (guint8)(least_width << 4 | width);
    to = put(to, least, least_width == WIDTH_ABSENT ? 0 : least_width);
    for (guint i = 0; i < MF_HISTORY_BLOCK_POINTS_N; i++) {
        if (is_written(points, i)) {
            to = put(to, figure_get(&points->slots[i], figure) - least, width);
        }
    }
    return to;
}

void
mf_history_block_read(const MfHistoryBlock *block, MfHistoryPoints *points)
{
    const guint8 *from = NULL;

    points->number = 0;
    points->written_mask = 0;
    if (block == NULL) {
        return;
    }
    points->number = block->number;
    points->written_mask = block->written_mask;
    from = block->bytes;
    for (guint figure = 0; figure < MF_HISTORY_FIGURES_N; figure++) {
        guint least_width = *from >> 4;
        guint width = *from++ & 15;
        guint32 least = least_width == WIDTH_ABSENT ? MF_HISTORY_ABSENT : take(&from, least_width);

        for (guint i = 0; i < MF_HISTORY_BLOCK_POINTS_N; i++) {
            if (is_written(points, i)) {
                figure_set(&points->slots[i], figure, least + take(&from, width));
            }
        }
    }
}

const MfHistorySlot *
mf_history_points_get(const MfHistoryPoints *points, guint32 bin)
{
    guint place = bin % MF_HISTORY_BLOCK_POINTS_N;

    if (points->number != bin / MF_HISTORY_BLOCK_POINTS_N || !is_written(points, place)) {
        return NULL;
    }
    return &points->slots[place];
}

void
mf_history_block_write(MfHistoryBlock **block, guint32 bin, const MfHistorySlot *slot)
{
    guint8 bytes[MF_HISTORY_BLOCK_BYTES_MAX];
    guint place = bin % MF_HISTORY_BLOCK_POINTS_N;
    guint8 *to = bytes;
    MfHistoryPoints points;
    gsize bytes_n = 0;

    mf_history_block_read(*block, &points);
    if (points.number != bin / MF_HISTORY_BLOCK_POINTS_N) {
        points.number = bin / MF_HISTORY_BLOCK_POINTS_N;
        points.written_mask = 0;
    }
    points.written_mask |= (guint16)(1U << place);
    points.slots[place] = *slot;
    for (guint figure = 0; figure < MF_HISTORY_FIGURES_N; figure++) {
        to = put_figure(to, &points, figure);
    }
    bytes_n = (gsize)(to - bytes);
    if (*block == NULL || (*block)->bytes_n != bytes_n) {
        *block = g_realloc(*block, sizeof(MfHistoryBlock) + bytes_n);
    }
    (*block)->number = points.number;
    (*block)->written_mask = points.written_mask;
    (*block)->bytes_n = (guint16)bytes_n;
    memcpy((*block)->bytes, bytes, bytes_n);
}

gsize
mf_history_block_get_size_bytes(const MfHistoryBlock *block)
{
    return block == NULL ? 0 : sizeof(MfHistoryBlock) + block->bytes_n;
}
