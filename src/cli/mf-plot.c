/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plots as SVG; see mf-plot.h. */
#include "mf-plot.h"

#include "mf-text.h"
#include "mf-units.h"

/* In units of the picture, which the page scales. */
#define WIDTH        720
#define HEIGHT       180
#define LEFT         90
#define RIGHT        10
#define TOP          26
#define BOTTOM       24
#define INNER_WIDTH  (WIDTH - LEFT - RIGHT)
#define INNER_HEIGHT (HEIGHT - TOP - BOTTOM)
#define GAP_STEPS    3
#define TEXT_BYTES   256

static void
append_text(GString *out, guint x, guint y, const char *anchor, const char *text)
{
    g_autofree char *clean = mf_text_printable(text, TEXT_BYTES);
    g_autofree char *escaped = g_markup_escape_text(clean, -1);

    g_string_append_printf(out,
                           "<text class=\"label\" x=\"%u\" y=\"%u\" text-anchor=\"%s\">%s</text>\n",
                           x, y, anchor, escaped);
}

static int
compare_times(gconstpointer a, gconstpointer b)
{
    guint64 first = *(const guint64 *)a;
    guint64 second = *(const guint64 *)b;

    return first < second ? -1 : first > second;
}

/* The time between two points from which on they are not connected. */
static guint64
gap_msec(const MfPlotLine *line, guint64 step_msec)
{
    g_autoptr(GArray) apart = g_array_new(FALSE, FALSE, sizeof(guint64));

    for (gsize i = 1; i < line->points_count; i++) {
        guint64 apart_msec = mf_sub_clamp(line->agos_msec[i - 1], line->agos_msec[i]);

        g_array_append_val(apart, apart_msec);
    }
    g_array_sort(apart, compare_times);
    if (apart->len > 0) {
        step_msec = MAX(step_msec, g_array_index(apart, guint64, apart->len / 2));
    }
    return GAP_STEPS * step_msec;
}

/* A point that stands alone is a line of no length, which a round cap makes a dot. */
static void
append_line(GString *out, const MfPlot *plot, guint number, guint64 max)
{
    const MfPlotLine *line = &plot->lines[number];
    guint64 gap = gap_msec(line, plot->step_msec);
    gboolean begun = FALSE;

    if (line->points_count == 0) {
        return;
    }
    g_string_append_printf(out, "<path class=\"line-%u\" d=\"", number);
    for (gsize i = 0; i < line->points_count; i++) {
        guint64 into_msec = mf_sub_clamp(plot->period_msec, line->agos_msec[i]);
        guint64 x = LEFT + mf_mul_div(into_msec, INNER_WIDTH, plot->period_msec);
        guint64 y = TOP + INNER_HEIGHT - mf_mul_div(line->values[i], INNER_HEIGHT, max);

        begun = begun && mf_sub_clamp(line->agos_msec[i - 1], line->agos_msec[i]) <= gap;
        g_string_append_printf(out, "%s%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT "%s",
                               begun ? "L" : "M", x, y, begun ? " " : "h0 ");
        begun = TRUE;
    }
    g_string_append(out, "\"/>\n");
}

static void
append_legend(GString *out, const MfPlot *plot)
{
    guint x = LEFT;

    for (guint i = 0; plot->lines_count > 1 && i < plot->lines_count; i++) {
        if (plot->lines[i].points_count > 0) {
            g_string_append_printf(out, "<path class=\"line-%u\" d=\"M%u,%dh16\"/>\n", i, x,
                                   TOP - 10);
            append_text(out, x + 22, TOP - 6, "start", plot->lines[i].label);
            x += 120;
        }
    }
}

gboolean
mf_plot_append(GString *out, const MfPlot *plot)
{
    g_autofree char *clean = mf_text_printable(plot->title, TEXT_BYTES);
    g_autofree char *title = g_markup_escape_text(clean, -1);
    g_autofree char *top = NULL;
    g_autofree char *zero = plot->format(0);
    guint64 max = 0;
    gsize points_count = 0;

    for (guint i = 0; i < plot->lines_count; i++) {
        points_count += plot->lines[i].points_count;
        for (gsize j = 0; j < plot->lines[i].points_count; j++) {
            max = MAX(max, plot->lines[i].values[j]);
        }
    }
    if (points_count == 0) {
        return FALSE;
    }
    top = plot->format(max);
    g_string_append_printf(out,
                           "<figure><figcaption>%s</figcaption>\n"
                           "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">\n"
                           "<path class=\"frame\" d=\"M%d,%dv%dh%d\"/>\n",
                           title, WIDTH, HEIGHT, title, LEFT, TOP, INNER_HEIGHT, INNER_WIDTH);
    if (max > 0) {
        append_text(out, LEFT - 6, TOP + 4, "end", top);
    }
    append_text(out, LEFT - 6, TOP + INNER_HEIGHT, "end", zero);
    append_text(out, LEFT, HEIGHT - 6, "start", plot->begin);
    append_text(out, WIDTH - RIGHT, HEIGHT - 6, "end", plot->end);
    append_legend(out, plot);
    for (guint i = 0; i < plot->lines_count; i++) {
        append_line(out, plot, i, max);
    }
    g_string_append(out, "</svg></figure>\n");
    return TRUE;
}
