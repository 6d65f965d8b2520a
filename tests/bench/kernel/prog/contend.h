/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Somebody who wants the mmap_lock of this process all the time, as a program does that allocates
 * and frees memory.
 */
#ifndef BENCH_CONTEND_H
#define BENCH_CONTEND_H

#include <stdbool.h>

/* Starts a thread that maps a page and takes it away, with short rests, till the process ends; a
 * trace of ksmd's events, if there is one, shows its as well. */
bool contend_start(void);

#endif
