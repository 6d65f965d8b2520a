/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Points come out of a block as they went in, whatever their figures are. */
#include "../../src/core/mf-history-block.h"

#include <string.h>

#include "mf-test.h"

#define BLOCK     77u
#define FIRST_BIN (BLOCK * MF_HISTORY_BLOCK_POINTS_N)

/* A figure of that kind: of some bits, or one of the ends of the scale. */
static guint32
figure_of(GRand *random, guint kind)
{
    static const guint32 ends[] = {0, 1, 255, 256, 65535, 65536, G_MAXUINT32 - 1, G_MAXUINT32};

    switch (kind) {
    case 0:
        return 4711;
    case 1:
        return MF_HISTORY_ABSENT;
    case 2:
        return ends[g_rand_int_range(random, 0, G_N_ELEMENTS(ends))];
    case 3:
        return g_rand_int(random);
    default:
        return 3000000000U + (g_rand_int(random) >> (kind % 32));
    }
}

static MfHistorySlot
slot_of(GRand *random, guint kind)
{
    MfHistorySlot slot = {.covered_msec = figure_of(random, kind)};

    for (guint i = 0; i < MF_SERIES_N; i++) {
        slot.values[i] = figure_of(random, kind);
    }
    slot.saved_max_units = figure_of(random, kind);
    slot.saved_change_units = kind == 1 ? MF_HISTORY_ABSENT_DELTA : (gint32)figure_of(random, kind);
    return slot;
}

static void
test_as_they_went_in(void)
{
    g_autoptr(GRand) random = g_rand_new_with_seed(1);

    for (guint round = 0; round < 4000; round++) {
        MfHistorySlot wanted[MF_HISTORY_BLOCK_POINTS_N];
        gboolean written[MF_HISTORY_BLOCK_POINTS_N] = {FALSE};
        g_autofree MfHistoryBlock *block = NULL;
        MfHistoryPoints points;

        for (guint i = 0; i < 20; i++) {
            guint place = (guint)g_rand_int_range(random, 0, MF_HISTORY_BLOCK_POINTS_N);

            wanted[place] = slot_of(random, round % 40 < 32 ? round % 40 : i % 5);
            written[place] = TRUE;
            mf_history_block_write(&block, FIRST_BIN + place, &wanted[place]);
        }
        g_assert_cmpuint(mf_history_block_get_size_bytes(block), <=, MF_HISTORY_BLOCK_BYTES_MAX);
        mf_history_block_read(block, &points);
        for (guint i = 0; i < MF_HISTORY_BLOCK_POINTS_N; i++) {
            const MfHistorySlot *slot = mf_history_points_get(&points, FIRST_BIN + i);

            g_assert_cmpint(slot != NULL, ==, written[i]);
            g_assert_true(slot == NULL || memcmp(slot, &wanted[i], sizeof(*slot)) == 0);
        }
    }
}

/* A later block in the place of an earlier one has nothing of it. */
static void
test_in_place(void)
{
    g_autoptr(GRand) random = g_rand_new_with_seed(2);
    g_autofree MfHistoryBlock *block = NULL;
    MfHistorySlot slot = slot_of(random, 3);
    MfHistoryPoints points;

    mf_history_block_read(NULL, &points);
    g_assert_null(mf_history_points_get(&points, 0));
    mf_history_block_write(&block, FIRST_BIN, &slot);
    mf_history_block_write(&block, FIRST_BIN + 1, &slot);
    mf_history_block_write(&block, 2 * FIRST_BIN + 1, &slot);
    mf_history_block_read(block, &points);
    g_assert_null(mf_history_points_get(&points, FIRST_BIN));
    g_assert_null(mf_history_points_get(&points, FIRST_BIN + 1));
    g_assert_null(mf_history_points_get(&points, 2 * FIRST_BIN));
    g_assert_nonnull(mf_history_points_get(&points, 2 * FIRST_BIN + 1));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/history-block/as-they-went-in", test_as_they_went_in);
    g_test_add_func("/history-block/in-place", test_in_place);
    return g_test_run();
}
