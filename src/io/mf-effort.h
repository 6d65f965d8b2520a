/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a worker works or hangs.  Reading a process's memory map waits for its memory lock, which
 * any process can hold for as long as it likes; a walk of much memory takes long, too, but that
 * takes CPU time.
 */
#pragma once

#include <glib.h>
#include <time.h>

/* Of the worker: all zero before it has begun. */
typedef struct {
    gboolean has_begun;
    clockid_t cpu_clock;
    gint64 begun_cpu_usec;
} MfEffort;

/* Of who waits for it. */
typedef struct {
    gint64 worked_usec; /* when it had taken so much CPU time that it works */
    gint64 cpu_usec;    /* its CPU time then */
} MfEffortWatch;

/* In the worker, at its begin.  Who reads it must hold the lock that the worker holds here. */
void mf_effort_begin(MfEffort *effort);

/* The CPU time since it began; 0 when it has not.  Only while the worker is known to go on. */
gint64 mf_effort_get_usec(const MfEffort *effort);

void mf_effort_watch(MfEffortWatch *watch, gint64 now_usec);

/* Whether it has not taken a tenth of idle_usec for that long.  To be asked more often than that.
 */
gboolean mf_effort_is_idle(MfEffortWatch *watch, const MfEffort *effort, gint64 idle_usec,
                           gint64 now_usec);
