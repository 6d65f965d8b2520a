/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * May a domain start?
 *
 * It needs its <memory>, all of it, and what QEMU and the kernel spend on it.  What is there for it
 * is available memory and free swap, less
 *   - what a storm would take: all that merging saves (mf-cover.h), less what a domain that has
 *     just ended had a share of, times coverage-permyriad;
 *   - reserve-permyriad of RAM;
 *   - promises: what domains that were admitted lately may still touch.
 *
 * What the other running domains were given and have not touched is not counted.  Hosts that merge
 * are hosts that give more than they have, and memory that a guest leaves alone in its first ten
 * minutes is mostly left alone for good; a host that must never give more than it has needs no
 * merging.  So this promises a domain its memory at its start and against what merging owes, not
 * against everybody's using everything one day.
 *
 * What is not known refuses nobody, and is said.
 */
#pragma once

#include "mf-config.h"
#include "mf-cover.h"
#include "mf-plan.h"
#include "mf-types.h"

/* How long what a domain has not touched is kept for it after its start. */
#define MF_PROMISE_USEC (600 * G_USEC_PER_SEC)

/* What is promised to domains that have just started.  For one thread. */
typedef struct _MfPromises MfPromises;

MfPromises *mf_promises_new(void);
void mf_promises_free(MfPromises *promises);

/* Promises bytes to the domain for MF_PROMISE_USEC from now on, in place of an earlier promise. */
void mf_promises_make(MfPromises *promises, const char *uuid, guint64 bytes, gint64 now_usec);

/* The domain is gone, or did not come. */
void mf_promises_end(MfPromises *promises, const char *uuid);

gboolean mf_promises_has(const MfPromises *promises, const char *uuid);

/* The domain's QEMU has so much in memory (merged pages included: what they may take back is the
 * storm's).  The most that was seen counts: what went to swap since was touched, too. */
void mf_promises_note_resident(MfPromises *promises, const char *uuid, guint64 resident_bytes);

/* What is promised and not touched, over all domains.  Forgets promises that are over. */
guint64 mf_promises_sum_bytes(MfPromises *promises, gint64 now_usec);

/* What the domain takes at most: memory_bytes, 32 MiB for QEMU itself, and for each page its
 * entries in the host's and the guest's page tables (2 x 8 bytes) and ksmd's record of it (64
 * bytes): in all 1/51 of its memory.  Hugetlb pages were set apart before and are not counted; a
 * domain with them for some of its NUMA cells is taken for one with them for all.  Absent when
 * memory_bytes is. */
MfU64 mf_admission_need_bytes(const MfDomain *domain);

/* Whether the domain may start: FALSE only under admission=enforce, when it can't be covered or its
 * policy is refused.  promised_bytes: mf_promises_sum_bytes() of the others.  host: only
 * mem_total_bytes is looked at; the rest is in cover, which mf_storm_cover() makes of the same
 * host. ret_reason, the caller's, is NULL when there is nothing to say, and else one sentence that
 * names the domain, with figures.  Pure. */
gboolean mf_admission_judge(const MfConfig *config, const MfHost *host, const MfCover *cover,
                            guint64 promised_bytes, const MfDomain *domain, MfReason **ret_reason);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfPromises, mf_promises_free)
