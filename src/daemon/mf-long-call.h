/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A call over D-Bus that takes as long as it takes: permission first, then twice a second how far
 * it is, to the caller only, and an end when the caller leaves the bus.
 */
#pragma once

#include "../engine/mf-engine.h"

typedef struct _MfLongCall MfLongCall;

/* The caller may: the work is to begin, and takes the call over. */
typedef void (*MfLongCallBegin)(MfLongCall *call);

struct _MfLongCall {
    MfEngine *engine;
    GDBusMethodInvocation *invocation;
    GDBusConnection *connection;
    char *sender;
    char **names;
    guint uid; /* of the caller; known when it begins */
    GCancellable *cancellable;
    gint *done_permyriad; /* a g_atomic_rc_box, which the work shares */
    guint64 rate_bytes;   /* of an estimate */

    const char *what;   /* for the log: "estimate" */
    const char *signal; /* that tells how far it is */
    MfLongCallBegin begin;
    guint watch_id;
    guint progress_id;
};

/* Answers the call with Busy when one is under way, before anybody is asked for permission; FALSE:
 * none is, and it is not answered. */
gboolean mf_long_call_refused(GDBusMethodInvocation *invocation, gboolean is_under_way,
                              const char *what);

/* Takes the call; the two names must be static. */
MfLongCall *mf_long_call_new(MfEngine *engine, GDBusMethodInvocation *invocation,
                             const char *const *names, const char *what, const char *signal);

/* Answers the caller with an error, or has the work begin. */
void mf_long_call_start(MfLongCall *call, const char *polkit_action, MfLongCallBegin begin);

/* After the answer. */
void mf_long_call_free(MfLongCall *call);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfLongCall, mf_long_call_free)
