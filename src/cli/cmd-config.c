/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `memfold config check`: would the daemon take this configuration?  Asks no daemon and changes
 * nothing. */
#include <stdio.h>
#include <string.h>

#include "mf-build.h"
#include "mf-cli.h"
#include "mf-configfile.h"

static MfExit
run(int argc, char **argv)
{
    g_autoptr(MfConfig) config = NULL;
    g_autoptr(GError) error = NULL;
    const char *path = MF_CONFIG_FILE;
    gboolean is_there = TRUE;

    if (!mf_cli_parse(&mf_command_config, NULL, 1, 2, &argc, &argv)) {
        return MF_EXIT_USAGE;
    }
    if (strcmp(argv[1], "check") != 0) {
        mf_cli_complain("unknown word \"%s\" after config; try: memfold config check", argv[1]);
        return MF_EXIT_USAGE;
    }
    if (argc > 2) {
        path = argv[2];
    }
    is_there = g_file_test(path, G_FILE_TEST_EXISTS);
    if (argc > 2 && !is_there) {
        mf_cli_complain("%s: no such file", path);
        return MF_EXIT_FAILED;
    }
    config = mf_configfile_load(path, &error);
    if (config == NULL) {
        mf_cli_complain("%s", error->message);
        return MF_EXIT_FAILED;
    }
    if (is_there) {
        printf("%s and %s.d/*.conf: ok\n", path, path);
    } else {
        printf("%s is not there: the defaults apply, and %s.d/*.conf: ok\n", path, path);
    }
    return MF_EXIT_OK;
}

const MfCommand mf_command_config = {
    .name = "config",
    .arguments = "check [FILE]",
    .summary = "Check the configuration file and its drop-ins",
    .details = "Without FILE, the installed one: " MF_CONFIG_FILE ".\n"
               "Needs no daemon; memfold reload has a running one read it.",
    .run = run,
};
