/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `memfold status`: what the host saves, and what each domain has of it. */
#include <stdio.h>

#include "mf-cli-json.h"
#include "mf-cli.h"
#include "mf-table.h"

static const MfColumn columns[] = {
    {.title = "NAME", .max_columns = 24},
    {.title = "POLICY", .max_columns = 6},
    {.title = "MODE", .max_columns = 7},
    {.title = "MERGED", .right = TRUE},
    {.title = "SAVED", .right = TRUE},
    {.title = "GROUP", .max_columns = 14},
    {.title = "REASON"},
};

/* What a storm would take and what there is for it; nothing where one of them is not known. */
static void
print_storm(const MemfoldFigures *host)
{
    guint64 ignored;

    if (memfold_figures_get_uint64(host, "storm_need_bytes", &ignored) &&
        memfold_figures_get_uint64(host, "storm_have_bytes", &ignored)) {
        g_autofree char *need = mf_cli_mib(host, "storm_need_bytes");
        g_autofree char *have = mf_cli_mib(host, "storm_have_bytes");

        printf("storm  would take %s if all merged memory were written; %s at hand\n", need, have);
    }
}

static void
print_host(const MemfoldFigures *host)
{
    g_autofree char *saved = mf_cli_mib(host, "saved_bytes");
    g_autofree char *cpu = mf_cli_percent(host, "ksmd_cpu_permyriad");
    g_autofree char *budget = mf_cli_percent(host, "ksmd_budget_permyriad");
    g_autofree char *sum_error = mf_cli_percent(host, "sum_error_permyriad");

    printf("saved  %s on this host; sum error of the domains %s\n", saved,
           sum_error != NULL ? sum_error : "unknown");
    print_storm(host);
    printf("ksmd   %s; %s of one CPU, budget %s\n", mf_cli_run_state(host),
           cpu != NULL ? cpu : "unknown share", budget != NULL ? budget : "unknown");
    mf_cli_print_reason_lines("       ", host);
}

static void
print_age(const GPtrArray *domains)
{
    guint64 oldest_msec = 0;

    for (guint i = 0; i < domains->len; i++) {
        guint64 age_msec = 0;

        memfold_figures_get_uint64(g_ptr_array_index(domains, i), "age_msec", &age_msec);
        oldest_msec = MAX(oldest_msec, age_msec);
    }
    mf_cli_print_age("figures  ", oldest_msec);
}

static void
add_row(MfTable *table, const MemfoldFigures *domain)
{
    g_autofree char *merged = mf_cli_mib(domain, "merged_bytes");
    g_autofree char *saved = mf_cli_mib(domain, "saved_bytes");
    const MemfoldReason *reason =
        memfold_figures_get_n_reasons(domain) > 0 ? memfold_figures_get_reason(domain, 0) : NULL;
    const char *const cells[] = {
        mf_cli_word(domain, "name"),
        mf_cli_word(domain, "merge"),
        mf_cli_word(domain, "mode"),
        merged,
        saved,
        mf_cli_word(domain, "group"),
        reason != NULL ? reason->text : "",
    };

    mf_table_add(table, cells);
}

static void
print_table(const MemfoldFigures *host, const GPtrArray *domains)
{
    g_autoptr(MfTable) table = mf_table_new(columns, G_N_ELEMENTS(columns));
    g_autofree char *text = NULL;

    print_host(host);
    print_age(domains);
    if (domains->len == 0) {
        printf("\nno domain runs\n");
        return;
    }
    for (guint i = 0; i < domains->len; i++) {
        add_row(table, g_ptr_array_index(domains, i));
    }
    text = mf_table_render(table, mf_cli_width());
    printf("\n%s", text);
}

static void
print_json(const MemfoldFigures *host, const GPtrArray *domains)
{
    JsonObject *object = json_object_new();
    JsonArray *entries = json_array_new();

    for (guint i = 0; i < domains->len; i++) {
        json_array_add_object_element(entries, mf_cli_json_domain(g_ptr_array_index(domains, i)));
    }
    json_object_set_object_member(object, "host", mf_cli_json_figures(host));
    json_object_set_array_member(object, "domains", entries);
    mf_cli_json_print(object);
}

/* The domains that were asked for, or all; NULL when one of them does not run. */
static GPtrArray *
choose(const MemfoldDescription *description, int n_names, char **names)
{
    g_autoptr(GPtrArray) chosen = g_ptr_array_new();

    for (int i = 0; i < n_names; i++) {
        const MemfoldFigures *domain = mf_cli_find_domain(description, names[i]);

        if (domain == NULL) {
            return NULL;
        }
        g_ptr_array_add(chosen, (gpointer)domain);
    }
    for (gsize i = 0; n_names == 0 && i < memfold_description_get_n_domains(description); i++) {
        g_ptr_array_add(chosen, (gpointer)memfold_description_get_domain(description, i));
    }
    return g_steal_pointer(&chosen);
}

static MfExit
run(int argc, char **argv)
{
    gboolean json = FALSE;
    const GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &json, "Print a JSON object", NULL},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(MemfoldDescription) description = NULL;
    g_autoptr(GPtrArray) domains = NULL;
    MfExit exit_code = MF_EXIT_OK;

    if (!mf_cli_parse(&mf_command_status, entries, 0, -1, &argc, &argv)) {
        return MF_EXIT_USAGE;
    }
    description = mf_cli_describe(&exit_code);
    if (description == NULL) {
        return exit_code;
    }
    domains = choose(description, argc - 1, argv + 1);
    if (domains == NULL) {
        return MF_EXIT_FAILED;
    }
    if (json) {
        print_json(memfold_description_get_host(description), domains);
    } else {
        print_table(memfold_description_get_host(description), domains);
    }
    return MF_EXIT_OK;
}

const MfCommand mf_command_status = {
    .name = "status",
    .arguments = "[DOMAIN...]",
    .summary = "Show what the host and each running domain save",
    .details = "MERGED is what a domain shares, SAVED its part of the host's saving.\n"
               "A figure that could not be read is \"-\" in the table and absent from the JSON.",
    .run = run,
};
