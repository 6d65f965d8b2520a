/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory of the host that has failed.
 *
 * A merged page in a bad frame is lost to everyone who shares it.  QEMU asks to be told at once
 * (PR_MCE_KILL_EARLY): with KVM it hands the error on to its guest, without it ends.  memfold can't
 * bring the page back; it says why several domains ended at once, and what to do about it.
 * Source: mm/memory-failure.c, collect_procs_ksm(); proc(5), HardwareCorrupted.
 */
#pragma once

#include "mf-plan.h"
#include "mf-types.h"

/* What there is to say of failed memory, or NULL when none is known.  The caller owns it. */
MfReason *mf_poison_reason(const MfHost *host);

/* Appends that to the host's reasons. */
void mf_poison_tell(const MfHost *host, MfPlan *plan);

/* Whether more has failed than was told of, which is updated.  Memory that is back in use, as after
 * a test with injected errors, makes the same failure news again. */
gboolean mf_poison_is_news(const MfHost *host, guint64 *told_bytes);
