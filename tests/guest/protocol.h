/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a test guest says and obeys, the same in both guests.
 *
 * Arguments are words `name=value`; unknown words are left alone, so that a kernel command line
 * may be given whole. The console protocol is lines of text:
 *
 *   READY kind=tiny seed=1 salt=9 ...   once at start, and as the answer to `info`
 *   verify        VERIFY pages=N bad=N
 *   dirty [N]     DIRTY pages=N         N common pages (default all) get new unique contents
 *   restore       RESTORED pages=N      dirty pages get their common contents back
 *   time SHARE    TIMED pages=N median_ticks=N   the first N pages of common, dup or unique are
 *                                       written as they are: what one takes
 *   off           OFF                   and the machine powers off
 *   anything else ERROR ...
 *
 * The includer defines guest_write(), guest_describe() and guest_off().
 */
#ifndef MEMFOLD_TESTS_GUEST_PROTOCOL_H
#define MEMFOLD_TESTS_GUEST_PROTOCOL_H

#include "layout.h"
#include "timing.h"

/* Sends `length` bytes to the console; returns when they are handed over. */
static void guest_write(const char *bytes, uint32_t length);
/* Says what only this kind of guest knows: its part of the READY line, by say_field(). */
static void guest_describe(void);
/* Powers the machine off. */
static void guest_off(void) __attribute__((noreturn));

static inline void
say(const char *text)
{
    uint32_t length = 0;

    while (text[length])
        length++;
    guest_write(text, length);
}

static inline void
say_number(uint32_t value)
{
    char digits[10];
    uint32_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    guest_write(digits + at, sizeof digits - at);
}

/* Says " name=value". */
static inline void
say_field(const char *name, uint32_t value)
{
    say(" ");
    say(name);
    say("=");
    say_number(value);
}

static inline void
say_ready(const struct layout *l)
{
    say("READY");
    guest_describe();
    say_field("seed", l->seed);
    say_field("salt", l->salt);
    say_field("common_pages", l->common_pages);
    say_field("dup_pages", l->dup_pages);
    say_field("dup_copies", PATTERN_DUP_COPIES);
    say_field("zero_pages", l->zero_pages);
    say_field("unique_pages", l->unique_pages);
    say_field("dirty_pages", l->dirty_pages);
    say("\n");
}

/* If `text` begins with `word`, returns what follows it, else 0. */
static inline const char *
text_after(const char *text, const char *word)
{
    while (*word) {
        if (*text++ != *word++)
            return 0;
    }
    return text;
}

/* Reads decimal digits that end the text or its word; returns 0 unless there are 1 to 9. */
static inline int
text_number(const char *text, uint32_t *value)
{
    uint32_t digits = 0;

    *value = 0;
    for (; *text >= '0' && *text <= '9' && digits < 10; digits++)
        *value = *value * 10 + (uint32_t)(*text++ - '0');
    return digits > 0 && digits < 10 && (*text == '\0' || *text == ' ' || *text == '\n');
}

/*
 * Reads the layout from `args`, words parted by blanks: seed= salt= common_mib= dup_mib=
 * zero_mib= unique_mib=. What is not named keeps its value. Returns 0 if a value is no number or
 * a share above 4095 MiB, else 1.
 */
static inline int
layout_parse(struct layout *l, const char *args)
{
    const struct {
        const char *name;
        uint32_t *value;
        uint32_t unit;
    } words[] = {
        {"seed=", &l->seed, 1},
        {"salt=", &l->salt, 1},
        {"common_mib=", &l->common_pages, PATTERN_MIB_PAGES},
        {"dup_mib=", &l->dup_pages, PATTERN_MIB_PAGES},
        {"zero_mib=", &l->zero_pages, PATTERN_MIB_PAGES},
        {"unique_mib=", &l->unique_pages, PATTERN_MIB_PAGES},
    };

    while (*args) {
        for (uint32_t i = 0; i < sizeof words / sizeof words[0]; i++) {
            const char *value = text_after(args, words[i].name);
            uint32_t number;

            if (!value)
                continue;
            if (!text_number(value, &number) || (words[i].unit > 1 && number > 4095))
                return 0;
            *words[i].value = number * words[i].unit;
        }
        while (*args && *args != ' ' && *args != '\n')
            args++;
        while (*args == ' ' || *args == '\n')
            args++;
    }
    return 1;
}

/* Times writes to a share; 0 if there is none of that name. */
static inline int
obey_time(const struct layout *l, volatile uint32_t *base, const char *share)
{
    const struct {
        const char *name;
        uint32_t first, pages;
    } shares[] = {
        {"common", 0, l->common_pages},
        {"dup", l->common_pages, l->dup_pages},
        {"unique", l->common_pages + l->dup_pages + l->zero_pages, l->unique_pages},
    };

    for (uint32_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        const char *rest = text_after(share, shares[i].name);

        if (rest && *rest == '\0') {
            uint32_t pages =
                shares[i].pages < TIMING_PAGES_MAX ? shares[i].pages : TIMING_PAGES_MAX;
            uint32_t ticks = timing_median(base, shares[i].first, pages);

            say("TIMED");
            say_field("pages", pages);
            say_field("median_ticks", ticks);
            say("\n");
            return 1;
        }
    }
    return 0;
}

/* Obeys one line (without its end) for the layout that lies at `base`. */
static inline void
obey(struct layout *l, volatile uint32_t *base, const char *line)
{
    const char *rest;
    uint32_t count = l->common_pages;

    if ((rest = text_after(line, "dirty")) && (*rest == '\0' || *rest == ' ')) {
        if (*rest && !text_number(rest + 1, &count)) {
            say("ERROR dirty wants a number of pages\n");
            return;
        }
        layout_dirty(l, base, count);
        say("DIRTY");
        say_field("pages", l->dirty_pages);
        say("\n");
    } else if ((rest = text_after(line, "verify")) && *rest == '\0') {
        say("VERIFY");
        say_field("pages", layout_pages(l));
        say_field("bad", layout_verify(l, base));
        say("\n");
    } else if ((rest = text_after(line, "restore")) && *rest == '\0') {
        say("RESTORED");
        say_field("pages", layout_restore(l, base));
        say("\n");
    } else if ((rest = text_after(line, "time ")) && obey_time(l, base, rest)) {
        return;
    } else if ((rest = text_after(line, "info")) && *rest == '\0') {
        say_ready(l);
    } else if ((rest = text_after(line, "off")) && *rest == '\0') {
        say("OFF\n");
        guest_off();
    } else if (*line) {
        say("ERROR unknown command; known: info verify dirty restore time off\n");
    }
}

#endif
