/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The ring buffer, page by page; see trace.h, and the kernel's ring_buffer.h for what a page is.
 */
#define _GNU_SOURCE

#include "trace.h"

#include "host.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRACING "/sys/kernel/tracing/"
#define CPU     TRACING "per_cpu/cpu0/"

enum {
    BUFFER_KIB = 48 * 1024,
    FIELDS = 2,
    /* Of a page: the time, and how much was written. */
    PAGE_HEAD = 16,
    COMMIT_MASK = (1 << 20) - 1,
    /* Of an event's first word. */
    TYPE_BITS = 5,
    TYPE_MASK = (1 << TYPE_BITS) - 1,
    DELTA_BITS = 27,
    TYPE_PADDING = 29,
    TYPE_EXTEND = 30,
    TYPE_STAMP = 31,
    WORD = 4,
    PID_OFFSET = 4,
    TEXT_LENGTH = 4096,
};

/* How an event is called, and the fields of it that are read. */
struct kind {
    const char *name;
    const char *fields[FIELDS];
    long id;
    long offsets[FIELDS];
};

static struct kind kinds[TRACE_KINDS] = {
    [TRACE_PREEMPT_DISABLE] = {.name = "preemptirq/preempt_disable",
                               .fields = {"caller_offs", "parent_offs"}},
    [TRACE_PREEMPT_ENABLE] = {.name = "preemptirq/preempt_enable",
                              .fields = {"caller_offs", "parent_offs"}},
    [TRACE_IRQ_DISABLE] = {.name = "preemptirq/irq_disable",
                           .fields = {"caller_offs", "parent_offs"}},
    [TRACE_IRQ_ENABLE] = {.name = "preemptirq/irq_enable",
                          .fields = {"caller_offs", "parent_offs"}},
    [TRACE_START_LOCKING] = {.name = "mmap_lock/mmap_lock_start_locking", .fields = {"mm"}},
    [TRACE_ACQUIRED] = {.name = "mmap_lock/mmap_lock_acquire_returned",
                        .fields = {"mm", "success"}},
    [TRACE_RELEASED] = {.name = "mmap_lock/mmap_lock_released", .fields = {"mm"}},
    [TRACE_SWITCH] = {.name = "sched/sched_switch", .fields = {"next_pid"}},
    [TRACE_STACK] = {.name = "ftrace/kernel_stack", .fields = {"caller"}},
};

static int buffer = -1;

/* Where field @name is, from a line "field:TYPE NAME; offset:N;..." or "field:TYPE NAME[...];". */
static long
find_field(const char *format, const char *name)
{
    size_t length = strlen(name);

    for (const char *at = format; (at = strstr(at, name)) != NULL; at += length) {
        const char *offset = strstr(at, "offset:");

        if ((at[-1] == ' ' || at[-1] == '*') && strchr(";[", at[length]) != NULL &&
            offset != NULL) {
            return strtol(offset + strlen("offset:"), NULL, 10);
        }
    }
    return -1;
}

static bool
learn(struct kind *kind)
{
    char path[PATH_LENGTH];
    char format[TEXT_LENGTH];

    snprintf(path, sizeof(path), TRACING "events/%s/format", kind->name);

    FILE *file = fopen(path, "re");

    if (file == NULL) {
        return false;
    }
    format[fread(format, 1, sizeof(format) - 1, file)] = '\0';
    fclose(file);

    const char *id = strstr(format, "ID: ");

    kind->id = id == NULL ? -1 : strtol(id + strlen("ID: "), NULL, 10);
    for (int i = 0; i < FIELDS && kind->fields[i] != NULL; i++) {
        kind->offsets[i] = find_field(format, kind->fields[i]);
        if (kind->offsets[i] < 0) {
            return false;
        }
    }
    return kind->id >= 0;
}

