/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See symbols.h. The kernel makes the text of this file anew for each reader, so it is read once.
 * It is sorted by address as far as the kernel's text goes.
 */
#define _GNU_SOURCE

#include "symbols.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE_LENGTH = 512,
    MORE = 4096,
};

struct symbol {
    uint64_t address;
    char *name;
};

static struct symbol *symbols;
static size_t count;

/* Keeps what a line "ADDRESS TYPE NAME" says. */
static bool
keep(char *line)
{
    char *rest;

    if (count % MORE == 0) {
        struct symbol *more = realloc(symbols, (count + MORE) * sizeof(*symbols));

        if (more == NULL) {
            return false;
        }
        symbols = more;
    }
    symbols[count].address = strtoull(line, &rest, 16);
    rest += strnlen(rest, sizeof(" T ") - 1);
    rest[strcspn(rest, "\t\n")] = '\0';
    symbols[count].name = strdup(rest);
    return symbols[count++].name != NULL;
}

bool
symbols_read(void)
{
    char line[LINE_LENGTH];
    FILE *file = fopen("/proc/kallsyms", "re");
    bool fine = file != NULL;

    while (fine && fgets(line, sizeof(line), file) != NULL) {
        fine = keep(line);
    }
    if (file != NULL) {
        fclose(file);
    }
    return fine;
}

uint64_t
symbol_find(const char *wanted)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(symbols[i].name, wanted) == 0) {
            return symbols[i].address;
        }
    }
    return 0;
}

void
symbol_name(uint64_t wanted, char *text, size_t size)
{
    const struct symbol *last = NULL;

    for (size_t i = 0; wanted != 0 && i < count && symbols[i].address <= wanted; i++) {
        last = &symbols[i];
    }
    if (last == NULL) {
        snprintf(text, size, "%#llx", (unsigned long long)wanted);
    } else {
        snprintf(text, size, "%s+%#llx", last->name, (unsigned long long)(wanted - last->address));
    }
}
