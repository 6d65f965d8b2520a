/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * For how long does ksmd keep others from running? Runs a program, and tells of all that ksmd did
 * meanwhile: how long it held an mmap_lock, how long somebody had to wait for that, and how long
 * preemption or interrupts were off. For machines of one CPU.
 *
 *     ksmlocks PROGRAM [ARGUMENT...]
 *
 * Time is that of ksmd's own work: its clock stands while others run or are about to, and in
 * interrupts, and goes on without what the cheapest event costs. Behind the program's output come
 * the lines
 *
 *     event cost N
 *     hold|wait|off count N max N p99 N     in all
 *     at hold|wait|off MAX COUNT WHERE      the longest of each place, the longest first
 *
 * A place is where a lock was released, or where preemption or interrupts went off, with its
 * callers, and for "off" where they went on again.
 */
#define _GNU_SOURCE

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "symbols.h"
#include "trace.h"

#include "ksm_util.h"

enum {
    LOOK_MSEC = 200,
    PLACES = 256,
    PLACES_TOLD = 8,
    NAME_LENGTH = 96,
    SECTIONS = 2,
    /* Of the distribution: so many steps for each power of two. */
    STEP_BITS = 6,
    STEPS = 1 << STEP_BITS,
    POWERS = 64,
    PERCENTILE = 99,
    PER_CENT = 100,
};

enum what {
    HOLD,
    WAIT,
    OFF,
    WHATS,
};

static const char *const what_names[WHATS] = {"hold", "wait", "off"};

/* Where something happened: callers, the innermost first; and where it ended, that is not compared.
 */
struct place {
    uint64_t callers[TRACE_DEPTH];
    uint64_t end[2];
    uint64_t count;
    uint64_t max;
};

struct figure {
    uint64_t count;
    uint64_t max;
    uint64_t steps[POWERS * STEPS];
    struct place places[PLACES];
};

struct account {
    pid_t ksmd;
    uint64_t text;
    /* The first byte and the end of what the kernel has for interrupts that come and go. */
    uint64_t sections[SECTIONS][2];

    /* ksmd's own time, and what it does now. */
    uint64_t clock;
    uint64_t last;
    enum trace_what before;
    /* What an event costs, at least. */
    uint64_t cost;
    bool running;
    unsigned int interrupts;
    bool preempt_off;
    bool irq_off;
    /* On its way back from somebody else. */
    bool switching;

    uint64_t off_since;
    uint64_t off_at[2];
    uint64_t held;
    uint64_t held_since;
    uint64_t waited_since;
    bool is_waited;
    /* What the next stack is of. */
    uint64_t hold;
    uint64_t wait;
    bool has_hold;
    bool has_wait;

    struct figure figures[WHATS];
};

static struct account account = {.cost = UINT64_MAX};

static size_t
step_of(uint64_t value)
{
    if (value < STEPS) {
        return value;
    }

    unsigned int power = 63U - (unsigned int)__builtin_clzll(value) - STEP_BITS;

    return ((size_t)power << STEP_BITS) + (value >> power);
}

/* The largest value of a step. */
static uint64_t
step_end(size_t step)
{
    if (step < STEPS) {
        return step;
    }

    size_t power = (step >> STEP_BITS) - 1;

    return ((STEPS + (step & (STEPS - 1)) + 1ULL) << power) - 1;
}

static struct place *
find_place(struct figure *figure, const uint64_t *callers)
{
    for (size_t i = 0; i < PLACES; i++) {
        struct place *place = &figure->places[i];

        if (place->count == 0) {
            memcpy(place->callers, callers, sizeof(place->callers));
            return place;
        }
        if (memcmp(place->callers, callers, sizeof(place->callers)) == 0) {
            return place;
        }
    }
    return NULL;
}

static void
note(struct account *self, enum what what, uint64_t value, const uint64_t *callers,
     const struct trace_event *end)
{
    struct figure *figure = &self->figures[what];
    struct place *place = find_place(figure, callers);

    figure->count++;
    figure->steps[step_of(value)]++;
    if (value > figure->max) {
        figure->max = value;
    }
    if (place != NULL) {
        if (place->count++ == 0 || value > place->max) {
            place->max = value;
            place->end[0] = self->text + (uint64_t)(int64_t)end->caller;
            place->end[1] = self->text + (uint64_t)(int64_t)end->parent;
        }
    }
}

