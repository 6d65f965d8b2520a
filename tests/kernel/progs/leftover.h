/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whether anything of KSM is left when all who had merged pages are gone.
 */
#ifndef PROGS_LEFTOVER_H
#define PROGS_LEFTOVER_H

/*
 * Waits for all children, and lets ksmd make one pass,
 * scan. Returns NULL when every counter of merged pages is 0 then, those that this kernel has; else
 * the name of the first that is not, and its value in *@value; "full_scans" when ksmd does not
 * scan.
 */
const char *leftover(long *value);

#endif
