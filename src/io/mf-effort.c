/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-effort.h"

#include <pthread.h>

static gint64
read_clock(clockid_t cpu_clock)
{
    struct timespec used = {0};

    return clock_gettime(cpu_clock, &used) == 0
               ? (gint64)used.tv_sec * G_USEC_PER_SEC + used.tv_nsec / 1000
               : 0;
}

void
mf_effort_begin(MfEffort *effort)
{
    effort->has_begun = pthread_getcpuclockid(pthread_self(), &effort->cpu_clock) == 0;
    /* A thread of a pool has worked for others. */
    effort->begun_cpu_usec = effort->has_begun ? read_clock(effort->cpu_clock) : 0;
}

gint64
mf_effort_get_usec(const MfEffort *effort)
{
    return effort->has_begun ? MAX(0, read_clock(effort->cpu_clock) - effort->begun_cpu_usec) : 0;
}

void
mf_effort_watch(MfEffortWatch *watch, gint64 now_usec)
{
    *watch = (MfEffortWatch){.worked_usec = now_usec};
}

gboolean
mf_effort_is_idle(MfEffortWatch *watch, const MfEffort *effort, gint64 idle_usec, gint64 now_usec)
{
    gint64 cpu_usec = mf_effort_get_usec(effort);

    if (cpu_usec - watch->cpu_usec >= idle_usec / 10) {
        watch->cpu_usec = cpu_usec;
        watch->worked_usec = now_usec;
    }
    return now_usec - watch->worked_usec >= idle_usec;
}
