/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Our kernel's merge groups and what each shares: /sys/kernel/mm/ksm/groups/<number>/. */
#pragma once

#include "../core/mf-types.h"
#include "mf-root.h"

/* All groups that ksmd has come to, of MfKsmGroup, by number; the caller owns the array.  A group
 * that goes while it is read is left out.  NULL without error when the kernel has no groups;
 * errors: DENIED, INVALID (more than 4096 groups), FAILED.  Blocks for three short reads a group.
 */
GPtrArray *mf_ksm_read_groups(MfRoot *root, GError **error);
