/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The processes of a case; see crowd.h. A command goes through a pipe, and so does its answer: the
 * number of pages that were found wrong, or -1.
 */
#define _GNU_SOURCE

#include "crowd.h"

#include "contend.h"
#include "host.h"

#include <signal.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ksm_util.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum {
    PERMYRIAD = 10000,
    /* Pages that a process places before it is the next one's turn. */
    TURN_PAGES = 64,
    /* So many contents there are for pages that are written anew. */
    REWRITE_KINDS = 400,
    SHIFT_ROUND = 40,
};

enum action {
    ACTION_POPULATE,
    ACTION_PLACE,
    ACTION_FILL,
    ACTION_ADVISE,
    ACTION_TOUCH,
    ACTION_REWRITE,
    ACTION_CHECK,
};

struct command {
    enum action action;
    unsigned int round;
    unsigned int permyriad;
};

struct crowd_member {
    pid_t pid;
    int commands;
    int answers;
};

/* What a process knows of itself. */
struct self {
    char *memory;
    uint32_t *order;
    uint64_t *names;
    size_t first;
    size_t count;
    size_t placed;
    int zero;
    enum content_kind kind;
    size_t pages;
};

static void *
page_of(const struct self *self, size_t number)
{
    return self->memory + number * PAGE_BYTES;
}

/* A random order, the same in every run. */
static bool
shuffle(struct self *self)
{
    self->order = calloc(self->count, sizeof(*self->order));
    if (self->order == NULL) {
        return false;
    }
    for (size_t i = 0; i < self->count; i++) {
        size_t other = content_mix(self->first + i) % (i + 1);

        self->order[i] = self->order[other];
        self->order[other] = (uint32_t)i;
    }
    return true;
}

/* Places the next few pages of the random order, in one call: a byte is read into each. */
static bool
place_some(struct self *self)
{
    struct iovec pieces[TURN_PAGES];
    int count = 0;

    if (self->order == NULL && !shuffle(self)) {
        return false;
    }
    while (count < TURN_PAGES && self->placed < self->count) {
        pieces[count].iov_base = page_of(self, self->order[self->placed++]);
        pieces[count++].iov_len = 1;
    }
    return readv(self->zero, pieces, count) == count;
}

static bool
is_chosen(const struct self *self, const struct command *command, size_t number)
{
    uint64_t place = self->first + number + ((uint64_t)command->round << SHIFT_ROUND);

    return content_mix(place) % PERMYRIAD < command->permyriad;
}

static void
touch(struct self *self, const struct command *command)
{
    for (size_t i = 0; i < self->count; i++) {
        if (is_chosen(self, command, i)) {
            uint64_t *page = page_of(self, i);
            uint64_t word = content_mix(self->first + i + command->round);

            page[word % (PAGE_BYTES / sizeof(*page))] = word;
        }
    }
}

static bool
rewrite(struct self *self, const struct command *command)
{
    if (self->names == NULL) {
        self->names = calloc(self->count, sizeof(*self->names));
        if (self->names == NULL) {
            return false;
        }
    }
    for (size_t i = 0; i < self->count; i++) {
        if (self->names[i] == 0 || is_chosen(self, command, i)) {
            self->names[i] = 1 + content_mix(self->first + i + command->round) % REWRITE_KINDS;
            content_write_named(self->names[i], page_of(self, i));
        }
    }
    return true;
}

static long
count_wrong(const struct self *self)
{
    long wrong = 0;

    for (size_t i = 0; i < self->count; i++) {
        wrong += !content_is_named(self->names[i], page_of(self, i));
    }
    return wrong;
}

static long
obey(struct self *self, const struct command *command)
{
    size_t bytes = self->count * PAGE_BYTES;

    switch (command->action) {
    case ACTION_POPULATE:
        return madvise(self->memory, bytes, MADV_POPULATE_WRITE);
    case ACTION_PLACE:
        return place_some(self) ? 0 : -1;
    case ACTION_FILL:
        for (size_t i = 0; i < self->count; i++) {
            content_write(self->kind, self->first + i, self->pages, page_of(self, i));
        }
        return 0;
    case ACTION_ADVISE:
        if (getenv("KSMBENCH_CONTEND") != NULL && !contend_start()) {
            return -1;
        }
        return madvise(self->memory, bytes, MADV_MERGEABLE);
    case ACTION_TOUCH:
        touch(self, command);
        return 0;
    case ACTION_REWRITE:
        return rewrite(self, command) ? 0 : -1;
    case ACTION_CHECK:
        return count_wrong(self);
    }
    return -1;
}