static void
set_off(struct account *self, bool preempt, bool irq, const struct trace_event *event)
{
    bool was_off = self->preempt_off || self->irq_off;

    self->preempt_off = preempt;
    self->irq_off = irq;
    if (!was_off && (preempt || irq)) {
        self->off_since = self->clock;
        self->off_at[0] = self->text + (uint64_t)(int64_t)event->caller;
        self->off_at[1] = self->text + (uint64_t)(int64_t)event->parent;
    } else if (self->switching && !preempt && !irq) {
        self->switching = false;
    } else if (was_off && !preempt && !irq) {
        uint64_t callers[TRACE_DEPTH] = {self->off_at[0], self->off_at[1]};

        note(self, OFF, self->clock - self->off_since, callers, event);
    }
}

/*
 * Interrupts that went off, or on; or an interrupt that came, or went. For these calls come from
 * sections of the kernel's text that are for nothing else that ksmd does; from which function there
 * depends on the compiler.
 */
static void
see_irq(struct account *self, const struct trace_event *event)
{
    bool off = event->what == TRACE_IRQ_DISABLE;
    uint64_t caller = self->text + (uint64_t)(int64_t)event->caller;

    for (int i = 0; i < SECTIONS; i++) {
        if (caller >= self->sections[i][0] && caller < self->sections[i][1]) {
            self->interrupts += off;
            self->interrupts -= !off && self->interrupts > 0;
            return;
        }
    }
    if (self->interrupts == 0) {
        set_off(self, self->preempt_off, off, event);
    }
}

static void
see_lock(struct account *self, const struct trace_event *event)
{
    if (event->pid != self->ksmd) {
        if (event->what == TRACE_START_LOCKING && event->mm == self->held && !self->is_waited) {
            self->is_waited = true;
            self->waited_since = self->clock;
        }
    } else if (event->what == TRACE_ACQUIRED && event->success) {
        self->held = event->mm;
        self->held_since = self->clock;
        self->is_waited = false;
    } else if (event->what == TRACE_RELEASED && event->mm == self->held) {
        self->hold = self->clock - self->held_since;
        self->wait = self->clock - self->waited_since;
        self->has_hold = true;
        self->has_wait = self->is_waited;
        self->held = 0;
    }
}

static void
see_stack(struct account *self, const struct trace_event *event)
{
    static const struct trace_event nowhere;

    if (self->has_hold) {
        note(self, HOLD, self->hold, event->stack, &nowhere);
    }
    if (self->has_wait) {
        note(self, WAIT, self->wait, event->stack, &nowhere);
    }
    self->has_hold = false;
    self->has_wait = false;
}

/* The scheduler's own work to get to somebody else, and back, is not ksmd's either. */
static void
see_switch(struct account *self, const struct trace_event *event)
{
    self->running = event->next == self->ksmd;
    if (self->interrupts > 0) {
        return;
    }
    if (!self->switching && (self->preempt_off || self->irq_off)) {
        self->clock = self->off_since;
    }
    self->preempt_off = true;
    self->irq_off = true;
    self->switching = true;
}

/* What an event costs tell those of which the second follows the first at once. */
static void
advance(struct account *self, const struct trace_event *event)
{
    uint64_t passed = event->when - self->last;

    if (!self->running || self->switching || self->interrupts > 0) {
        return;
    }
    if (event->what == TRACE_PREEMPT_ENABLE && self->before == TRACE_PREEMPT_DISABLE &&
        passed < self->cost) {
        self->cost = passed;
    }
    self->clock += passed > self->cost ? passed - self->cost : 0;
}

