/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Figures of a report in words; see mf-report.h. */
#include "mf-report.h"

#include "mf-cli.h"
#include "mf-units.h"

#define MIB_BYTES         (G_GUINT64_CONSTANT(1024) * 1024)
#define CPU_PER_PERMYRIAD 100 /* microseconds in a second */

char *
mf_report_signed_mib(const MemfoldFigures *figures, const char *key)
{
    gint64 bytes;
    guint64 size_bytes;
    guint64 tenths;

    if (!memfold_figures_get_int64(figures, key, &bytes)) {
        return g_strdup("-");
    }
    size_bytes = bytes < 0 ? (guint64) - (bytes + 1) + 1 : (guint64)bytes;
    tenths = mf_mul_div(mf_add_sat(size_bytes, MIB_BYTES / 20), 10, MIB_BYTES);
    return g_strdup_printf("%s%" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT " MiB",
                           tenths == 0 ? ""
                           : bytes < 0 ? "-"
                                       : "+",
                           tenths / 10, tenths % 10);
}

char *
mf_report_format_per_1000_sec(guint64 value)
{
    return g_strdup_printf("%" G_GUINT64_FORMAT ".%03" G_GUINT64_FORMAT, value / 1000,
                           value % 1000);
}

char *
mf_report_format_cpu(guint64 usec_per_sec)
{
    return mf_format_permyriad(usec_per_sec / CPU_PER_PERMYRIAD);
}

char *
mf_report_per_sec(const MemfoldFigures *figures, const char *key)
{
    guint64 value;

    return memfold_figures_get_uint64(figures, key, &value) ? mf_report_format_per_1000_sec(value)
                                                            : g_strdup("-");
}

char *
mf_report_scan_cpu(const MemfoldFigures *figures)
{
    gboolean estimated = FALSE;
    guint64 usec;

    if (!memfold_figures_get_uint64(figures, "scan_cpu_usec", &usec)) {
        return g_strdup("-");
    }
    memfold_figures_get_boolean(figures, "scan_cpu_estimated", &estimated);
    usec += 5000;
    return g_strdup_printf("%s%" G_GUINT64_FORMAT ".%02" G_GUINT64_FORMAT " s",
                           estimated ? "~" : "", usec / G_USEC_PER_SEC,
                           usec % G_USEC_PER_SEC / 10000);
}

char *
mf_report_count(const MemfoldFigures *figures, const char *key)
{
    guint64 value;

    return memfold_figures_get_uint64(figures, key, &value)
               ? g_strdup_printf("%" G_GUINT64_FORMAT, value)
               : g_strdup("-");
}

char *
mf_report_name(const MemfoldFigures *domain)
{
    gboolean gone = FALSE;

    memfold_figures_get_boolean(domain, "gone", &gone);
    return g_strconcat(mf_cli_word(domain, "name"), gone ? " (gone)" : "", NULL);
}

char **
mf_report_row(const char *name, const MemfoldFigures *figures)
{
    char *const texts[] = {
        g_strdup(name),
        mf_cli_mib(figures, "saved_bytes"),
        mf_cli_mib(figures, "saved_average_bytes"),
        mf_cli_mib(figures, "saved_max_bytes"),
        mf_report_signed_mib(figures, "saved_trend_bytes_per_hour"),
        mf_report_per_sec(figures, "cow_breaks_per_1000_sec"),
        mf_report_scan_cpu(figures),
        mf_report_signed_mib(figures, "gain_bytes_per_cpu_sec"),
        NULL,
    };

    return g_memdup2(texts, sizeof texts);
}

char *
mf_report_time(const MfReportView *view, guint64 ago_sec, const char *format)
{
    g_autoptr(GDateTime) now = g_date_time_new_from_unix_local(view->now_usec / G_USEC_PER_SEC);
    g_autoptr(GDateTime) then =
        now != NULL ? g_date_time_add_seconds(now, -(gdouble)ago_sec) : NULL;
    char *text = then != NULL ? g_date_time_format(then, format) : NULL;

    return text != NULL ? text : g_strdup("-");
}
