/* SPDX-License-Identifier: GPL-2.0-or-later */
/* org.memfold1.Host.Plan: what memfoldd would do now, as a dry run. */
#pragma once

#include "../engine/mf-engine.h"
#include "mf-bus.h"

/* Handler of the skeleton's signal "handle-plan"; user_data is the MfEngine, which must outlive the
 * connection of the signal.  Answers later, and always without error. */
gboolean mf_plan_call(MfBusHost *host, GDBusMethodInvocation *invocation, gpointer user_data);
