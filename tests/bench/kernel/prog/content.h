/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the pages of a case contain, by the number of a page among all of the case: the same in
 * every run and on every kernel. Which pages are equal, and how far two that differ are alike, is
 * what a case is about.
 */
#ifndef BENCH_CONTENT_H
#define BENCH_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum content_kind {
    CONTENT_UNIQUE,
    CONTENT_PREFIX,
    CONTENT_NEAR,
    CONTENT_PAIRS,
    CONTENT_MULTI,
    CONTENT_MIXED,
    CONTENT_FEW,
    CONTENT_KNOWN,
};

enum {
    /* Processes of the kinds MULTI and MIXED, which have pages in common. */
    CONTENT_OWNERS = 4,
    CONTENT_FEW_KINDS = 16,
    /* Of the kind KNOWN: so many pages at the start of the case are there again at its end. */
    CONTENT_KNOWN_PAGES = 8192,
};

/* A number that @value and nothing else decides, without a visible pattern. */
uint64_t content_mix(uint64_t value);

/* Writes page @index of @pages into @page. */
void content_write(enum content_kind kind, size_t index, size_t pages, uint64_t *page);

/* Writes, or checks, the content that the number @name stands for. */
void content_write_named(uint64_t name, uint64_t *page);
bool content_is_named(uint64_t name, const uint64_t *page);

#endif