static void __attribute__((noreturn)) live(struct self *self, int commands, int answers)
{
    struct command command;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    self->zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    self->memory = ksm_map(self->count, PROT_READ | PROT_WRITE);
    if (self->memory != NULL && getenv("KSMBENCH_HUGE") != NULL) {
        madvise(self->memory, self->count * PAGE_BYTES, MADV_HUGEPAGE);
    }
    while (self->memory != NULL && read(commands, &command, sizeof(command)) == sizeof(command)) {
        long answer = obey(self, &command);

        if (write(answers, &answer, sizeof(answer)) != sizeof(answer)) {
            break;
        }
    }
    _exit(0);
}

static bool
start_member(struct crowd *crowd, size_t number)
{
    struct crowd_member *member = &crowd->members[number];
    size_t first = number * CROWD_MEMBER_PAGES;
    size_t left = crowd->pages - first;
    int commands[2];
    int answers[2];

    if (pipe2(commands, O_CLOEXEC) != 0 || pipe2(answers, O_CLOEXEC) != 0) {
        return false;
    }
    member->pid = fork();
    if (member->pid == 0) {
        struct self self = {
            .first = first,
            .count = left < CROWD_MEMBER_PAGES ? left : CROWD_MEMBER_PAGES,
            .kind = crowd->kind,
            .pages = crowd->pages,
        };

        close(commands[1]);
        close(answers[0]);
        live(&self, commands[0], answers[1]);
    }
    close(commands[0]);
    close(answers[1]);
    member->commands = commands[1];
    member->answers = answers[0];
    return member->pid > 0;
}

bool
crowd_start(struct crowd *crowd, enum content_kind kind, size_t pages)
{
    crowd->kind = kind;
    crowd->pages = pages;
    crowd->count = (pages + CROWD_MEMBER_PAGES - 1) / CROWD_MEMBER_PAGES;
    crowd->members = calloc(crowd->count, sizeof(*crowd->members));
    for (size_t i = 0; i < crowd->count; i++) {
        if (crowd->members == NULL || !start_member(crowd, i)) {
            return false;
        }
    }
    return true;
}

/* The sum of all answers; -1 where one of them was a failure. One process after the other. */
static long
tell_all(struct crowd *crowd, struct command command)
{
    long sum = 0;

    for (size_t i = 0; i < crowd->count; i++) {
        const struct crowd_member *member = &crowd->members[i];
        long answer = -1;

        if (write(member->commands, &command, sizeof(command)) != sizeof(command) ||
            read(member->answers, &answer, sizeof(answer)) != sizeof(answer) || answer < 0) {
            return -1;
        }
        sum += answer;
    }
    return sum;
}

bool
crowd_populate(struct crowd *crowd, bool scattered)
{
    if (!scattered) {
        return tell_all(crowd, (struct command){.action = ACTION_POPULATE}) == 0;
    }
    for (size_t placed = 0; placed < CROWD_MEMBER_PAGES; placed += TURN_PAGES) {
        if (tell_all(crowd, (struct command){.action = ACTION_PLACE}) != 0) {
            return false;
        }
    }
    return true;
}

bool
crowd_fill(struct crowd *crowd)
{
    return tell_all(crowd, (struct command){.action = ACTION_FILL}) == 0;
}

bool
crowd_advise(struct crowd *crowd)
{
    return tell_all(crowd, (struct command){.action = ACTION_ADVISE}) == 0;
}

bool
crowd_touch(struct crowd *crowd, unsigned int round, unsigned int permyriad)
{
    struct command command = {.action = ACTION_TOUCH, .round = round, .permyriad = permyriad};

    return tell_all(crowd, command) == 0;
}

bool
crowd_rewrite(struct crowd *crowd, unsigned int round, unsigned int permyriad)
{
    struct command command = {.action = ACTION_REWRITE, .round = round, .permyriad = permyriad};

    return tell_all(crowd, command) == 0;
}

long
crowd_count_wrong(struct crowd *crowd)
{
    return tell_all(crowd, (struct command){.action = ACTION_CHECK});
}

void
crowd_end(struct crowd *crowd)
{
    for (size_t i = 0; i < crowd->count; i++) {
        close(crowd->members[i].commands);
        close(crowd->members[i].answers);
        kill(crowd->members[i].pid, SIGKILL);
        waitpid(crowd->members[i].pid, NULL, 0);
    }
    free(crowd->members);
    crowd->members = NULL;
    crowd->count = 0;
}
