/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `memfold report` for a terminal, and as JSON. */
#include <stdio.h>
#include <string.h>

#include "mf-cli-json.h"
#include "mf-cli.h"
#include "mf-columns.h"
#include "mf-history.h"
#include "mf-report.h"
#include "mf-spark.h"
#include "mf-table.h"
#include "mf-units.h"

#define SPARK_COLUMNS 24
#define MSEC_PER_SEC  1000

static const MfColumn columns[] = {
    {"NAME", 24, FALSE},  {"SAVED", 0, TRUE}, {"AVERAGE", 0, TRUE},  {"MAX", 0, TRUE},
    {"TREND/H", 0, TRUE}, {"COW/S", 0, TRUE}, {"SCAN CPU", 0, TRUE}, {"GAIN/CPU-S", 0, TRUE},
};
static const char spark_title[] = "OVER TIME";

/* Whether the terminal or the file is one of ASCII. */
static gboolean
wants_ascii(void)
{
    return !g_get_charset(NULL) || g_strcmp0(g_getenv("TERM"), "dumb") == 0;
}

static char *
spark_of(const MfReportView *view, const guint64 *agos_msec, const guint64 *values, gsize count,
         guint spark_columns)
{
    return mf_spark(agos_msec, values, count, view->period_sec * MSEC_PER_SEC, spark_columns,
                    wants_ascii());
}

static void
print_host(const MfReportView *view)
{
    const MemfoldFigures *host = memfold_report_get_host(view->report);
    g_autofree char *until = mf_report_time(view, 0, "%Y-%m-%d %H:%M");
    g_autofree char *saved = mf_cli_mib(host, "saved_bytes");
    g_autofree char *average = mf_cli_mib(host, "saved_average_bytes");
    g_autofree char *most = mf_cli_mib(host, "saved_max_bytes");
    g_autofree char *trend = mf_report_signed_mib(host, "saved_trend_bytes_per_hour");
    g_autofree char *cpu = mf_report_scan_cpu(host);
    g_autofree char *gain = mf_report_signed_mib(host, "gain_bytes_per_cpu_sec");
    g_autofree char *breaks = mf_report_per_sec(host, "cow_breaks_per_1000_sec");
    g_autofree char *copies = mf_report_count(host, "swap_in_copies_count");
    const guint64 *agos_msec = NULL;
    const guint64 *values = NULL;
    gsize count = memfold_report_get_host_series(view->report, "saved_bytes", &agos_msec, &values);
    g_autofree char *spark = spark_of(view, agos_msec, values, count, SPARK_COLUMNS);
    guint64 unrecorded = 0;

    printf("period  %s until %s\n", view->period_name, until);
    printf("saved   %s on this host; average %s, at most %s, trend %s an hour\n", saved, average,
           most, trend);
    printf("ksmd    %s of CPU time; gain %s for each second of it\n", cpu, gain);
    printf("writes  %s merged pages a second; %s came back from swap as copies\n", breaks, copies);
    if (count > 0) {
        printf("        %s\n", spark);
    }
    memfold_figures_get_uint64(host, "unrecorded_count", &unrecorded);
    if (unrecorded > 0) {
        printf("        no room to record %" G_GUINT64_FORMAT " domains\n", unrecorded);
    }
}

static void
add_row(MfTable *table, const MfReportView *view, gsize index)
{
    const MemfoldFigures *domain = memfold_report_get_domain(view->report, index);
    g_autofree char *name = mf_report_name(domain);
    g_auto(GStrv) cells = mf_report_row(name, domain);

    mf_table_add(table, (const char *const *)cells);
}

/* The table, with as much of time behind each line as there is room for.  All lines are as wide as
 * the first, since the last column stands to the right. */
static void
print_table(const MfReportView *view, const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    guint room_columns = (guint)mf_sub_clamp(mf_cli_width(), mf_columns_of(lines[0]) + 2);
    gboolean has_room = room_columns >= strlen(spark_title);

    printf("\n%s%s%s\n", lines[0], has_room ? "  " : "", has_room ? spark_title : "");
    for (gsize i = 0; i < memfold_report_get_n_domains(view->report); i++) {
        const guint64 *agos_msec = NULL;
        const guint64 *values = NULL;
        gsize count =
            memfold_report_get_domain_series(view->report, i, "saved_bytes", &agos_msec, &values);
        g_autofree char *spark =
            spark_of(view, agos_msec, values, has_room ? count : 0,
                     CLAMP(room_columns, (guint)strlen(spark_title), SPARK_COLUMNS));

        printf("%s%s%s\n", lines[i + 1], spark[0] != '\0' ? "  " : "", spark);
    }
}

void
mf_report_print_text(const MfReportView *view)
{
    g_autoptr(MfTable) table = mf_table_new(columns, G_N_ELEMENTS(columns));
    gsize domains_count = memfold_report_get_n_domains(view->report);
    g_autofree char *text = NULL;

    print_host(view);
    if (domains_count == 0) {
        printf("\nno domain was recorded in this time\n");
        return;
    }
    for (gsize i = 0; i < domains_count; i++) {
        add_row(table, view, i);
    }
    text = mf_table_render(table, mf_cli_width());
    print_table(view, text);
}

static JsonArray *
json_numbers(const guint64 *numbers, gsize count)
{
    JsonArray *array = json_array_sized_new((guint)count);

    for (gsize i = 0; i < count; i++) {
        json_array_add_int_element(array, (gint64)numbers[i]);
    }
    return array;
}

static gboolean
numbers_fit(const guint64 *numbers, gsize count)
{
    for (gsize i = 0; i < count; i++) {
        if (numbers[i] > G_MAXINT64) {
            return FALSE;
        }
    }
    return TRUE;
}

/* index: of a domain, or -1 for the host. */
static JsonObject *
json_series(const MemfoldReport *report, gssize index)
{
    JsonObject *all = json_object_new();

    for (guint i = 0; i < MF_SERIES_N; i++) {
        const char *name = mf_series_to_string(i);
        const guint64 *agos_msec = NULL;
        const guint64 *values = NULL;
        gsize count = index < 0 ? memfold_report_get_host_series(report, name, &agos_msec, &values)
                                : memfold_report_get_domain_series(report, (gsize)index, name,
                                                                   &agos_msec, &values);

        if (count > 0 && numbers_fit(agos_msec, count) && numbers_fit(values, count)) {
            JsonObject *series = json_object_new();

            json_object_set_array_member(series, "ago_msec", json_numbers(agos_msec, count));
            json_object_set_array_member(series, name, json_numbers(values, count));
            json_object_set_object_member(all, name, series);
        }
    }
    return all;
}

static JsonObject *
json_part(const MemfoldFigures *figures, const MemfoldReport *report, gssize index)
{
    JsonObject *object = mf_cli_json_figures(figures);

    json_object_remove_member(object, "reasons");
    json_object_set_object_member(object, "series", json_series(report, index));
    return object;
}

void
mf_report_print_json(const MfReportView *view)
{
    JsonObject *object = json_object_new();
    JsonArray *domains = json_array_new();

    for (gsize i = 0; i < memfold_report_get_n_domains(view->report); i++) {
        json_array_add_object_element(domains, json_part(memfold_report_get_domain(view->report, i),
                                                         view->report, (gssize)i));
    }
    json_object_set_int_member(object, "until_unix_msec", view->now_usec / 1000);
    json_object_set_object_member(
        object, "host", json_part(memfold_report_get_host(view->report), view->report, -1));
    json_object_set_array_member(object, "domains", domains);
    mf_cli_json_print(object);
}
