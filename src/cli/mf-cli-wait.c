/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-cli-wait.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_WAIT_USEC (2 * G_USEC_PER_SEC)
#define PERMYRIAD_PERCENT  100
#define FIGURE_COLUMNS     8

static void
on_progress(guint done_permyriad, gpointer data)
{
    MfCliWait *wait = data;

    if (g_get_monotonic_time() - wait->begun_usec >= PROGRESS_WAIT_USEC) {
        wait->is_shown = TRUE;
        fprintf(stderr, "\r%s: %3u %%", wait->what, done_permyriad / PERMYRIAD_PERCENT);
        fflush(stderr);
    }
}

MemfoldProgress
mf_cli_wait_begin(MfCliWait *wait, const char *what)
{
    *wait = (MfCliWait){what, g_get_monotonic_time(), FALSE};
    return isatty(STDERR_FILENO) ? on_progress : NULL;
}

void
mf_cli_wait_end(const MfCliWait *wait)
{
    if (wait->is_shown) {
        fprintf(stderr, "\r%*s\r", (int)strlen(wait->what) + FIGURE_COLUMNS, "");
    }
}
