/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the host and each domain are asked by everybody: Describe().
 *
 * An answer waits for accounts that are new enough, and is made on the main loop.  So there is a
 * bound to how many wait, and those that waited for the same accounts have the same answer.
 */
#pragma once

#include "../engine/mf-engine.h"
#include "mf-bus.h"

/* Handlers of the two signals; user_data is the engine. */
gboolean mf_describe_host_call(MfBusHost *host, GDBusMethodInvocation *invocation,
                               gpointer user_data);
gboolean mf_describe_domain_call(MfBusDomain *skeleton, GDBusMethodInvocation *invocation,
                                 gpointer user_data);
