/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Series as a line of marks and as SVG. */
#include <string.h>

#include "../../src/cli/mf-plot.h"
#include "../../src/cli/mf-spark.h"
#include "mf-test.h"

static void
test_spark(void)
{
    static const struct {
        guint64 agos_msec[4], values[4];
        gsize count;
        gboolean ascii;
        const char *wanted;
    } cases[] = {
        {{399, 299, 199, 99}, {0, 10, 70, 35}, 4, TRUE, "_.#-"},
        {{399, 299, 199, 99}, {0, 10, 70, 35}, 4, FALSE, "\u2581\u2582\u2588\u2584"},
        {{399, 99}, {5, 5}, 2, TRUE, "#  #"}, /* nothing in between */
        {{0}, {0}, 1, TRUE, "   _"},          /* now, and nothing at all */
        {{5000}, {9}, 1, TRUE, "#   "},       /* older than the period */
        {{90, 10}, {0, 20}, 2, TRUE, "   #"}, /* two in one column */
        {{0}, {0}, 0, TRUE, ""},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *found =
            mf_spark(cases[i].agos_msec, cases[i].values, cases[i].count, 400, 4, cases[i].ascii);

        g_test_message("case %u", i);
        g_assert_cmpstr(found, ==, cases[i].wanted);
    }
}

static char *
plain(guint64 value)
{
    return g_strdup_printf("<%" G_GUINT64_FORMAT ">", value);
}

static MfPlot
plot_of(const MfPlotLine *lines, guint lines_count)
{
    return (MfPlot){.title = "a < b & \"c\" \x1b",
                    .begin = "then",
                    .end = "now",
                    .period_msec = 1000,
                    .step_msec = 10,
                    .lines = lines,
                    .lines_count = lines_count,
                    .format = plain};
}

static guint
count_of(const char *text, const char *part)
{
    guint count = 0;

    for (const char *p = strstr(text, part); p != NULL; p = strstr(p + 1, part)) {
        count++;
    }
    return count;
}

static void
test_plot(void)
{
    static const guint64 agos_msec[] = {1000, 990, 980, 970, 960, 500, 0};
    static const guint64 values[] = {0, 50, 100, 100, 100, 100, 0};
    const MfPlotLine lines[] = {{"one", agos_msec, values, 7}, {"two", NULL, NULL, 0}};
    MfPlot plot = plot_of(lines, 2);
    g_autoptr(GString) out = g_string_new(NULL);

    g_assert_true(mf_plot_append(out, &plot));
    g_assert_nonnull(strstr(out->str, "a &lt; b &amp; &quot;c&quot; ?<"));
    g_assert_nonnull(strstr(out->str, ">&lt;100&gt;</text>"));
    g_assert_nonnull(strstr(out->str, ">then</text>"));
    /* Five that stand together, then two that stand alone: from the left edge at the bottom, over
     * the middle, to the top; and the last at the right edge. */
    g_assert_nonnull(
        strstr(out->str, "d=\"M90,156h0 L96,91 L102,26 L108,26 L114,26 M400,26h0 M710,156h0 \""));
    g_assert_cmpuint(count_of(out->str, "class=\"line-1\""), ==, 0);
    g_assert_null(strchr(out->str, '\x1b'));
}

static void
test_nothing_to_plot(void)
{
    const MfPlotLine lines[] = {{"one", NULL, NULL, 0}};
    MfPlot plot = plot_of(lines, 1);
    g_autoptr(GString) out = g_string_new("before");

    g_assert_false(mf_plot_append(out, &plot));
    g_assert_cmpstr(out->str, ==, "before");
}

/* All zeroes: a line on the ground, and one label instead of two. */
static void
test_zeroes(void)
{
    static const guint64 agos_msec[] = {20, 10};
    static const guint64 values[] = {0, 0};
    const MfPlotLine lines[] = {{"one", agos_msec, values, 2}};
    MfPlot plot = plot_of(lines, 1);
    g_autoptr(GString) out = g_string_new(NULL);

    g_assert_true(mf_plot_append(out, &plot));
    g_assert_cmpuint(count_of(out->str, "&lt;0&gt;"), ==, 1);
    g_assert_nonnull(strstr(out->str, "M697,156h0 L703,156 \""));
}

/* A line whose points are usually far apart is connected all the same. */
static void
test_slow_rounds(void)
{
    static const guint64 agos_msec[] = {900, 700, 500, 300};
    static const guint64 values[] = {1, 1, 1, 1};
    const MfPlotLine lines[] = {{"one", agos_msec, values, 4}};
    MfPlot plot = plot_of(lines, 1);
    g_autoptr(GString) out = g_string_new(NULL);

    g_assert_true(mf_plot_append(out, &plot));
    g_assert_cmpuint(count_of(out->str, "h0 "), ==, 1);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/spark", test_spark);
    g_test_add_func("/plot/lines", test_plot);
    g_test_add_func("/plot/nothing", test_nothing_to_plot);
    g_test_add_func("/plot/zeroes", test_zeroes);
    g_test_add_func("/plot/slow-rounds", test_slow_rounds);
    return g_test_run();
}
