/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions to QEMUs, a few at a time.
 *
 * One question is all that is said to one QEMU in one go: probe it, switch it, ask how its memory
 * is marked.  A frozen QEMU holds its call, and one of libvirtd's twenty workers (max_workers of
 * libvirtd.conf), for as long as it is frozen; so no more than MF_MONITOR_CALLS_MAX are under way,
 * and one for each domain.  With what else QEMUs can hold up (six reliefs, two looks at balloons,
 * one policy being set) that is nineteen: one is left for everybody else, beside those that
 * libvirtd keeps for what ends a domain.  A QEMU that is stopped is not asked at all.
 */
#pragma once

#include "../io/mf-root.h"
#include "../io/mf-virt.h"

#define MF_MONITOR_CALLS_MAX 10

typedef struct _MfMonitor MfMonitor;

typedef struct {
    char *uuid;
    gint64 pid;     /* of its QEMU; 0 when not known */
    gboolean probe; /* find out the capabilities first; else caps holds them */
    guint caps;     /* MfCaps */
    MfMode set;     /* the mode to set, or UNKNOWN */
} MfQuestion;

typedef struct {
    MfQuestion question;
    MfDomain *facts;  /* caps, mode and blocks are what QEMU said; caps lack MF_CAP_PROBED when it
                         did not */
    gboolean stopped; /* its QEMU can't answer, being stopped, and was not asked */
    GError *set_error;
    GError *error; /* why caps or mode are not known */
} MfAnswer;

/* Keeps references of both, for answers under way; host has /proc. */
MfMonitor *mf_monitor_new(MfVirt *virt, MfRoot *host);
void mf_monitor_free(MfMonitor *monitor);

/* Asks, at once unless MF_MONITOR_CALLS_MAX are under way; callback comes on the caller's main
 * context with a GTask for mf_monitor_ask_finish(). */
void mf_monitor_ask(MfMonitor *monitor, const MfQuestion *question, GAsyncReadyCallback callback,
                    gpointer user_data);

/* Never NULL: failures are in the answer. */
MfAnswer *mf_monitor_ask_finish(GAsyncResult *result);
void mf_answer_free(MfAnswer *answer);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfMonitor, mf_monitor_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfAnswer, mf_answer_free)
