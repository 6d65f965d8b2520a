/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A daemon that stays small.
 *
 * What it costs the host is its anonymous memory, some 3 MiB.  The rest of its resident set are
 * pages of the forty libraries that libvirt links, which other processes map, too.
 */
#pragma once

/* Few arenas, and freed memory back to the kernel soon.  At the very start, before any thread. */
void mf_footprint_limit(void);
