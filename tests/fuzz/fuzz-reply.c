/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memfold and libmemfold against a daemon that answers anything.
 *
 * The input is a line: the number of a command line (below), or "error NAME NUMBER", and then the
 * answer in GVariant's own notation.  Whatever comes, the command ends with one of its exit codes,
 * what it prints for people is printable, and what it prints for programs is JSON or XML.
 */
#include <json-glib/json-glib.h>
#include <libxml/parser.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/cli/mf-cli.h"
#include "../../src/cli/mf-top-data.h"
#include "../../src/cli/mf-top-screen.h"
#include "mf-fuzz-daemon.h"
#include "mf-fuzz.h"

#define WORDS_MAX    6
#define SCREEN_LINES 24
#define SCREEN_WIDTH 80
#define KEYS         "sjjkj\n"
#define AN_HOUR_MSEC 3600000

typedef enum { FOR_PEOPLE, AS_JSON, AS_XML } Form;

static const struct {
    const MfCommand *command;
    const char *words[WORDS_MAX];
    Form form;
} command_lines[] = {
    {&mf_command_status, {"status"}, FOR_PEOPLE},
    {&mf_command_status, {"status", "--json"}, AS_JSON},
    {&mf_command_status, {"status", "vm1"}, FOR_PEOPLE},
    {&mf_command_why, {"why", "vm1"}, FOR_PEOPLE},
    {&mf_command_why, {"why", "--json", "vm1"}, AS_JSON},
    {&mf_command_plan, {"plan"}, FOR_PEOPLE},
    {&mf_command_plan, {"plan", "--json"}, AS_JSON},
    {&mf_command_estimate, {"estimate"}, FOR_PEOPLE},
    {&mf_command_estimate, {"estimate", "--json", "vm1"}, AS_JSON},
    {&mf_command_report, {"report"}, FOR_PEOPLE},
    {&mf_command_report, {"report", "--json", "--period", "1h"}, AS_JSON},
    {&mf_command_report, {"report", "--html", "-", "vm1"}, AS_XML},
    {&mf_command_set, {"set", "vm1", "merge=off"}, FOR_PEOPLE},
    {&mf_command_reload, {"reload"}, FOR_PEOPLE},
    {&mf_command_doctor, {"doctor", "--root", NULL}, FOR_PEOPLE},
    {&mf_command_doctor, {"doctor", "--json", "--root", NULL}, AS_JSON},
    {NULL, {"top"}, FOR_PEOPLE},
    {&mf_command_audit, {"audit"}, FOR_PEOPLE},
    {&mf_command_audit, {"audit", "--json", "vm1"}, AS_JSON},
};

static MfFuzzFolder *folder;

int
LLVMFuzzerInitialize(G_GNUC_UNUSED int *argc, G_GNUC_UNUSED char ***argv)
{
    setlocale(LC_ALL, "C.UTF-8");
    /* Else doctor asks no daemon about a host below a directory. */
    g_setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=none", TRUE);
    mf_fuzz_quiet();
    folder = mf_fuzz_folder_new();
    return 0;
}

static void
check_printable(const char *text)
{
    g_assert_true(g_utf8_validate(text, -1, NULL));
    for (const char *p = text; *p != '\0'; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        g_assert_true(c == '\n' || g_unichar_isprint(c));
    }
}

static void
check_form(const char *text, Form form)
{
    if (form == AS_JSON) {
        g_autoptr(GError) error = NULL;
        g_autoptr(JsonNode) node = json_from_string(text, &error);

        g_assert_no_error(error);
        g_assert_true(JSON_NODE_HOLDS_OBJECT(node));
    } else if (form == AS_XML) {
        xmlDoc *page = xmlReadMemory(text, (int)strlen(text), NULL, NULL,
                                     XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);

        g_assert_nonnull(page);
        xmlFreeDoc(page);
    } else {
        check_printable(text);
    }
}

