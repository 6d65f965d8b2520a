/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `memfold report --html`: one page that needs nothing else, to be kept or sent.
 *
 * No script, no font, no picture from outside; the plots are drawn here.  Each text of a domain's
 * goes through append_text().
 */
#include "mf-cli.h"
#include "mf-plot.h"
#include "mf-report.h"
#include "mf-text.h"
#include "mf-units.h"

#define MSEC_PER_SEC 1000
#define DAY_SEC      (24 * 3600)
#define TEXT_BYTES   1024
#define LINES_MAX    3

static const char style[] =
    "<style>\n"
    ":root { color-scheme: light dark; --ground: #fff; --ink: #1c2430; --faint: #667080;\n"
    "  --rule: #d5dae2; --line0: #1f6feb; --line1: #c2571a; --line2: #2b8a4b; }\n"
    "@media (prefers-color-scheme: dark) { :root { --ground: #12161c; --ink: #e4e8ee;\n"
    "  --faint: #98a2b0; --rule: #343c48; --line0: #6cb0ff; --line1: #ffa366; --line2: #74d495; } "
    "}\n"
    "body { margin: 2rem auto; max-width: 62rem; padding: 0 1rem; background: var(--ground);\n"
    "  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }\n"
    "h1, h2 { line-height: 1.2; overflow-wrap: anywhere; } h2 { margin-top: 2.5rem; }\n"
    "p, figcaption { color: var(--faint); } figure { margin: 1rem 0; }\n"
    ".wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }\n"
    "th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--rule); text-align: right;\n"
    "  white-space: nowrap; } th:first-child, td:first-child { text-align: left; }\n"
    "td { font-variant-numeric: tabular-nums; } svg { width: 100%; height: auto; }\n"
    "path { fill: none; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; }\n"
    ".frame { stroke: var(--rule); stroke-width: 1; } .line-0 { stroke: var(--line0); }\n"
    ".line-1 { stroke: var(--line1); } .line-2 { stroke: var(--line2); }\n"
    ".label { fill: var(--faint); font-size: 12px; }\n"
    "</style>\n";

/* Plots of a domain or the host: lines that have a scale in common. */
static const struct {
    const char *title;
    const char *series[LINES_MAX];
    const char *labels[LINES_MAX];
    char *(*format)(guint64 value);
} plots[] = {
    {"Memory",
     {"saved_bytes", "merged_bytes", "zero_bytes"},
     {"saved", "merged", "zero"},
     mf_format_bytes},
    {"CPU time of scanning, of one CPU", {"scan_cpu_usec_per_sec"}, {"scan"}, mf_report_format_cpu},
    {"Merged pages that were written, a second",
     {"cow_breaks_per_1000_sec", "swap_in_copies_per_1000_sec"},
     {"written", "copied at swap-in"},
     mf_report_format_per_1000_sec},
};

static const char *const titles[] = {"Domain",  "Saved", "Average",  "Most",
                                     "Trend/h", "COW/s", "Scan CPU", "Gain/CPU s"};

static void
append_text(GString *out, const char *before, const char *text, const char *behind)
{
    g_autofree char *clean = mf_text_printable(text, TEXT_BYTES);
    g_autofree char *escaped = g_markup_escape_text(clean, -1);

    g_string_append_printf(out, "%s%s%s", before, escaped, behind);
}

static void
append_row(GString *out, const char *name, const MemfoldFigures *figures)
{
    g_auto(GStrv) cells = mf_report_row(name, figures);

    g_string_append(out, "<tr>");
    for (guint i = 0; cells[i] != NULL; i++) {
        append_text(out, "<td>", cells[i], "</td>");
    }
    g_string_append(out, "</tr>\n");
}

static void
append_table(GString *out, const MfReportView *view)
{
    g_string_append(out, "<div class=\"wide\"><table>\n<thead><tr>");
    for (guint i = 0; i < G_N_ELEMENTS(titles); i++) {
        append_text(out, "<th>", titles[i], "</th>");
    }
    g_string_append(out, "</tr></thead>\n<tbody>\n");
    append_row(out, "the host", memfold_report_get_host(view->report));
    for (gsize i = 0; i < memfold_report_get_n_domains(view->report); i++) {
        const MemfoldFigures *domain = memfold_report_get_domain(view->report, i);
        g_autofree char *name = mf_report_name(domain);

        append_row(out, name, domain);
    }
    g_string_append(out, "</tbody></table></div>\n");
}

/* index: of a domain, or -1 for the host. */
static void
append_plots(GString *out, const MfReportView *view, gssize index)
{
    const MemfoldReport *report = view->report;
    const char *format = view->period_sec > DAY_SEC ? "%m-%d %H:%M" : "%H:%M";
    g_autofree char *begin = mf_report_time(view, view->period_sec, format);
    g_autofree char *end = mf_report_time(view, 0, format);
    guint64 step_sec = 0;

    memfold_figures_get_uint64(memfold_report_get_host(report), "step_sec", &step_sec);
    for (guint i = 0; i < G_N_ELEMENTS(plots); i++) {
        MfPlotLine lines[LINES_MAX] = {0};
        MfPlot plot = {.title = plots[i].title,
                       .begin = begin,
                       .end = end,
                       .period_msec = view->period_sec * MSEC_PER_SEC,
                       .step_msec = step_sec * MSEC_PER_SEC,
                       .lines = lines,
                       .format = plots[i].format};

        while (plot.lines_count < LINES_MAX && plots[i].series[plot.lines_count] != NULL) {
            const char *name = plots[i].series[plot.lines_count];
            MfPlotLine *line = &lines[plot.lines_count];

            line->label = plots[i].labels[plot.lines_count++];
            line->points_count =
                index < 0
                    ? memfold_report_get_host_series(report, name, &line->agos_msec, &line->values)
                    : memfold_report_get_domain_series(report, (gsize)index, name, &line->agos_msec,
                                                       &line->values);
        }
        mf_plot_append(out, &plot);
    }
}

char *
mf_report_html(const MfReportView *view)
{
    g_autoptr(GString) out =
        g_string_new("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
                     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
                     "<title>memfold report</title>\n");
    g_autofree char *begin = mf_report_time(view, view->period_sec, "%Y-%m-%d %H:%M");
    g_autofree char *end = mf_report_time(view, 0, "%Y-%m-%d %H:%M %Z");

    g_string_append(out, style);
    g_string_append(out, "</head>\n<body>\n<h1>What merging saved</h1>\n");
    append_text(out, "<p>From ", begin, "");
    append_text(out, " to ", end, " (");
    append_text(out, "", view->period_name, ").</p>\n");
    append_table(out, view);
    g_string_append(
        out, "<p>Saved is what a domain has of the host's saving, now. Trend is how it grew an "
             "hour; COW/s how many merged pages were written a second; Scan CPU what finding them "
             "cost, ~ where the kernel does not count it; Gain by how much saved grew for each "
             "second of that. - is not known.</p>\n<h2>The host</h2>\n");
    append_plots(out, view, -1);
    for (gsize i = 0; i < memfold_report_get_n_domains(view->report); i++) {
        g_autofree char *name = mf_report_name(memfold_report_get_domain(view->report, i));

        append_text(out, "<h2>", name, "</h2>\n");
        append_plots(out, view, (gssize)i);
    }
    g_string_append(out, "</body>\n</html>\n");
    return g_string_free(g_steal_pointer(&out), FALSE);
}
