/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The contents of a page that a test guest writes, as a pure function of what the page is.
 *
 * Both guests (the tiny ROM and the Linux init) fill memory through this header, so a page is
 * equal to another exactly if the four words that describe it are equal. Those words open the
 * page, which rules out an accidental second copy, and a generator seeded by all of them fills
 * the rest, so that a comparison has to look at the whole page.
 */
#ifndef MEMFOLD_TESTS_GUEST_PATTERN_H
#define MEMFOLD_TESTS_GUEST_PATTERN_H

#include <stdint.h>

#define PATTERN_PAGE_BYTES 4096u
#define PATTERN_PAGE_WORDS (PATTERN_PAGE_BYTES / 4u)
#define PATTERN_MIB_PAGES  256u
/* How many equal copies a guest keeps of each distinct page of the kind PATTERN_DUP. */
#define PATTERN_DUP_COPIES 4u

enum pattern_kind {
    PATTERN_ZERO = 0,
    PATTERN_COMMON, /* the same in every guest that has the same seed */
    PATTERN_DUP,    /* PATTERN_DUP_COPIES times in this guest, nowhere else */
    PATTERN_UNIQUE, /* once in this guest, nowhere else */
    PATTERN_FILLER, /* as unique: fills what is neither asked for nor free */
    PATTERN_DIRTY,  /* as unique: what `dirty` writes over common pages */
};

struct pattern {
    uint32_t kind;
    uint32_t seed;  /* what guests have in common */
    uint32_t salt;  /* what tells this guest from all others; 0 in common pages */
    uint32_t index; /* which page of its kind; of a dirty page also the generation */
};

static inline uint32_t
pattern_mix(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ (x >> 16);
}

static inline uint32_t
pattern_next(uint32_t x)
{
    x ^= x << 13;
    x ^= x >> 17;
    return x ^ (x << 5);
}

static inline uint32_t
pattern_start(const struct pattern *p)
{
    uint32_t x = pattern_mix(p->kind + 0x9e3779b9u);

    x = pattern_mix(x ^ p->seed);
    x = pattern_mix(x ^ p->salt);
    x = pattern_mix(x ^ p->index);
    return x ? x : 1u;
}

/* Writes the page at `page`, which holds PATTERN_PAGE_BYTES and is word aligned. */
static inline void
pattern_fill(volatile uint32_t *page, const struct pattern *p)
{
    uint32_t x = pattern_start(p);
    uint32_t i = 4;

    if (p->kind == PATTERN_ZERO) {
        for (i = 0; i < PATTERN_PAGE_WORDS; i++)
            page[i] = 0;
        return;
    }
    page[0] = p->kind;
    page[1] = p->seed;
    page[2] = p->salt;
    page[3] = p->index;
    for (; i < PATTERN_PAGE_WORDS; i++) {
        x = pattern_next(x);
        page[i] = x;
    }
}

/* Returns 1 if the page at `page` is what pattern_fill() would write, else 0. Reads only. */
static inline int
pattern_holds(const volatile uint32_t *page, const struct pattern *p)
{
    uint32_t x = pattern_start(p);
    uint32_t i = 4;

    if (p->kind == PATTERN_ZERO) {
        for (i = 0; i < PATTERN_PAGE_WORDS; i++) {
            if (page[i] != 0)
                return 0;
        }
        return 1;
    }
    if (page[0] != p->kind || page[1] != p->seed || page[2] != p->salt || page[3] != p->index)
        return 0;
    for (; i < PATTERN_PAGE_WORDS; i++) {
        x = pattern_next(x);
        if (page[i] != x)
            return 0;
    }
    return 1;
}

#endif
