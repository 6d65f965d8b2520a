/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KSM's own files: counters, knobs and ksmd's CPU time.
 *
 * Source: Documentation/admin-guide/mm/ksm.rst and Documentation/ABI/testing/sysfs-kernel-mm-ksm.
 * What a kernel has is probed by the file's existence.
 */
#pragma once

#include "../core/mf-plan.h"
#include "../core/mf-types.h"
#include "mf-root.h"

/* Fills the KSM fields of host, host->saved_bytes included.  A missing file leaves its field
 * absent.  FALSE with MF_ERROR_UNSUPPORTED when the kernel has no KSM at all.  Blocks. */
gboolean mf_ksm_read(MfRoot *root, MfHost *host, GError **error);

/* The pages that ksmd has scanned since boot, all alone; absent when that can't be read. */
MfU64 mf_ksm_read_scanned(MfRoot *root);

/* Whether this kernel keeps merge groups apart (our kernel series); stock: FALSE. */
gboolean mf_ksm_has_groups(MfRoot *root);

/* FALSE only where the kernel says that equal pages of different NUMA nodes do not merge. */
gboolean mf_ksm_merges_across_nodes(MfRoot *root);

/* Reads a knob as text without white space around it (the chosen word of a choice file).  GONE when
 * the kernel has no such knob. */
char *mf_ksm_read_knob(MfRoot *root, MfKnob knob, GError **error);

/* Writes a knob.  Writing "2" to run (un-merge everything) is refused with MF_ERROR_INVALID:
 * memfold never does that for a domain's sake. */
gboolean mf_ksm_write_knob(MfRoot *root, MfKnob knob, const char *value, GError **error);

/* Has ksmd scan what is mergeable of a process once, before all others (our kernel's `boost`).
 * GONE: no such process; BUSY: too many wait already; INVALID: nothing of it is mergeable.  A PID
 * that has become another process's costs a scan of that one, and no more.  Does not wait for the
 * scan. */
gboolean mf_ksm_boost(MfRoot *root, gint64 pid, GError **error);
