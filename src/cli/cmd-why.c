/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `memfold why`: why a domain merges or does not, and what can be done about it. */
#include <stdio.h>

#include "mf-cli-json.h"
#include "mf-cli.h"

/* Reasons that tell how it is, and not that something stands against merging. */
static const char *const good_codes[] = {"policy",  "domains",   "boost", "steady",
                                         "resting", "admission", NULL};

/* Without any reason nobody has judged yet. */
static gboolean
is_judged(const MemfoldFigures *figures)
{
    return memfold_figures_get_n_reasons(figures) > 0;
}

static gboolean
all_good(const MemfoldFigures *figures)
{
    for (gsize i = 0; i < memfold_figures_get_n_reasons(figures); i++) {
        if (!g_strv_contains(good_codes, memfold_figures_get_reason(figures, i)->code)) {
            return FALSE;
        }
    }
    return TRUE;
}

/* Whether the domain is merged as far as it can be.  One that its policy keeps from that is as it
 * is meant to be, and still not merged. */
static gboolean
nothing_is_wrong(const MemfoldFigures *domain, const MemfoldFigures *host)
{
    gboolean mergeable = FALSE;

    return is_judged(domain) && is_judged(host) &&
           memfold_figures_get_boolean(domain, "mergeable", &mergeable) && mergeable &&
           g_str_equal(mf_cli_word(domain, "mode"), "on") && all_good(domain) && all_good(host);
}

static void
print_text(const MemfoldFigures *domain, const MemfoldFigures *host)
{
    g_autofree char *merged = mf_cli_mib(domain, "merged_bytes");
    g_autofree char *saved = mf_cli_mib(domain, "saved_bytes");
    guint64 age_msec = 0;
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
    memfold_figures_get_uint64(domain, "age_msec", &age_msec);
    mf_cli_print_age("figures ", age_msec);
    printf("because\n");
    mf_cli_print_reasons(domain);
    printf("the host\n");
    mf_cli_print_reasons(host);
    if (!is_judged(domain) || !is_judged(host)) {
        printf("not judged yet; ask again\n");
    } else if (nothing_is_wrong(domain, host)) {
        printf("nothing is wrong\n");
    }
}

static void
print_json(const MemfoldFigures *domain, const MemfoldFigures *host)
{
    JsonObject *object = mf_cli_json_domain(domain);

    mf_cli_json_add_reasons(object, "host_reasons", host);
    json_object_set_boolean_member(object, "nothing_is_wrong", nothing_is_wrong(domain, host));
    mf_cli_json_print(object);
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
    const MemfoldFigures *host;
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
    host = memfold_description_get_host(description);
    if (json) {
        print_json(domain, host);
    } else {
        print_text(domain, host);
    }
    return MF_EXIT_OK;
}

const MfCommand mf_command_why = {
    .name = "why",
    .arguments = "DOMAIN",
    .summary = "Explain why a domain merges or does not, and what helps",
    .run = run,
};
