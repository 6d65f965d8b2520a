/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which page of a test guest is of which kind, and the few commands that both guests understand.
 *
 * A layout is four shares laid one behind the other: common, dup, zero, unique. It knows nothing
 * of where the guest's memory is: the guest supplies the address of the first page and a way to
 * print. Page numbers count from that first page.
 */
#ifndef MEMFOLD_TESTS_GUEST_LAYOUT_H
#define MEMFOLD_TESTS_GUEST_LAYOUT_H

#include "pattern.h"

struct layout {
    uint32_t seed;
    uint32_t salt;
    uint32_t common_pages;
    uint32_t dup_pages;
    uint32_t zero_pages;
    uint32_t unique_pages;
    uint32_t dirty_pages;      /* the first so many common pages are rewritten at present */
    uint32_t dirty_generation; /* counts the rewritings, so that each writes something new */
};

static inline uint32_t
layout_pages(const struct layout *l)
{
    return l->common_pages + l->dup_pages + l->zero_pages + l->unique_pages;
}

/* What page `page` of the layout must hold now. */
static inline struct pattern
layout_pattern(const struct layout *l, uint32_t page)
{
    struct pattern p = {PATTERN_UNIQUE, l->seed, l->salt, page};

    if (page < l->common_pages) {
        p.kind = page < l->dirty_pages ? PATTERN_DIRTY : PATTERN_COMMON;
        if (p.kind == PATTERN_DIRTY)
            p.index = page + (l->dirty_generation << 20);
        else
            p.salt = 0;
        return p;
    }
    page -= l->common_pages;
    if (page < l->dup_pages) {
        p.kind = PATTERN_DUP;
        p.index = page / PATTERN_DUP_COPIES;
        return p;
    }
    page -= l->dup_pages;
    if (page < l->zero_pages)
        p.kind = PATTERN_ZERO;
    return p;
}

/* Writes the pages [first, first + count) of the layout whose page 0 is at `base`. */
static inline void
layout_fill(const struct layout *l, volatile uint32_t *base, uint32_t first, uint32_t count)
{
    for (uint32_t page = first; page < first + count; page++) {
        struct pattern p = layout_pattern(l, page);

        pattern_fill(base + page * PATTERN_PAGE_WORDS, &p);
    }
}

/* Returns how many pages of the layout do not hold what they must. */
static inline uint32_t
layout_verify(const struct layout *l, const volatile uint32_t *base)
{
    uint32_t bad = 0;

    for (uint32_t page = 0; page < layout_pages(l); page++) {
        struct pattern p = layout_pattern(l, page);

        bad += !pattern_holds(base + page * PATTERN_PAGE_WORDS, &p);
    }
    return bad;
}

/*
 * Rewrites the first `count` common pages with contents that no page had before (COW breaks in
 * the host). Those beyond `count` that were dirty stay dirty.
 */
static inline void
layout_dirty(struct layout *l, volatile uint32_t *base, uint32_t count)
{
    if (count > l->common_pages)
        count = l->common_pages;
    if (count > l->dirty_pages)
        l->dirty_pages = count;
    l->dirty_generation++;
    layout_fill(l, base, 0, l->dirty_pages);
}

/* Gives the dirty pages their common contents back; returns how many they were. */
static inline uint32_t
layout_restore(struct layout *l, volatile uint32_t *base)
{
    uint32_t count = l->dirty_pages;

    l->dirty_pages = 0;
    layout_fill(l, base, 0, count);
    return count;
}

#endif
