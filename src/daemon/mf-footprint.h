/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A daemon that stays small.
 *
 * memfoldd links some forty libraries for libvirt's sake, and runs most of their code once.
 */
#pragma once

#include <glib.h>

/* Few arenas, and freed memory back to the kernel soon.  At the very start, before any thread. */
void mf_footprint_limit(void);

/* Gives back, soon and then every minute, what is not in use: free heap, and the clean pages of
 * program and libraries, which come again from the page cache when they are used. */
void mf_footprint_keep_small(void);
