/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-top-data.h"

#include "mf-cli.h"
#include "mf-text.h"
#include "mf-units.h"

#define LINE_MAX_BYTES 1024

static MfU64
figure(const MemfoldFigures *figures, const char *key)
{
    guint64 value = 0;

    return memfold_figures_get_uint64(figures, key, &value) ? MF_U64(value) : MF_U64_ABSENT;
}

static char *
word(const MemfoldFigures *figures, const char *key)
{
    return mf_text_printable(mf_cli_word(figures, key), LINE_MAX_BYTES);
}

G_GNUC_PRINTF(2, 3)
static void
add_line(GPtrArray *lines, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    g_ptr_array_add(lines, mf_text_printable(text, LINE_MAX_BYTES));
}

static char *
size_or_unknown(const MemfoldFigures *figures, const char *key)
{
    MfU64 bytes = figure(figures, key);

    return bytes.known ? mf_format_bytes(bytes.value) : g_strdup("unknown");
}

static void
add_header(GPtrArray *header, const MemfoldFigures *host)
{
    g_autofree char *saved = size_or_unknown(host, "saved_bytes");
    g_autofree char *available = size_or_unknown(host, "mem_available_bytes");
    g_autofree char *total = size_or_unknown(host, "mem_total_bytes");
    g_autofree char *cpu = mf_cli_percent(host, "ksmd_cpu_permyriad");
    g_autofree char *budget = mf_cli_percent(host, "ksmd_budget_permyriad");
    g_autofree char *rate = NULL;
    MfU64 scan_pages = figure(host, "pages_to_scan_pages");
    MfU64 sleep_msec = figure(host, "sleep_msec");

    if (scan_pages.known && sleep_msec.known) {
        rate = g_strdup_printf("; scans %" G_GUINT64_FORMAT " pages every %" G_GUINT64_FORMAT " ms",
                               scan_pages.value, sleep_msec.value);
    }
    add_line(header, "saved  %s; available memory %s of %s", saved, available, total);
    add_line(header, "ksmd   %s; %s of one CPU, budget %s%s", mf_cli_run_state(host),
             cpu != NULL ? cpu : "unknown share", budget != NULL ? budget : "unknown",
             rate != NULL ? rate : "");
}

static void
add_host_reasons(GPtrArray *lines, const MemfoldFigures *host)
{
    for (gsize i = 0; i < memfold_figures_get_n_reasons(host); i++) {
        g_autofree char *line = mf_cli_reason_line(memfold_figures_get_reason(host, i));

        add_line(lines, "       %s", line);
    }
}

static void
add_facts(GPtrArray *facts, const MemfoldFigures *domain)
{
    gboolean mergeable = FALSE;
    gboolean known = memfold_figures_get_boolean(domain, "mergeable", &mergeable);
    const char *policy_error = memfold_figures_get_string(domain, "policy_error");

    add_line(facts, "domain   %s", mf_cli_word(domain, "name"));
    add_line(facts, "uuid     %s", mf_cli_word(domain, "uuid"));
    add_line(facts, "policy   %s", mf_cli_word(domain, "merge"));
    if (policy_error != NULL) {
        add_line(facts, "         refused: %s", policy_error);
    }
    add_line(facts, "group    %s", mf_cli_word(domain, "group"));
    add_line(facts, "mode     %s", mf_cli_word(domain, "mode"));
    add_line(facts, "memory   %s, %s", mf_cli_word(domain, "memory"),
             !known      ? "not known whether it can merge"
             : mergeable ? "can merge"
                         : "can not merge");
}

static void
add_reasons(GPtrArray *reasons, const MemfoldFigures *domain)
{
    for (gsize i = 0; i < memfold_figures_get_n_reasons(domain); i++) {
        const MemfoldReason *reason = memfold_figures_get_reason(domain, i);

        add_line(reasons, "  - %s", reason->text);
        if (reason->remedy != NULL) {
            add_line(reasons, "    remedy: %s", reason->remedy);
        }
    }
}

static MfTopRow *
row_of(const MemfoldFigures *domain, gint64 now_msec)
{
    g_autofree char *uuid = word(domain, "uuid");
    g_autofree char *name = word(domain, "name");
    MfTopRow *row = mf_top_row_new(uuid, name);
    MfU64 age_msec = figure(domain, "age_msec");

    row->mode = word(domain, "mode");
    row->group = word(domain, "group");
    row->resident_bytes = figure(domain, "resident_bytes");
    row->merged_bytes = figure(domain, "merged_bytes");
    row->saved_bytes = figure(domain, "saved_bytes");
    row->zero_bytes = figure(domain, "zero_bytes");
    row->taken_msec =
        age_msec.known ? now_msec - (gint64)MIN(age_msec.value, (guint64)now_msec) : now_msec;
    add_facts(row->facts, domain);
    add_reasons(row->reasons, domain);
    return row;
}

/* What the row of before says of the same domain; NULL when there is none. */
static const MfTopRow *
find_row(const MfTopData *data, const char *uuid)
{
    for (guint i = 0; data != NULL && i < data->rows->len; i++) {
        const MfTopRow *row = g_ptr_array_index(data->rows, i);

        if (g_str_equal(row->uuid, uuid)) {
            return row;
        }
    }
    return NULL;
}

MfTopData *
mf_top_data_new(const MemfoldDescription *description, gint64 now_msec, const MfTopData *before)
{
    MfTopData *data = mf_top_data_new_empty();

    add_header(data->header, memfold_description_get_host(description));
    add_host_reasons(data->host_reasons, memfold_description_get_host(description));
    for (gsize i = 0; i < memfold_description_get_n_domains(description); i++) {
        MfTopRow *row = row_of(memfold_description_get_domain(description, i), now_msec);
        const MfTopRow *earlier = find_row(before, row->uuid);

        if (earlier != NULL) {
            mf_top_row_compare(row, earlier);
        }
        g_ptr_array_add(data->rows, row);
    }
    return data;
}
