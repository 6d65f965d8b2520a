/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the two halves of the registry share: mf-registry.c knows the domains, mf-registry-ask.c
 * what their QEMUs are to be asked.
 */
#pragma once

#include "mf-registry.h"

#define MF_RETRY_FIRST_USEC (5 * G_USEC_PER_SEC)
#define MF_RETRY_BUSY_USEC  (1 * G_USEC_PER_SEC)

typedef struct {
    MfDomain *domain;
    guint serial; /* of this incarnation */
    gint64 added_usec;
    gboolean reachable; /* libvirt has told of it, so that its monitor may be used */
    gint64 doubt_usec;  /* since when, while it has not */
    gint64 last_pid;    /* of the QEMU that was asked; between two, the domain has none */

    gboolean asked; /* a call to its QEMU is under way */
    gint64 asked_usec;
    MfMode asked_set;         /* UNKNOWN: it was asked how it is, and no more */
    gboolean was_silent;      /* the last answer was overdue: those that answer are asked first */
    gboolean stopped;         /* its QEMU was, when it was to be asked last */
    gint64 stopped_look_usec; /* when to look again */
    gboolean probe_due;
    gboolean query_due;
    MfMode set_due;   /* UNKNOWN: none */
    MfMode wished;    /* what the plan before this one wanted set, and was not asked for */
    gboolean is_anew; /* what its QEMU answers by now is of before it started or went on */
    gint64 not_before_usec;
    guint failures_count;
    gboolean is_refused; /* the last one was an answer, and not the want of one */

    gboolean moving; /* to another group of the kernel's */
    gint64 move_not_before_usec;
    gint64 moved_usec; /* the last move's end: an older look at its group is void */
} Known;

/* A call under way.  It outlives its domain, and whoever has taken that one's place. */
typedef struct {
    guint serial;
    char *name;
    gint64 asked_usec;
} MfCall;

struct _MfRegistry {
    GHashTable *known; /* uuid -> Known */
    GPtrArray *calls;  /* of MfCall */
    guint last_serial;
};

void mf_call_free(gpointer call);
