/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `memfold estimate`: what merging would save, before it is on. */
#include <stdio.h>

#include "mf-cli-json.h"
#include "mf-cli-wait.h"
#include "mf-cli.h"
#include "mf-table.h"
#include "mf-text.h"

#define MIB_BYTES    (G_GUINT64_CONSTANT(1024) * 1024)
#define RATE_MIB     256
#define RATE_MAX_MIB (1024 * 1024)

static const MfColumn columns[] = {
    {"MERGING", 24, FALSE}, {"GROUP", 16, FALSE}, {"READ", 0, TRUE}, {"ZEROES", 0, TRUE},
    {"SAVES", 0, TRUE},     {"FROM", 0, TRUE},    {"TO", 0, TRUE},
};

static MemfoldEstimate *
ask(char **names, guint64 rate_bytes, GError **error)
{
    MfCliWait wait;
    MemfoldProgress progress = mf_cli_wait_begin(&wait, "reading memory");
    g_autoptr(MemfoldClient) client = memfold_client_new(error);
    MemfoldEstimate *estimate = NULL;

    if (client != NULL) {
        estimate = memfold_client_estimate(client, (const char *const *)names, rate_bytes, progress,
                                           &wait, error);
        mf_cli_wait_end(&wait);
    }
    return estimate;
}

static void
add_row(MfTable *table, const char *what, const char *group, const MemfoldFigures *figures)
{
    g_autofree char *read = mf_cli_mib(figures, "read_bytes");
    g_autofree char *zero = mf_cli_mib(figures, "zero_bytes");
    g_autofree char *saved = mf_cli_mib(figures, "saved_bytes");
    g_autofree char *low = mf_cli_mib(figures, "saved_low_bytes");
    g_autofree char *high = mf_cli_mib(figures, "saved_high_bytes");
    const char *const cells[] = {what, group, read, zero, saved, low, high};

    mf_table_add(table, cells);
}

/* Why a domain was not read, or not to its end. */
static void
print_reasons(const MemfoldFigures *domain)
{
    g_autofree char *name = mf_text_printable(mf_cli_word(domain, "name"), 256);
    g_autofree char *label = g_strconcat(name, ": ", NULL);

    mf_cli_print_reason_lines(label, domain);
}

static guint64
count_read(const MemfoldEstimate *estimate)
{
    guint64 count = 0;

    memfold_figures_get_uint64(memfold_estimate_get_all(estimate), "domains_count", &count);
    return count;
}

/* Of whom the last row is. */
static char *
name_all(const MemfoldEstimate *estimate)
{
    guint64 count = count_read(estimate);

    if (count == memfold_estimate_get_n_domains(estimate)) {
        return g_strdup("(all of them)");
    }
    if (count == 0) {
        return g_strdup("(none could be read)");
    }
    return count == 1 ? g_strdup("(the one that was read)")
                      : g_strdup_printf("(the %" G_GUINT64_FORMAT " that were read)", count);
}

static void
print_table(const MemfoldEstimate *estimate)
{
    const MemfoldFigures *all = memfold_estimate_get_all(estimate);
    g_autofree char *what = name_all(estimate);
    g_autoptr(MfTable) table = mf_table_new(columns, G_N_ELEMENTS(columns));
    g_autofree char *text = NULL;
    g_autofree char *now = mf_cli_mib(all, "saved_now_bytes");

    if (memfold_estimate_get_n_domains(estimate) == 0) {
        printf("no domain runs\n");
        return;
    }
    for (gsize i = 0; i < memfold_estimate_get_n_domains(estimate); i++) {
        const MemfoldFigures *domain = memfold_estimate_get_domain(estimate, i);

        add_row(table, mf_cli_word(domain, "name"), mf_cli_word(domain, "group"), domain);
    }
    for (gsize i = 0; i < memfold_estimate_get_n_groups(estimate); i++) {
        const MemfoldFigures *group = memfold_estimate_get_group(estimate, i);

        add_row(table, "(inside the group)", mf_cli_word(group, "group"), group);
    }
    add_row(table, what, "-", all);
    text = mf_table_render(table, mf_cli_width());
    printf("%s\n", text);
    for (gsize i = 0; i < memfold_estimate_get_n_domains(estimate); i++) {
        print_reasons(memfold_estimate_get_domain(estimate, i));
    }
    printf("merging saves %s on this host now\n", now);
}

