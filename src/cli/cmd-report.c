/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `memfold report`: what the last hour, day or week came to. */
#include <errno.h>
#include <stdio.h>

#include "mf-cli-wait.h"
#include "mf-cli.h"
#include "mf-report.h"

static const struct {
    const char *name;
    guint64 period_sec;
} periods[] = {{"1h", 3600}, {"24h", 86400}, {"7d", 604800}};

static gboolean
find_period(const char *text, MfReportView *view)
{
    for (guint i = 0; i < G_N_ELEMENTS(periods); i++) {
        if (g_str_equal(text, periods[i].name)) {
            view->period_name = periods[i].name;
            view->period_sec = periods[i].period_sec;
            return TRUE;
        }
    }
    mf_cli_complain("--period=%s is none of 1h, 24h and 7d", text);
    return FALSE;
}

/* "-": stdout. A file is written through its name: what it is, a device or a link, and whose,
 * stays. */
static MfExit
write_html(const MfReportView *view, const char *path)
{
    g_autofree char *page = mf_report_html(view);
    FILE *out = NULL;
    int failure = 0;

    if (g_str_equal(path, "-")) {
        printf("%s", page);
        return MF_EXIT_OK;
    }
    out = fopen(path, "we");
    if (out == NULL || fputs(page, out) < 0) {
        failure = errno;
    }
    if (out != NULL && fclose(out) != 0 && failure == 0) {
        failure = errno;
    }
    if (failure != 0) {
        mf_cli_complain("%s: %s", path, g_strerror(failure));
        return MF_EXIT_FAILED;
    }
    return MF_EXIT_OK;
}

static MfExit
run(int argc, char **argv)
{
    gboolean json = FALSE;
    g_autofree char *period = NULL;
    g_autofree char *html = NULL;
    const GOptionEntry entries[] = {
        {"period", 0, 0, G_OPTION_ARG_STRING, &period, "Report the last 1h, 24h (default) or 7d",
         "PERIOD"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &json, "Print a JSON object", NULL},
        {"html", 0, 0, G_OPTION_ARG_FILENAME, &html, "Write a page with plots to FILE (-: stdout)",
         "FILE"},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(MemfoldClient) client = NULL;
    g_autoptr(MemfoldReport) report = NULL;
    g_autoptr(MfCliNotice) notice = NULL;
    g_autoptr(GError) error = NULL;
    MfReportView view = {0};

    if (!mf_cli_parse(&mf_command_report, entries, 0, -1, &argc, &argv) ||
        !find_period(period != NULL ? period : "24h", &view)) {
        return MF_EXIT_USAGE;
    }
    if (json && html != NULL) {
        mf_cli_complain("--json and --html can't be asked for at once");
        return MF_EXIT_USAGE;
    }
    notice = mf_cli_notice_new();
    client = memfold_client_new(&error);
    if (client != NULL) {
        report =
            memfold_client_report(client, (const char *const *)argv + 1, view.period_sec, &error);
    }
    g_clear_pointer(&notice, mf_cli_notice_free);
    if (report == NULL) {
        return mf_cli_fail(error);
    }
    view.report = report;
    view.now_usec = g_get_real_time();
    if (html != NULL) {
        return write_html(&view, html);
    }
    if (json) {
        mf_report_print_json(&view);
    } else {
        mf_report_print_text(&view);
    }
    return MF_EXIT_OK;
}

const MfCommand mf_command_report = {
    .name = "report",
    .arguments = "[DOMAIN...]",
    .summary = "Show what was saved over time, and what it cost",
    .details =
        "TREND/H is by how much SAVED grew an hour, COW/S how many merged pages were written a\n"
        "second, SCAN CPU what finding them cost (~: by the pages that ksmd tracks, where the\n"
        "kernel does not count it), GAIN/CPU-S by how much SAVED grew for each second of that.\n"
        "The daemon keeps this in memory, also of domains that are gone; it begins anew when\n"
        "the daemon does.",
    .run = run,
};
