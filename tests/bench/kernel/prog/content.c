/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The contents of pages; see content.h.
 */
#include "content.h"

#include "host.h"

#include <string.h>

enum {
    PAGE_WORDS = PAGE_BYTES / 8,
    PREFIX_WORDS = 3072 / 8,
    MIXED_PREFIX_WORDS = 2048 / 8,
    /* The kind MIXED, per cent of the pages: zero, common to all owners, equal to others of the
     * same owner; what is left is unique. */
    MIXED_ZERO_PERCENT = 10,
    MIXED_COMMON_PERCENT = 35,
    MIXED_INTERNAL_PERCENT = 5,
    /* Pages of one owner with equal contents have their numbers in one block of this many. */
    MIXED_BLOCK_PAGES = 64,
    SALT_OWNER = 40,
};

#define SALT_CHOICE UINT64_C(0x5bd1e9955bd1e995)
#define SALT_NEAR   UINT64_C(0x27d4eb2f165667c5)

uint64_t
content_mix(uint64_t value)
{
    uint64_t x = value + UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* xorshift64: cheap, for an emulator runs it on every word of every page. */
static uint64_t
next_word(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

static void
write_words(uint64_t name, size_t zero_words, uint64_t *page)
{
    uint64_t state = content_mix(name) | 1;

    memset(page, 0, zero_words * sizeof(*page));
    for (size_t i = zero_words; i < PAGE_WORDS; i++) {
        page[i] = next_word(&state);
    }
}

void
content_write_named(uint64_t name, uint64_t *page)
{
    write_words(name, 0, page);
}

bool
content_is_named(uint64_t name, const uint64_t *page)
{
    uint64_t state = content_mix(name) | 1;

    for (size_t i = 0; i < PAGE_WORDS; i++) {
        if (page[i] != next_word(&state)) {
            return false;
        }
    }
    return true;
}

static void
write_mixed(size_t index, size_t pages, uint64_t *page)
{
    size_t own_pages = pages / CONTENT_OWNERS;
    uint64_t owner = (uint64_t)(index / own_pages + 1) << SALT_OWNER;
    uint64_t place = index % own_pages;
    uint64_t choice = content_mix(place ^ SALT_CHOICE);
    uint64_t percent = choice % 100;
    uint64_t name;

    if (percent < MIXED_ZERO_PERCENT) {
        memset(page, 0, PAGE_BYTES);
        return;
    }
    percent -= MIXED_ZERO_PERCENT;
    if (percent < MIXED_COMMON_PERCENT) {
        name = place;
    } else if (percent < MIXED_COMMON_PERCENT + MIXED_INTERNAL_PERCENT) {
        name = (owner << 1) + place / MIXED_BLOCK_PAGES;
    } else {
        name = owner + place;
    }
    write_words(name, (choice >> 32) % 4 == 0 ? MIXED_PREFIX_WORDS : 0, page);
}

void
content_write(enum content_kind kind, size_t index, size_t pages, uint64_t *page)
{
    switch (kind) {
    case CONTENT_UNIQUE:
        write_words(index, 0, page);
        break;
    case CONTENT_PREFIX:
        write_words(index, PREFIX_WORDS, page);
        break;
    case CONTENT_NEAR:
        write_words(0, 0, page);
        page[content_mix(index) % PAGE_WORDS] = content_mix(index ^ SALT_NEAR);
        break;
    case CONTENT_PAIRS:
        write_words(index % (pages / 2), 0, page);
        break;
    case CONTENT_MULTI:
        write_words(index % (pages / CONTENT_OWNERS), 0, page);
        break;
    case CONTENT_MIXED:
        write_mixed(index, pages, page);
        break;
    case CONTENT_FEW:
        write_words(index % CONTENT_FEW_KINDS, 0, page);
        break;
    case CONTENT_KNOWN:
        write_words(index + CONTENT_KNOWN_PAGES >= pages ? index + CONTENT_KNOWN_PAGES - pages
                                                         : index,
                    0, page);
        break;
    }
}
