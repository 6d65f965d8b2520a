/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See symbols.h. The file is sorted by address as far as the kernel's text goes.
 */
#define _GNU_SOURCE

#include "symbols.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE_LENGTH = 512,
};

static FILE *
open_symbols(void)
{
    return fopen("/proc/kallsyms", "re");
}

/* Splits "ADDRESS TYPE NAME"; the name, and its address. NULL at the end. */
static const char *
next_symbol(FILE *file, char *line, uint64_t *address)
{
    char *rest;

    if (file == NULL || fgets(line, LINE_LENGTH, file) == NULL) {
        return NULL;
    }
    *address = strtoull(line, &rest, 16);
    rest += strnlen(rest, sizeof(" T ") - 1);
    rest[strcspn(rest, "\t\n")] = '\0';
    return rest;
}

uint64_t
symbol_find(const char *wanted)
{
    char line[LINE_LENGTH];
    const char *name;
    FILE *file = open_symbols();
    uint64_t address = 0;

    do {
        name = next_symbol(file, line, &address);
    } while (name != NULL && strcmp(name, wanted) != 0);
    if (file != NULL) {
        fclose(file);
    }
    return name == NULL ? 0 : address;
}

void
symbol_name(uint64_t wanted, char *text, size_t size)
{
    char line[LINE_LENGTH];
    const char *name;
    FILE *file = open_symbols();
    uint64_t address = 0;

    snprintf(text, size, "%#llx", (unsigned long long)wanted);
    while (wanted != 0 && (name = next_symbol(file, line, &address)) != NULL && address <= wanted) {
        snprintf(text, size, "%s+%#llx", name, (unsigned long long)(wanted - address));
    }
    if (file != NULL) {
        fclose(file);
    }
}
