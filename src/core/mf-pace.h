/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How hard ksmd should work: boost, steady or rest.
 *
 * What merging saves comes in bursts: a domain starts, and after two or three sweeps over its
 * memory there is next to nothing left to find.  So ksmd gets a large share of a CPU as long as
 * there is reason to expect a gain, and next to nothing once a whole sweep has gained too little.
 * It is woken by what makes gains likely: a domain that starts or is switched on, memory that
 * grows, memory that gets short, and a gain that the slow scan comes by.
 *
 * A small memory is swept in a fraction of a second, and over and over again while a guest fills
 * it, or while there is nothing left.  So a sweep has a least time, too: short while sweeps find
 * much, long while they find next to nothing.
 */
#pragma once

#include "mf-config.h"
#include "mf-plan.h"
#include "mf-types.h"

/* While ksmd rests, accounts are made so many times less often. */
#define MF_REST_ACCOUNTS_FACTOR 2

/* A round of accounts that took t is not followed by another for t times this: a twentieth of one
 * CPU at most. */
#define MF_ACCOUNTS_COST_FACTOR 20

typedef enum {
    MF_PACE_BOOST,  /* boost-cpu-budget-permyriad */
    MF_PACE_STEADY, /* cpu-budget-permyriad */
    MF_PACE_REST,   /* rest-cpu-budget-permyriad */
} MfPace;

/* What pacing remembers from one tick to the next. */
typedef struct {
    MfPace pace;
    char *cause;                /* why this pace; NULL before the first tick */
    GHashTable *known_pids;     /* uuid -> gint64*: the domains that merged at the last tick */
    gboolean pressed;           /* memory was short at the last tick */
    gint64 woken_usec;          /* when the present boost or steady time began */
    guint sweeps_count;         /* that have ended since */
    MfU64 sweep_number;         /* full_scans at the last sweep's end */
    MfU64 sweep_saved_bytes;    /* what the host saved then */
    MfU64 sweep_known_pages;    /* that ksmd had looked at then */
    gint64 sweep_min_usec;      /* what a sweep should take at least */
    MfU64 all_pages;            /* that a sweep goes through, as far as can be told */
    MfU64 resident_bytes;       /* of the domains that merge, when the rest began */
    MfU64 window_scanned_pages; /* of a resting ksmd: pages_scanned when the window began */
    MfU64 window_saved_bytes;
} MfPacing;

void mf_pacing_init(MfPacing *pacing);
void mf_pacing_clear(MfPacing *pacing);

/* Makes of copy, which is not initialised, all that pacing is. */
void mf_pacing_copy(const MfPacing *pacing, MfPacing *ret_copy);

/* Chooses the pace for the next interval.  merging: of const MfDomain, those that should merge and
 * can; not empty.  is_awaited: domains are paused until merging has made room, so ksmd does not
 * rest. Pure but for pacing. */
void mf_pace_decide(const MfConfig *config, const MfSnapshot *snapshot, const GPtrArray *merging,
                    gboolean is_awaited, MfPacing *pacing);

/* ksmd's share of one CPU at that pace: a boost is never slower than the usual budget, nor a rest
 * faster, whatever the configuration says of them. */
guint mf_pace_budget_permyriad(const MfConfig *config, MfPace pace);

/* The pages a second that are worth scanning at most; absent while the memory's size is not known.
 */
MfU64 mf_pace_rate_max_pages(const MfPacing *pacing);

/* How long to wait from one round of accounts, which took cost_usec, to the next.  They walk page
 * tables: on a large host at rest they would take many times what ksmd may, so they get no more
 * than that then, but never wait for longer than two minutes for it: they tell of growth. */
gint64 mf_pace_accounts_wait_usec(const MfConfig *config, MfPace pace, gint64 cost_usec);

/* One sentence for the operator.  The caller owns it. */
MfReason *mf_pace_reason(const MfConfig *config, const MfPacing *pacing);
