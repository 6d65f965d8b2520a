/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The daemon's history: figures and series as it sent them, looked into when asked. */
#include "mf-call.h"
#include "mf-figures.h"
#include "mf-names.h"

#define SERIES_TYPE "a{s(atat)}"
#define REPLY_TYPE  "(a{sv}" SERIES_TYPE "a(a{sv}" SERIES_TYPE "))"

typedef struct {
    MemfoldFigures *figures;
    GVariant *series; /* a{s(atat)} */
} Part;

struct _MemfoldReport {
    Part host;
    GArray *domains; /* of Part */
};

static void
part_clear(gpointer data)
{
    Part *part = data;

    mf_figures_free(part->figures);
    g_variant_unref(part->series);
}

/* Serialises the series at once: the pieces that are looked up later are then parts of one memory,
 * which lives as long as the report. */
static Part
part_new(GVariant *values, GVariant *series)
{
    g_autoptr(GVariant) no_texts = g_variant_ref_sink(g_variant_new("a(sss)", NULL));
    Part part = {mf_figures_new(values, no_texts), NULL};
    g_autoptr(GBytes) bytes = g_variant_get_data_as_bytes(series);

    part.series =
        g_variant_ref_sink(g_variant_new_from_bytes(G_VARIANT_TYPE(SERIES_TYPE), bytes, TRUE));
    return part;
}

MemfoldReport *
memfold_client_report(MemfoldClient *client, const char *const *domains, guint64 period_sec,
                      GError **error)
{
    const char *const nobody[] = {NULL};
    GVariantBuilder options = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a{sv}"));
    g_autoptr(GVariant) reply = NULL;
    g_autoptr(GVariant) values = NULL;
    g_autoptr(GVariant) series = NULL;
    g_autoptr(GVariant) of_domains = NULL;
    MemfoldReport *report;

    g_return_val_if_fail(client != NULL, NULL);
    if (!mf_call_check_words(domains, error)) {
        return NULL;
    }
    if (period_sec > 0) {
        g_variant_builder_add(&options, "{sv}", "period_sec", g_variant_new_uint64(period_sec));
    }
    reply = mf_call(client, MF_OBJECT_HOST, MF_INTERFACE_HOST, "Report",
                    g_variant_new("(^asa{sv})", domains != NULL ? domains : nobody, &options),
                    REPLY_TYPE, error);
    if (reply == NULL) {
        return NULL;
    }
    g_variant_get(reply, "(@a{sv}@" SERIES_TYPE "@a(a{sv}" SERIES_TYPE "))", &values, &series,
                  &of_domains);
    report = g_new0(MemfoldReport, 1);
    report->host = part_new(values, series);
    report->domains = g_array_new(FALSE, FALSE, sizeof(Part));
    g_array_set_clear_func(report->domains, part_clear);
    for (gsize i = 0; i < g_variant_n_children(of_domains); i++) {
        g_autoptr(GVariant) of_one = NULL;
        g_autoptr(GVariant) series_of_one = NULL;
        Part part;

        g_variant_get_child(of_domains, i, "(@a{sv}@" SERIES_TYPE ")", &of_one, &series_of_one);
        part = part_new(of_one, series_of_one);
        g_array_append_val(report->domains, part);
    }
    return report;
}

void
memfold_report_free(MemfoldReport *report)
{
    if (report != NULL) {
        part_clear(&report->host);
        g_array_unref(report->domains);
        g_free(report);
    }
}

/* The shorter of two arrays counts, should a daemon ever send unequal ones. */
static gsize
get_series(const Part *part, const char *name, const guint64 **ret_agos_msec,
           const guint64 **ret_values)
{
    g_autoptr(GVariant) pair = g_variant_lookup_value(part->series, name, NULL);
    g_autoptr(GVariant) agos = NULL;
    g_autoptr(GVariant) values = NULL;
    gsize n_agos = 0;
    gsize n_values = 0;

    *ret_agos_msec = NULL;
    *ret_values = NULL;
    if (pair == NULL) {
        return 0;
    }
    agos = g_variant_get_child_value(pair, 0);
    values = g_variant_get_child_value(pair, 1);
    *ret_agos_msec = g_variant_get_fixed_array(agos, &n_agos, sizeof(guint64));
    *ret_values = g_variant_get_fixed_array(values, &n_values, sizeof(guint64));
    return MIN(n_agos, n_values);
}

const MemfoldFigures *
memfold_report_get_host(const MemfoldReport *report)
{
    return report->host.figures;
}

gsize
memfold_report_get_host_series(const MemfoldReport *report, const char *name,
                               const guint64 **ret_agos_msec, const guint64 **ret_values)
{
    return get_series(&report->host, name, ret_agos_msec, ret_values);
}

gsize
memfold_report_get_n_domains(const MemfoldReport *report)
{
    return report->domains->len;
}

const MemfoldFigures *
memfold_report_get_domain(const MemfoldReport *report, gsize index)
{
    g_return_val_if_fail(index < report->domains->len, NULL);
    return g_array_index(report->domains, Part, index).figures;
}

gsize
memfold_report_get_domain_series(const MemfoldReport *report, gsize index, const char *name,
                                 const guint64 **ret_agos_msec, const guint64 **ret_values)
{
    g_return_val_if_fail(index < report->domains->len, 0);
    return get_series(&g_array_index(report->domains, Part, index), name, ret_agos_msec,
                      ret_values);
}
