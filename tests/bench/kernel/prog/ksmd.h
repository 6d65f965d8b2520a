/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * ksmd, one pass at a time: it sleeps for minutes, and to change for how long wakes it; one batch
 * of its is all the pages there are.
 */
#ifndef BENCH_KSMD_H
#define BENCH_KSMD_H

/* What is worth telling of a state of ksmd; -1 for what the kernel does not count. */
struct ksmd_state {
    long cpu_nsec;
    long scanned_pages;
    long shared_pages;
    long sharing_pages;
    long unshared_pages;
    long zero_pages;
    long unwritten_pages;
};

/* Finds ksmd and sets it up for single passes, with nothing merged and smart_scan off. Ends the
 * program where that fails. */
void ksmd_open(void);

void ksmd_look(struct ksmd_state *state);

/* Lets it make one pass, and waits for the end. */
void ksmd_pass(void);

/* Starts a pass without waiting. */
void ksmd_kick(void);

/* Prints "WORD nsec N scanned N ...": what happened since @before, and what is now. */
void ksmd_report(const char *word, const struct ksmd_state *before);

#endif
