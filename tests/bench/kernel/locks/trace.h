/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Events of the kernel's ring buffer as they are stored: its text would cost more to make than what
 * is measured. Only the first CPU's are read, and only those of processes that are asked for.
 */
#ifndef LOCKS_TRACE_H
#define LOCKS_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum trace_what {
    TRACE_PREEMPT_DISABLE,
    TRACE_PREEMPT_ENABLE,
    TRACE_IRQ_DISABLE,
    TRACE_IRQ_ENABLE,
    TRACE_START_LOCKING,
    TRACE_ACQUIRED,
    TRACE_RELEASED,
    TRACE_SWITCH,
    TRACE_STACK,
    TRACE_KINDS,
};

enum {
    TRACE_DEPTH = 8,
};

struct trace_event {
    enum trace_what what;
    uint64_t when;
    pid_t pid;
    /* Of preemption and interrupts: the two innermost callers, from the kernel's first byte. */
    int32_t caller;
    int32_t parent;
    /* Of locks: whose; false for one that was only tried for. */
    uint64_t mm;
    bool success;
    /* Of a switch: who runs next. */
    pid_t next;
    /* Of the stack of the event before: its innermost callers. */
    uint64_t stack[TRACE_DEPTH];
};

typedef void trace_reader(const struct trace_event *event, void *data);

/* Starts recording the events of @pid, on a clock of instructions. False where this kernel can't.
 */
bool trace_start(pid_t pid);

/* Waits for the buffer to be half full, for not more than @msec, and gives all there is to
 * @reader. */
void trace_read(int msec, trace_reader *reader, void *data);

/* Ends recording; what is there can still be read. */
void trace_stop(void);

/* The number of events that there was no room for. */
long trace_lost(void);

#endif
