/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `memfold reload`: have the daemon read its configuration again. */
#include <stdio.h>

#include "mf-cli-wait.h"
#include "mf-cli.h"

static MfExit
run(int argc, char **argv)
{
    g_autoptr(MemfoldClient) client = NULL;
    g_autoptr(MfCliNotice) notice = NULL;
    g_autoptr(GError) error = NULL;
    gboolean done = FALSE;

    if (!mf_cli_parse(&mf_command_reload, NULL, 0, 0, &argc, &argv)) {
        return MF_EXIT_USAGE;
    }
    notice = mf_cli_notice_new();
    client = memfold_client_new(&error);
    done = client != NULL && memfold_client_reload(client, &error);
    g_clear_pointer(&notice, mf_cli_notice_free);
    if (!done) {
        return mf_cli_fail(error);
    }
    printf("the configuration was read again\n");
    return MF_EXIT_OK;
}

const MfCommand mf_command_reload = {
    .name = "reload",
    .arguments = "",
    .summary = "Have the daemon read its configuration again",
    .details = "A configuration with an error in it changes nothing; see memfold config check.",
    .run = run,
};
