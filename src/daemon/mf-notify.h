/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What systemd is told, when memfoldd is built with libsystemd and runs under it; else nothing. */
#pragma once

#include <glib.h>

void mf_notify_ready(void);
void mf_notify_reloading(void);
void mf_notify_stopping(void);

/* Feeds systemd's watchdog from the main loop for as long as the loop turns, if the unit has one.
 */
void mf_notify_watchdog_start(void);
