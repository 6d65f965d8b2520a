/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See contend.h. The rest is what lets ksmd go on where there is one CPU: behind it the thread,
 * which is a real-time one for that, takes the CPU from ksmd in whatever ksmd is doing. It differs
 * each time, or both would soon go in step.
 */
#define _GNU_SOURCE

#include "contend.h"

#include "content.h"
#include "host.h"

#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

enum {
    REST_USEC = 5,
    MORE_USEC = 20,
    SLACK_NSEC = 1,
};

static void *
contend(void *data)
{
    host_write("/sys/kernel/tracing/set_event_pid", "%d", gettid());
    prctl(PR_SET_TIMERSLACK, SLACK_NSEC);
    sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1});
    for (uint64_t i = 0;; i++) {
        void *page = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (page != MAP_FAILED) {
            munmap(page, PAGE_BYTES);
        }
        host_pause(REST_USEC + (long)(content_mix(i) % MORE_USEC));
    }
    return data;
}

bool
contend_start(void)
{
    pthread_t thread;

    return pthread_create(&thread, NULL, contend, NULL) == 0;
}
