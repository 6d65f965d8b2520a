/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The attack that merge groups are against: a guest that times its writes.
 *
 * The first write to a merged page makes the host copy it, which takes far longer than a write to a
 * page that is the guest's own.  So whoever writes a page that a neighbour may have finds out
 * whether he has it.  What is written is what is there, so the page's contents stay.
 */
#ifndef MEMFOLD_TESTS_GUEST_TIMING_H
#define MEMFOLD_TESTS_GUEST_TIMING_H

#include "layout.h"

#define TIMING_PAGES_MAX 256u

static inline uint32_t
timing_ticks(void)
{
    uint32_t low;

    __asm__ volatile("lfence; rdtsc; lfence" : "=a"(low) : : "edx", "memory");
    return low;
}

/*
 * Writes to the pages [first, first + count) of the layout at `base`, at most TIMING_PAGES_MAX, and
 * returns the median of what one took, in ticks of the processor.  Each is read before, so that
 * only the write differs; a median, since the host may do something else meanwhile.
 */
static inline uint32_t
timing_median(volatile uint32_t *base, uint32_t first, uint32_t count)
{
    static uint32_t sorted[TIMING_PAGES_MAX];
    uint32_t length = 0;

    for (uint32_t page = first; page < first + count && length < TIMING_PAGES_MAX; page++) {
        volatile uint32_t *word = base + page * PATTERN_PAGE_WORDS + PATTERN_PAGE_WORDS / 2;
        uint32_t value = *word;
        uint32_t began = timing_ticks();
        uint32_t took;
        uint32_t at = length++;

        *word = value;
        took = timing_ticks() - began;
        for (; at > 0 && sorted[at - 1] > took; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = took;
    }
    return length ? sorted[length / 2] : 0;
}

#endif
