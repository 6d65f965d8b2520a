/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where the pages of a process are: frames by pagemap, nodes by move_pages(2), memory blocks by
 * sysfs.
 */
#ifndef PROGS_PAGES_H
#define PROGS_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The frame number of a page of another process; 0 when it is not present. */
unsigned long page_frame(pid_t pid, unsigned long address);

/* Moves @pages pages, and with them all who map them, to @node. Returns how many are there
 * afterwards, or a negative errno. */
long pages_move(pid_t pid, unsigned long address, size_t pages, int node);

/* New memory of this process and its children comes from @node only; -1: from anywhere. */
bool pages_bind(int node);

/* Bytes of a block of /sys/devices/system/memory; 0 where memory can't be taken away. */
unsigned long memory_block_bytes(void);

/* Whether all of a block is in a zone that holds what can be moved only. */
bool memory_block_movable(unsigned long block);

/* Takes a block of memory away, or gives it back. 0 or a negative errno. */
int memory_block_set(unsigned long block, bool online);

#endif
