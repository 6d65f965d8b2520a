/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Answers org.memfold1.Host.Estimate: permission, progress, and an end when the caller leaves.
 *
 * Whoever may have an estimate learns how much guests have in common, which is more than any other
 * call tells; so it has a polkit action of its own.
 */
#pragma once

#include "../engine/mf-engine.h"

/* How much is read in a second when the caller does not say, and the least and the most of it. */
#define MF_ESTIMATE_RATE_BYTES     (G_GUINT64_CONSTANT(256) << 20)
#define MF_ESTIMATE_RATE_MIN_BYTES (G_GUINT64_CONSTANT(1) << 20)
#define MF_ESTIMATE_RATE_MAX_BYTES (G_GUINT64_CONSTANT(1) << 40)

/* Takes the call; the answer comes when the estimate has ended. */
void mf_estimator_answer(MfEngine *engine, GDBusMethodInvocation *invocation,
                         const char *const *names, GVariant *options);
