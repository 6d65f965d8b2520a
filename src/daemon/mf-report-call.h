/* SPDX-License-Identifier: GPL-2.0-or-later */
/* org.memfold1.Host.Report: what the last hour, day or week came to. */
#pragma once

#include "../engine/mf-engine.h"
#include "mf-bus.h"

/* Handler of the skeleton's signal "handle-report"; user_data is the MfEngine, which must outlive
 * the connection of the signal.  Answers from memory, later; errors: NoDomain, Invalid, and
 * Busy while two others are under way. */
gboolean mf_report_call(MfBusHost *host, GDBusMethodInvocation *invocation,
                        const char *const *names, GVariant *options, gpointer user_data);
