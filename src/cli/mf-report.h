/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the forms of `memfold report` share: the answer, its period, and how its figures are told.
 */
#pragma once

#include <glib.h>

#include "../lib/memfold.h"

typedef struct {
    const MemfoldReport *report;
    const char *period_name; /* "24h" */
    guint64 period_sec;
    gint64 now_usec; /* wall clock, when the answer came: what "ago" is before */
} MfReportView;

/* Each of these returns text to g_free(), "-" for what is absent. */

/* "+1.5 MiB", "-0.3 MiB". */
char *mf_report_signed_mib(const MemfoldFigures *figures, const char *key);
/* Per 1000 seconds, told per second: "0.250". */
char *mf_report_per_sec(const MemfoldFigures *figures, const char *key);
/* scan_cpu_usec in seconds; "~" in front of it says that it is an estimate. */
char *mf_report_scan_cpu(const MemfoldFigures *figures);
char *mf_report_count(const MemfoldFigures *figures, const char *key);
/* Of a value itself: "0.250", and "12.34 %" of one CPU. */
char *mf_report_format_per_1000_sec(guint64 value);
char *mf_report_format_cpu(guint64 usec_per_sec);

/* Name of a domain, with "(gone)" behind it where it does not run any more. */
char *mf_report_name(const MemfoldFigures *domain);

/* A line of the table, of a domain or the host, NULL-terminated: name, saved, average, most, trend,
 * COW breaks, CPU time, gain.  g_strfreev(). */
char **mf_report_row(const char *name, const MemfoldFigures *figures);

/* The time ago_sec before now on the wall clock.  format: of g_date_time_format(). */
char *mf_report_time(const MfReportView *view, guint64 ago_sec, const char *format);

/* Prints to stdout. */
void mf_report_print_text(const MfReportView *view);
void mf_report_print_json(const MfReportView *view);

/* The whole page: well-formed XML without anything from outside.  g_free(). */
char *mf_report_html(const MfReportView *view);
