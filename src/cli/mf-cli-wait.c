/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-cli-wait.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_WAIT_USEC (2 * G_USEC_PER_SEC)
#define PERMYRIAD_PERCENT  100
#define FIGURE_COLUMNS     8

static const char notice_text[] = "waiting for memfoldd...";

/* The call itself keeps the thread that makes it. */
struct _MfCliNotice {
    GThread *thread;
    GMutex lock; /* of the next three */
    GCond changed;
    gboolean is_over;
    gboolean is_shown;
};

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

static void
erase(gsize columns)
{
    fprintf(stderr, "\r%*s\r", (int)columns, "");
}

void
mf_cli_wait_end(const MfCliWait *wait)
{
    if (wait->is_shown) {
        erase(strlen(wait->what) + FIGURE_COLUMNS);
    }
}

static gpointer
show_notice(gpointer data)
{
    MfCliNotice *notice = data;
    gint64 deadline_usec = g_get_monotonic_time() + PROGRESS_WAIT_USEC;

    g_mutex_lock(&notice->lock);
    while (!notice->is_over && g_cond_wait_until(&notice->changed, &notice->lock, deadline_usec)) {
        continue;
    }
    if (!notice->is_over) {
        notice->is_shown = TRUE;
        fputs(notice_text, stderr);
        fflush(stderr);
    }
    g_mutex_unlock(&notice->lock);
    return NULL;
}

MfCliNotice *
mf_cli_notice_new(void)
{
    MfCliNotice *notice;

    if (!isatty(STDERR_FILENO)) {
        return NULL;
    }
    notice = g_new0(MfCliNotice, 1);
    g_mutex_init(&notice->lock);
    g_cond_init(&notice->changed);
    notice->thread = g_thread_new("notice", show_notice, notice);
    return notice;
}

void
mf_cli_notice_free(MfCliNotice *notice)
{
    if (notice == NULL) {
        return;
    }
    g_mutex_lock(&notice->lock);
    notice->is_over = TRUE;
    g_cond_signal(&notice->changed);
    g_mutex_unlock(&notice->lock);
    g_thread_join(notice->thread);
    if (notice->is_shown) {
        erase(strlen(notice_text));
    }
    g_mutex_clear(&notice->lock);
    g_cond_clear(&notice->changed);
    g_free(notice);
}