/* All that was asked for is there; or not, and then it has been told of whom. */
static MfExit
judge(const MemfoldEstimate *estimate, gboolean named)
{
    gsize domains_count = memfold_estimate_get_n_domains(estimate);

    if (domains_count > 0 && count_read(estimate) == 0) {
        return MF_EXIT_FAILED;
    }
    for (gsize i = 0; named && i < domains_count; i++) {
        const MemfoldFigures *domain = memfold_estimate_get_domain(estimate, i);

        for (gsize k = 0; k < memfold_figures_get_n_reasons(domain); k++) {
            if (g_str_equal(memfold_figures_get_reason(domain, k)->code, "estimate-failed")) {
                return MF_EXIT_FAILED;
            }
        }
    }
    return MF_EXIT_OK;
}

static void
print_json(const MemfoldEstimate *estimate)
{
    JsonObject *object = json_object_new();
    JsonArray *groups = json_array_new();
    JsonArray *domains = json_array_new();

    for (gsize i = 0; i < memfold_estimate_get_n_groups(estimate); i++) {
        json_array_add_object_element(groups,
                                      mf_cli_json_figures(memfold_estimate_get_group(estimate, i)));
    }
    for (gsize i = 0; i < memfold_estimate_get_n_domains(estimate); i++) {
        json_array_add_object_element(
            domains, mf_cli_json_figures(memfold_estimate_get_domain(estimate, i)));
    }
    json_object_set_object_member(object, "all",
                                  mf_cli_json_figures(memfold_estimate_get_all(estimate)));
    json_object_set_array_member(object, "groups", groups);
    json_object_set_array_member(object, "domains", domains);
    mf_cli_json_print(object);
}

static MfExit
run(int argc, char **argv)
{
    gboolean json = FALSE;
    gint rate_mib = RATE_MIB;
    const GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &json, "Print a JSON object", NULL},
        {"rate", 0, 0, G_OPTION_ARG_INT, &rate_mib,
         "Read so many MiB of memory in a second at most (256)", "MIB"},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(MemfoldEstimate) estimate = NULL;
    g_autoptr(GError) error = NULL;

    if (!mf_cli_parse(&mf_command_estimate, entries, 0, -1, &argc, &argv)) {
        return MF_EXIT_USAGE;
    }
    if (rate_mib < 1 || rate_mib > RATE_MAX_MIB) {
        mf_cli_complain("--rate=%d is not between 1 and %d MiB in a second", rate_mib,
                        RATE_MAX_MIB);
        return MF_EXIT_USAGE;
    }
    estimate = ask(argv + 1, (guint64)rate_mib * MIB_BYTES, &error);
    if (estimate == NULL) {
        return mf_cli_fail(error);
    }
    if (json) {
        print_json(estimate);
    } else {
        print_table(estimate);
    }
    return judge(estimate, argc > 1);
}

const MfCommand mf_command_estimate = {
    .name = "estimate",
    .arguments = "[DOMAIN...]",
    .summary = "Estimate what merging would save, before it is on",
    .details = "Reads the memory of the domains once, as keyed hashes that nobody keeps; needs "
               "permission.\n"
               "SAVES is for each domain alone, inside each group, and for all of them together; "
               "with 95 %\n"
               "of certainty it lies between FROM and TO.  ZEROES come on top: pages of zeroes can "
               "go as a\n"
               "whole.  What is merged already is in SAVES, too.\n"
               "Ends with 1 when nothing could be read, or not all of a domain that was named.",
    .run = run,
};
