/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `memfold plan`: what the daemon would do now and why, without doing it. */
#include <stdio.h>

#include "mf-cli-json.h"
#include "mf-cli-wait.h"
#include "mf-cli.h"
#include "mf-units.h"

/* What takes memory of a domain has a number of bytes, all else a value before and one after. */
static char *
describe_action(const MemfoldFigures *action)
{
    const char *kind = mf_cli_word(action, "kind");
    gboolean of_knob = g_str_equal(kind, "knob");
    const char *from = memfold_figures_get_string(action, "from");
    guint64 bytes;

    if (memfold_figures_get_uint64(action, "bytes", &bytes)) {
        g_autofree char *text = mf_format_bytes(bytes);
        return g_strdup_printf("domain %s: %s %s", mf_cli_word(action, "name"), kind, text);
    }
    if (g_str_equal(kind, "boost")) {
        return g_strdup_printf("domain %s: process %s is scanned first",
                               mf_cli_word(action, "name"), mf_cli_word(action, "to"));
    }
    /* A group and a word for the kernel are not the domain's mode. */
    const char *of = g_str_equal(kind, "group")   ? "merge group "
                     : g_str_equal(kind, "flags") ? "ksm flags "
                                                  : "";
    return g_strdup_printf("%s %s: %s%s -> %s", of_knob ? "ksm" : "domain",
                           mf_cli_word(action, of_knob ? "knob" : "name"), of,
                           from != NULL ? from : "unknown", mf_cli_word(action, "to"));
}

static void
print_action(const MemfoldFigures *action)
{
    g_autofree char *line = describe_action(action);

    mf_cli_print_line("", line);
    mf_cli_print_reasons(action);
}

static void
print_text(const MemfoldPlan *plan)
{
    gsize n_actions = memfold_plan_get_n_actions(plan);

    if (n_actions == 0) {
        printf("nothing to do\n");
    }
    for (gsize i = 0; i < n_actions; i++) {
        print_action(memfold_plan_get_action(plan, i));
    }
    printf("%sthe host\n", n_actions > 0 ? "\n" : "");
    mf_cli_print_reasons(memfold_plan_get_host(plan));
}

static void
print_json(const MemfoldPlan *plan)
{
    JsonObject *object = json_object_new();
    JsonArray *actions = json_array_new();

    for (gsize i = 0; i < memfold_plan_get_n_actions(plan); i++) {
        json_array_add_object_element(actions,
                                      mf_cli_json_action(memfold_plan_get_action(plan, i)));
    }
    json_object_set_array_member(object, "actions", actions);
    json_object_set_object_member(object, "host", mf_cli_json_figures(memfold_plan_get_host(plan)));
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
    g_autoptr(MemfoldClient) client = NULL;
    g_autoptr(MemfoldPlan) plan = NULL;
    g_autoptr(MfCliNotice) notice = NULL;
    g_autoptr(GError) error = NULL;

    if (!mf_cli_parse(&mf_command_plan, entries, 0, 0, &argc, &argv)) {
        return MF_EXIT_USAGE;
    }
    notice = mf_cli_notice_new();
    client = memfold_client_new(&error);
    if (client != NULL) {
        plan = memfold_client_plan(client, &error);
    }
    g_clear_pointer(&notice, mf_cli_notice_free);
    if (plan == NULL) {
        return mf_cli_fail(error);
    }
    if (json) {
        print_json(plan);
    } else {
        print_text(plan);
    }
    return MF_EXIT_OK;
}

const MfCommand mf_command_plan = {
    .name = "plan",
    .arguments = "",
    .summary = "Show what the daemon would do now and why; nothing is done",
    .details = "The daemon looks at the host afresh and decides as it does at every tick. What it\n"
               "leaves alone (another manager of ksmd, manage=false) is told under \"the host\".",
    .run = run,
};
