/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions to QEMUs, a few at a time.
 *
 * One question is all that is said to one QEMU in one go: probe it, switch it, ask how its memory
 * is marked.  A frozen QEMU holds its call, and one of libvirtd's twenty workers, for as long as it
 * is frozen; so no more than MF_MONITOR_CALLS_MAX are under way, and one for each domain.
 */
#pragma once

#include "../io/mf-virt.h"

#define MF_MONITOR_CALLS_MAX 8

typedef struct _MfMonitor MfMonitor;

typedef struct {
    char *uuid;
    gboolean probe; /* find out the capabilities first; else caps holds them */
    guint caps;     /* MfCaps */
    MfMode set;     /* the mode to set, or UNKNOWN */
} MfQuestion;

typedef struct {
    MfQuestion question;
    MfDomain *facts; /* caps, mode and blocks are what QEMU said; caps lack MF_CAP_PROBED when it
                        did not */
    GError *set_error;
    GError *error; /* why caps or mode are not known */
} MfAnswer;

/* Keeps a reference of virt, for answers under way. */
MfMonitor *mf_monitor_new(MfVirt *virt);
void mf_monitor_free(MfMonitor *monitor);

/* Asks; callback comes on the caller's main context with a GTask for mf_monitor_ask_finish(). */
void mf_monitor_ask(MfMonitor *monitor, const MfQuestion *question, GAsyncReadyCallback callback,
                    gpointer user_data);

/* Never NULL: failures are in the answer. */
MfAnswer *mf_monitor_ask_finish(GAsyncResult *result);
void mf_answer_free(MfAnswer *answer);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfMonitor, mf_monitor_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfAnswer, mf_answer_free)
