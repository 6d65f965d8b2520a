/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-notify.h"

#include "mf-build.h"

#if MF_HAVE_SYSTEMD

#include <systemd/sd-daemon.h>

void
mf_notify_ready(void)
{
    sd_notify(0, "READY=1");
}

void
mf_notify_reloading(void)
{
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" G_GINT64_FORMAT, g_get_monotonic_time());
}

void
mf_notify_stopping(void)
{
    sd_notify(0, "STOPPING=1");
}

static gboolean
on_watchdog(G_GNUC_UNUSED gpointer data)
{
    sd_notify(0, "WATCHDOG=1");
    return G_SOURCE_CONTINUE;
}

void
mf_notify_watchdog_start(void)
{
    guint64 interval_usec = 0;

    if (sd_watchdog_enabled(0, &interval_usec) > 0) {
        g_timeout_add((guint)(interval_usec / 2000), on_watchdog, NULL);
    }
}

#else

void
mf_notify_ready(void)
{
}

void
mf_notify_reloading(void)
{
}

void
mf_notify_stopping(void)
{
}

void
mf_notify_watchdog_start(void)
{
}

#endif