static void
see(const struct trace_event *event, void *data)
{
    struct account *self = data;

    advance(self, event);
    self->last = event->when;
    self->before = event->what;
    if (event->what == TRACE_SWITCH) {
        see_switch(self, event);
        return;
    }
    if (event->what == TRACE_START_LOCKING || event->what == TRACE_ACQUIRED ||
        event->what == TRACE_RELEASED) {
        see_lock(self, event);
        return;
    }
    if (event->pid != self->ksmd) {
        return;
    }
    if (event->what == TRACE_STACK) {
        see_stack(self, event);
    } else if (event->what == TRACE_IRQ_DISABLE || event->what == TRACE_IRQ_ENABLE) {
        see_irq(self, event);
    } else if (self->interrupts == 0) {
        set_off(self, event->what == TRACE_PREEMPT_DISABLE, self->irq_off, event);
    }
}

static uint64_t
percentile(const struct figure *figure)
{
    uint64_t seen = 0;

    for (size_t i = 0; i < POWERS * STEPS; i++) {
        seen += figure->steps[i];
        if (seen * PER_CENT >= figure->count * PERCENTILE) {
            return step_end(i);
        }
    }
    return figure->max;
}

static int
longest_first(const void *left, const void *right)
{
    const struct place *a = left;
    const struct place *b = right;

    return a->max < b->max ? 1 : a->max > b->max ? -1 : 0;
}

static void
print_place(const struct account *self, enum what what, const struct place *place)
{
    char name[NAME_LENGTH];

    printf("at %s %llu %llu", what_names[what], (unsigned long long)place->max,
           (unsigned long long)place->count);
    for (size_t i = 0; i < TRACE_DEPTH && place->callers[i] != 0; i++) {
        symbol_name(place->callers[i], name, sizeof(name));
        if (strncmp(name, "kthread+", strlen("kthread+")) == 0) {
            break;
        }
        /* The event itself is the innermost. */
        if (strstr(name, "mmap_lock+") == NULL && strstr(name, "mmap_lock_do_trace") == NULL) {
            printf(" %s", name);
        }
    }
    for (size_t i = 0; i < 2 && place->end[i] > self->text; i++) {
        symbol_name(place->end[i], name, sizeof(name));
        printf("%s %s", i == 0 ? " to" : "", name);
    }
    printf("\n");
}

static void
print_account(struct account *self)
{
    printf("event cost %llu\n", (unsigned long long)self->cost);
    printf("lost count %ld\n", trace_lost());
    for (int what = 0; what < WHATS; what++) {
        struct figure *figure = &self->figures[what];

        printf("%s count %llu max %llu p99 %llu\n", what_names[what],
               (unsigned long long)figure->count, (unsigned long long)figure->max,
               (unsigned long long)percentile(figure));
        qsort(figure->places, PLACES, sizeof(figure->places[0]), longest_first);
        for (size_t i = 0; i < PLACES_TOLD && figure->places[i].count > 0; i++) {
            print_place(self, (enum what)what, &figure->places[i]);
        }
    }
}

/* Finds ksmd, and what is asked of the kernel's symbols. */
static bool
set_up(struct account *self)
{
    static const char *const names[SECTIONS][2] = {
        {"__noinstr_text_start", "__noinstr_text_end"},
        {"__entry_text_start", "__entry_text_end"},
    };
    bool fine = symbols_read();

    self->ksmd = ksm_find_ksmd();
    self->text = symbol_find("_stext");
    for (int i = 0; i < SECTIONS; i++) {
        for (int j = 0; j < 2; j++) {
            self->sections[i][j] = symbol_find(names[i][j]);
            fine = fine && self->sections[i][j] != 0;
        }
    }
    return fine && self->ksmd != 0 && self->text != 0 && trace_start(self->ksmd);
}

int
main(int argc, char **argv)
{
    pid_t child;
    int status = 0;

    if (argc < 2) {
        fputs("usage: ksmlocks PROGRAM [ARGUMENT...]\n", stderr);
        return 2;
    }
    if (!set_up(&account)) {
        printf("failed to trace ksmd: the kernel is not of the configuration `trace`\n");
        return EXIT_FAILURE;
    }
    child = fork();
    if (child == 0) {
        execv(argv[1], argv + 1);
        _exit(EXIT_FAILURE);
    }
    while (child > 0 && waitpid(child, &status, WNOHANG) == 0) {
        trace_read(LOOK_MSEC, see, &account);
    }
    trace_stop();
    trace_read(0, see, &account);
    print_account(&account);
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}
