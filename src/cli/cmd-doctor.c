/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `memfold doctor`: what works on this host, what does not, and what to do; with or without a
 * daemon. */
#include <stdio.h>

#include "mf-cli-json.h"
#include "mf-cli-wait.h"
#include "mf-cli.h"
#include "mf-doctor.h"
#include "mf-text.h"

static void
check_free(gpointer data)
{
    MfCheck *check = data;

    g_free(check->finding);
    g_free(check->remedy);
    g_free(check);
}

GPtrArray *
mf_doctor_checks_new(void)
{
    return g_ptr_array_new_with_free_func(check_free);
}

void
mf_doctor_add(GPtrArray *checks, const char *name, MfCheckState state, gboolean broken,
              char *finding, const char *remedy)
{
    MfCheck *check = g_new0(MfCheck, 1);

    *check = (MfCheck){.name = name,
                       .state = state,
                       .broken = broken,
                       .finding = finding,
                       .remedy = g_strdup(remedy)};
    g_ptr_array_add(checks, check);
}

const char *
mf_check_state_to_string(MfCheckState state)
{
    static const char *const names[] = {"ok", "warn", "missing"};

    return names[state];
}

static void
print_text(const GPtrArray *checks)
{
    for (guint i = 0; i < checks->len; i++) {
        const MfCheck *check = g_ptr_array_index(checks, i);
        g_autofree char *finding = mf_text_printable(check->finding, 1024);

        printf("%-7s  %-22s  %s\n", mf_check_state_to_string(check->state), check->name, finding);
        if (check->remedy != NULL) {
            g_autofree char *remedy = mf_text_printable(check->remedy, 1024);

            printf("%-7s  %-22s  remedy: %s\n", "", "", remedy);
        }
    }
}

static void
print_json(const GPtrArray *checks, gboolean broken)
{
    JsonObject *object = json_object_new();
    JsonArray *entries = json_array_new();

    for (guint i = 0; i < checks->len; i++) {
        const MfCheck *check = g_ptr_array_index(checks, i);
        g_autofree char *finding = mf_text_printable(check->finding, 1024);
        JsonObject *entry = json_object_new();

        json_object_set_string_member(entry, "check", check->name);
        json_object_set_string_member(entry, "state", mf_check_state_to_string(check->state));
        json_object_set_boolean_member(entry, "broken", check->broken);
        json_object_set_string_member(entry, "finding", finding);
        if (check->remedy != NULL) {
            g_autofree char *remedy = mf_text_printable(check->remedy, 1024);

            json_object_set_string_member(entry, "remedy", remedy);
        }
        json_array_add_object_element(entries, entry);
    }
    json_object_set_array_member(object, "checks", entries);
    json_object_set_boolean_member(object, "broken", broken);
    mf_cli_json_print(object);
}

static void
ask_daemon(GPtrArray *checks)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MfCliNotice) notice = mf_cli_notice_new();
    g_autoptr(MemfoldClient) client = memfold_client_new(&error);
    g_autoptr(MemfoldDescription) description = NULL;

    if (client != NULL) {
        description = memfold_client_describe(client, &error);
    }
    g_clear_pointer(&notice, mf_cli_notice_free);
    mf_doctor_check_daemon(checks, description, error);
}

static MfExit
run(int argc, char **argv)
{
    gboolean json = FALSE;
    g_autofree char *root_path = NULL;
    const GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &json, "Print a JSON object", NULL},
        {"root", 0, 0, G_OPTION_ARG_FILENAME, &root_path, "Look at the host under this directory",
         "DIR"},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GPtrArray) checks = mf_doctor_checks_new();
    g_autoptr(MfRoot) root = NULL;
    g_autoptr(GError) error = NULL;
    gboolean broken = FALSE;

    if (!mf_cli_parse(&mf_command_doctor, entries, 0, 0, &argc, &argv)) {
        return MF_EXIT_USAGE;
    }
    root = mf_root_new(root_path != NULL ? root_path : "/", &error);
    if (root == NULL) {
        mf_cli_complain("%s", error->message);
        return MF_EXIT_FAILED;
    }
    mf_doctor_check_host(checks, root);
    /* The daemon that answers is this host's, and not that of the one below DIR, unless somebody
     * says where that one's bus is. */
    if (root_path == NULL || g_getenv("DBUS_SYSTEM_BUS_ADDRESS") != NULL) {
        ask_daemon(checks);
    }
    for (guint i = 0; i < checks->len; i++) {
        broken |= ((const MfCheck *)g_ptr_array_index(checks, i))->broken;
    }
    if (json) {
        print_json(checks, broken);
    } else {
        print_text(checks);
    }
    return broken ? MF_EXIT_FAILED : MF_EXIT_OK;
}

const MfCommand mf_command_doctor = {
    .name = "doctor",
    .arguments = "",
    .summary = "Show what this host can do, what it lacks, and the remedy",
    .details =
        "Fails (exit code 1) only when memfold can't work here at all.\n"
        "With --root no daemon is asked, since the one that runs is not of that host, unless\n"
        "DBUS_SYSTEM_BUS_ADDRESS says where that host's bus is.",
    .run = run,
};
