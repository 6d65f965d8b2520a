/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A plot over time as an SVG element that stands inside HTML.
 *
 * It has no colours of its own: lines are of the classes "line-0", "line-1", ..., texts of "label",
 * the frame of "frame", so that the page's style decides, for light and for dark.  It is
 * well-formed XML, and all texts are escaped.
 */
#pragma once

#include <glib.h>

typedef struct {
    const char *label;
    const guint64 *agos_msec; /* before the right edge, falling */
    const guint64 *values;
    gsize points_count;
} MfPlotLine;

typedef struct {
    const char *title;
    const char *begin; /* what stands under the left edge, and under the right one */
    const char *end;
    guint64 period_msec; /* from edge to edge */
    guint64 step_msec;   /* usual time between two points */
    const MfPlotLine *lines;
    guint lines_count;
    char *(*format)(guint64 value); /* of the scale, which begins at 0; g_free() */
} MfPlot;

/* Appends the plot.  Points further apart than three steps, or three times what is usual in their
 * line, are not connected: nothing is known in between.  FALSE, and nothing is appended, when no
 * line has a point. */
gboolean mf_plot_append(GString *out, const MfPlot *plot);
