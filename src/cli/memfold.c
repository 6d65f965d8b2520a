/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memfold: the operator's command.  Finds the subcommand and hands over; each has a file of its
 * own. */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "mf-build.h"
#include "mf-cli.h"

static const MfCommand *const commands[] = {
    &mf_command_status,   &mf_command_why,    &mf_command_plan,   &mf_command_top,
    &mf_command_estimate, &mf_command_audit,  &mf_command_report, &mf_command_set,
    &mf_command_doctor,   &mf_command_config, &mf_command_reload,
};

static const MfCommand *
find_command(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (strcmp(commands[i]->name, name) == 0) {
            return commands[i];
        }
    }
    return NULL;
}

static void
print_help(FILE *out)
{
    fprintf(out,
            "Usage:\n  memfold COMMAND [OPTION...] [ARGUMENT...]\n\n"
            "Keep one copy of what virtual machines have in common, and see what it brings.\n\n"
            "Commands:\n");
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        g_autofree char *usage =
            g_strdup_printf("%s %s", commands[i]->name, commands[i]->arguments);

        fprintf(out, "  %-26s %s\n", usage, commands[i]->summary);
    }
    fprintf(out,
            "  %-26s %s\n\n"
            "Options:\n"
            "  -h, --help                 Show this help; after a command, that command's\n"
            "      --version              Show the version\n\n"
            "Exit codes: 0 ok, 1 failed, 2 usage, 3 no daemon.  See memfold(1).\n",
            "help [COMMAND]", "Show this help, or that of a command");
}

/* `memfold help COMMAND` is `memfold COMMAND --help`. */
static MfExit
run_help(const char *name)
{
    char option[] = "--help";
    const MfCommand *command = find_command(name);

    if (command == NULL) {
        mf_cli_complain("unknown command \"%s\"; try: memfold help", name);
        return MF_EXIT_USAGE;
    }
    return command->run(2, (char *[]){(char *)name, option, NULL});
}

static MfExit
run(int argc, char **argv)
{
    const MfCommand *command;

    if (argc < 2) {
        print_help(stderr);
        return MF_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("memfold %s\n", MF_VERSION);
        return MF_EXIT_OK;
    }
    if (strcmp(argv[1], "help") == 0 && argc > 2) {
        return run_help(argv[2]);
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
        strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return MF_EXIT_OK;
    }
    command = find_command(argv[1]);
    if (command == NULL) {
        mf_cli_complain("unknown command \"%s\"; try: memfold help", argv[1]);
        return MF_EXIT_USAGE;
    }
    return command->run(argc - 1, argv + 1);
}

int
main(int argc, char **argv)
{
    MfExit exit_code;

    setlocale(LC_ALL, "");
    exit_code = run(argc, argv);
    /* Half a table, or half an object, on a full disk is no success. */
    return !mf_cli_flush() && exit_code == MF_EXIT_OK ? MF_EXIT_FAILED : exit_code;
}
