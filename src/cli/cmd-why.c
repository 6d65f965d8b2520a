/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `memfold why`: why a domain merges or does not, and what can be done about it. */
#include <stdio.h>

#include "mf-cli-json.h"
#include "mf-cli.h"

static void
print_text(const MemfoldFigures *domain)
{
    g_autofree char *merged = mf_cli_mib(domain, "merged_bytes");
    g_autofree char *saved = mf_cli_mib(domain, "saved_bytes");
    gboolean mergeable = FALSE;
    gboolean known = memfold_figures_get_boolean(domain, "mergeable", &mergeable);

    mf_cli_print_line("domain  ", mf_cli_word(domain, "name"));
    mf_cli_print_line("uuid    ", mf_cli_word(domain, "uuid"));
    mf_cli_print_line("policy  ", mf_cli_word(domain, "merge"));
    mf_cli_print_line("group   ", mf_cli_word(domain, "group"));
    mf_cli_print_line("mode    ", mf_cli_word(domain, "mode"));
    printf("memory  %s; %s merged, %s saved\n",
           !known      ? "not known whether it can merge"
           : mergeable ? "can merge"
                       : "can not merge",
           merged, saved);
    printf("because\n");
    mf_cli_print_reasons(domain);
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
    const MemfoldFigures *domain;
    MfExit exit_code = MF_EXIT_OK;

    if (!mf_cli_parse(&mf_command_why, entries, 1, 1, &argc, &argv)) {
        return MF_EXIT_USAGE;
    }
    description = mf_cli_describe(&exit_code);
    if (description == NULL) {
        return exit_code;
    }
    domain = mf_cli_find_domain(description, argv[1]);
    if (domain == NULL) {
        return MF_EXIT_FAILED;
    }
    if (json) {
        mf_cli_json_print(mf_cli_json_domain(domain));
    } else {
        print_text(domain);
    }
    return MF_EXIT_OK;
}

const MfCommand mf_command_why = {
    .name = "why",
    .arguments = "DOMAIN",
    .summary = "Explain why a domain merges or does not, and what helps",
    .run = run,
};