/* `memfold top` needs a terminal; what it would draw does not. */
static MfExit
run_top(void)
{
    g_autoptr(MemfoldClient) client = memfold_client_new(NULL);
    g_autoptr(MemfoldDescription) description = memfold_client_describe(client, NULL);
    MfTopView view = {0};
    MfTopData *data = NULL;
    MfTopData *later = NULL;

    if (description == NULL) {
        return MF_EXIT_FAILED;
    }
    data = mf_top_data_new(description, AN_HOUR_MSEC, NULL);
    later = mf_top_data_new(description, 2 * AN_HOUR_MSEC, data);
    for (const char *key = KEYS; *key != '\0'; key++) {
        g_autoptr(GPtrArray) lines = NULL;
        g_autofree char *block = mf_top_block(later, &view, SCREEN_WIDTH);
        int selected = -1;

        mf_top_press(&view, later, (gunichar)*key);
        lines = mf_top_layout(later, &view, SCREEN_WIDTH, SCREEN_LINES, &selected);
        g_assert_cmpuint(lines->len, ==, SCREEN_LINES);
        g_assert_cmpint(selected, <, SCREEN_LINES);
        for (guint i = 0; i < lines->len; i++) {
            check_printable(lines->pdata[i]);
        }
        fputs(block, stdout);
    }
    mf_top_view_clear(&view);
    mf_top_data_free(later);
    mf_top_data_free(data);
    return MF_EXIT_OK;
}

static MfExit
run_command(guint number)
{
    char *words[WORDS_MAX + 1] = {NULL};
    char *argv[WORDS_MAX + 1];
    int argc = 0;
    MfExit code = MF_EXIT_OK;

    if (command_lines[number].command == NULL) {
        return run_top();
    }
    while (argc < WORDS_MAX && command_lines[number].words[argc] != NULL) {
        words[argc] = g_strdup(command_lines[number].words[argc]);
        argc++;
    }
    if (g_str_equal(words[argc - 1], "--root")) {
        words[argc++] = g_strdup(mf_fuzz_folder_get_path(folder));
    }
    memcpy(argv, words, sizeof argv);
    code = command_lines[number].command->run(argc, argv);
    for (guint i = 0; words[i] != NULL; i++) {
        g_free(words[i]);
    }
    return code;
}

/* Runs it with both streams in memory. */
static void
run_captured(guint number)
{
    FILE *real_out = stdout;
    FILE *real_err = stderr;
    char *out = NULL;
    char *err = NULL;
    size_t out_bytes = 0;
    size_t err_bytes = 0;
    MfExit code = MF_EXIT_OK;

    stdout = open_memstream(&out, &out_bytes);
    stderr = open_memstream(&err, &err_bytes);
    code = run_command(number);
    fclose(stdout);
    fclose(stderr);
    stdout = real_out;
    stderr = real_err;
    g_assert_cmpint(code, >=, MF_EXIT_OK);
    g_assert_cmpint(code, <=, MF_EXIT_NO_DAEMON);
    g_assert_cmpuint(strlen(out), ==, out_bytes);
    check_printable(err);
    if (out_bytes > 0) {
        check_form(out, command_lines[number].form);
    }
    g_assert_true(code != MF_EXIT_OK || out_bytes > 0);
    free(out);
    free(err);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *line = mf_fuzz_take_line(&data, &size);
    g_auto(GStrv) words = g_strsplit(line, " ", 3);
    gboolean is_error = words[0] != NULL && g_str_equal(words[0], "error") &&
                        g_strv_length(words) == 3 && g_dbus_is_interface_name(words[1]);
    const char *number = is_error ? words[2] : words[0];
    g_autoptr(GVariant) value = is_error ? NULL : mf_fuzz_wire_value(data, size);
    guint64 chosen = 0;

    if (number == NULL || !g_ascii_string_to_unsigned(
                              number, 10, 0, G_N_ELEMENTS(command_lines) - 1, &chosen, NULL)) {
        return 0;
    }
    mf_fuzz_daemon_answers(value, is_error ? words[1] : NULL);
    run_captured((guint)chosen);
    mf_fuzz_daemon_answers(NULL, NULL);
    return 0;
}
