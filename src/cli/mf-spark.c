/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sparklines; see mf-spark.h. */
#include "mf-spark.h"

#include "mf-units.h"

#define MARKS_N 8

static const char *const blocks[MARKS_N] = {"\u2581", "\u2582", "\u2583", "\u2584",
                                            "\u2585", "\u2586", "\u2587", "\u2588"};
static const char *const letters[MARKS_N] = {"_", ".", ":", "-", "=", "+", "*", "#"};

char *
mf_spark(const guint64 *agos_msec, const guint64 *values, gsize points_count, guint64 period_msec,
         guint columns, gboolean ascii)
{
    g_autofree guint64 *sums = g_new0(guint64, columns);
    g_autofree guint *counts = g_new0(guint, columns);
    g_autoptr(GString) out = g_string_new(NULL);
    guint64 max = 0;
    gboolean any = FALSE;

    for (gsize i = 0; i < points_count; i++) {
        guint64 into_msec = mf_sub_clamp(period_msec, agos_msec[i]);
        guint64 column = mf_mul_div(into_msec, columns, period_msec);

        column = MIN(column, (guint64)columns - 1);
        sums[column] = mf_add_sat(sums[column], values[i]);
        counts[column]++;
        any = TRUE;
    }
    for (guint i = 0; i < columns; i++) {
        sums[i] = counts[i] > 0 ? sums[i] / counts[i] : 0;
        max = MAX(max, sums[i]);
    }
    for (guint i = 0; any && i < columns; i++) {
        guint64 mark = mf_mul_div(sums[i], MARKS_N - 1, max);
        const char *text = ascii ? letters[mark] : blocks[mark];

        g_string_append(out, counts[i] > 0 ? text : " ");
    }
    return g_string_free(g_steal_pointer(&out), FALSE);
}
