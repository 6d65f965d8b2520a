/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Names of the running kernel's functions, from /proc/kallsyms.
 */
#ifndef LOCKS_SYMBOLS_H
#define LOCKS_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads them, before anything is asked. False where they cannot be read. */
bool symbols_read(void);

/* The address of a symbol; 0 where there is none of that name. */
uint64_t symbol_find(const char *name);

/* Writes "NAME+OFFSET" for an address of the kernel's text. */
void symbol_name(uint64_t address, char *text, size_t size);

#endif
