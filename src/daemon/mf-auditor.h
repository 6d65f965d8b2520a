/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * org.memfold1.Host.Audit: the proof that no page is shared across groups, or who shares.
 *
 * It walks the page tables of all domains, and tells who has pages in common with whom; so it has a
 * polkit action of its own.
 */
#pragma once

#include "../engine/mf-engine.h"
#include "mf-bus.h"

/* Handler of the skeleton's signal "handle-audit"; user_data is the MfEngine, which must outlive
 * the connection of the signal.  The answer comes when the audit has ended. */
gboolean mf_auditor_call(MfBusHost *host, GDBusMethodInvocation *invocation,
                         const char *const *names, gpointer user_data);