bool
trace_start(pid_t pid)
{
    char path[PATH_LENGTH];

    for (int i = 0; i < TRACE_KINDS; i++) {
        if (!learn(&kinds[i])) {
            return false;
        }
    }
    if (host_write(TRACING "trace_clock", "x86-tsc") != 0 ||
        host_write(TRACING "buffer_size_kb", "%d", BUFFER_KIB) != 0 ||
        host_write(TRACING "options/record-cmd", "0") != 0 ||
        host_write(TRACING "events/mmap_lock/mmap_lock_released/trigger", "stacktrace") != 0 ||
        host_write(TRACING "set_event_pid", "%d", pid) != 0) {
        return false;
    }
    buffer = open(CPU "trace_pipe_raw", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    for (int i = 0; i < TRACE_STACK; i++) {
        snprintf(path, sizeof(path), TRACING "events/%s/enable", kinds[i].name);
        if (host_write(path, "1") != 0) {
            return false;
        }
    }
    return buffer >= 0;
}

static uint64_t
number_at(const char *record, long offset, size_t size)
{
    uint64_t number = 0;

    memcpy(&number, record + offset, size);
    return number;
}

static void
read_stack(struct trace_event *event, const char *record, size_t length)
{
    size_t offset = (size_t)kinds[TRACE_STACK].offsets[0];

    for (size_t i = 0; i < TRACE_DEPTH; i++, offset += sizeof(uint64_t)) {
        event->stack[i] = offset + sizeof(uint64_t) <= length
                              ? number_at(record, (long)offset, sizeof(uint64_t))
                              : 0;
    }
}

/* Makes an event of a record; false where it is of no kind that was asked for. */
static bool
decode(struct trace_event *event, const char *record, size_t length)
{
    long id = (long)number_at(record, 0, sizeof(uint16_t));
    int what = 0;

    while (what < TRACE_KINDS && kinds[what].id != id) {
        what++;
    }
    if (what == TRACE_KINDS) {
        return false;
    }

    const long *offsets = kinds[what].offsets;

    event->what = (enum trace_what)what;
    event->pid = (pid_t)number_at(record, PID_OFFSET, sizeof(int32_t));
    switch (event->what) {
    case TRACE_SWITCH:
        event->next = (pid_t)number_at(record, offsets[0], sizeof(int32_t));
        break;
    case TRACE_START_LOCKING:
    case TRACE_RELEASED:
    case TRACE_ACQUIRED:
        event->mm = number_at(record, offsets[0], sizeof(uint64_t));
        event->success = what != TRACE_ACQUIRED || number_at(record, offsets[1], 1) != 0;
        break;
    case TRACE_STACK:
        read_stack(event, record, length);
        break;
    default:
        event->caller = (int32_t)number_at(record, offsets[0], sizeof(int32_t));
        event->parent = (int32_t)number_at(record, offsets[1], sizeof(int32_t));
    }
    return true;
}

static void
read_page(const char *page, trace_reader *reader, void *data)
{
    struct trace_event event = {.when = number_at(page, 0, sizeof(uint64_t))};
    const char *end = page + PAGE_HEAD + (number_at(page, sizeof(uint64_t), WORD) & COMMIT_MASK);
    size_t length = 0;

    for (const char *at = page + PAGE_HEAD; at < end; at += WORD + length) {
        uint32_t head = (uint32_t)number_at(at, 0, WORD);
        uint32_t type = head & TYPE_MASK;
        uint64_t delta = head >> TYPE_BITS;
        uint64_t next = at + WORD < end ? number_at(at, WORD, WORD) : 0;
        bool has_length = type == 0 || type == TYPE_PADDING;

        length = has_length ? next : type >= TYPE_EXTEND ? WORD : (size_t)type * WORD;
        if (type == TYPE_PADDING && delta == 0) {
            break;
        }
        if (type == TYPE_STAMP) {
            uint64_t high = event.when >> (DELTA_BITS + 32);

            event.when = (high << (DELTA_BITS + 32)) | next << DELTA_BITS | delta;
            continue;
        }
        event.when += type == TYPE_EXTEND ? next << DELTA_BITS | delta : delta;
        if (type < TYPE_PADDING && decode(&event, at + (has_length ? 2 * WORD : WORD), length)) {
            reader(&event, data);
        }
    }
}

void
trace_read(int msec, trace_reader *reader, void *data)
{
    struct pollfd poller = {.fd = buffer, .events = POLLIN};
    static char page[PAGE_BYTES];

    poll(&poller, 1, msec);
    while (read(buffer, page, sizeof(page)) > 0) {
        read_page(page, reader, data);
    }
}

void
trace_stop(void)
{
    host_write(TRACING "tracing_on", "0");
}

long
trace_lost(void)
{
    return host_read(CPU "stats", "overrun") + host_read(CPU "stats", "dropped events");
}
