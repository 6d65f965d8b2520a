/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guard against a storm: guests write to merged memory faster than the host can bear.
 *
 * Every merged page that is written becomes a page of its own.  How fast that goes, and what is at
 * hand, say how long what is at hand will last.  It is a storm when that is shorter than the
 * horizon and what is still merged would take more than there is.  Then ksmd stands still, since
 * its work is undone at once, and domains give way in the order of their priorities: memory that is
 * reclaimed, a balloon that is filled, and at last a pause, which memfold ends when there is room
 * again.  A domain never gives way while one of a lower priority still could.
 *
 * KSM's own counters take notice of a written page only when ksmd comes by; so what was written
 * meanwhile, which /proc/vmstat counts at once, is taken off what they say is saved.
 *
 * mf-storm.c measures with mf-storm-unseen.c and mf-storm-unmerge.c, mf-storm-victims.c chooses who
 * gives way, mf-storm-balloons.c and mf-storm-resume.c when that ends.  Pure: time is handed in.
 */
#pragma once

#include "mf-balloon.h"
#include "mf-config.h"
#include "mf-cover.h"
#include "mf-plan.h"
#include "mf-types.h"

/* What failed, and is tried again. */
typedef struct {
    gint64 not_before_usec;
    guint failures_count; /* in a row */
} MfRetry;

/* One way to have a domain give way: what is under way, and when it may be asked again. */
typedef struct {
    gboolean busy;
    gint64 busy_usec; /* since then */
    MfRetry retry;
} MfErrand;

/* A domain as the guard sees it. */
typedef struct {
    MfErrand swapping;     /* MF_ACTION_RECLAIM, which needs no libvirt */
    MfErrand calling;      /* the others, which do */
    gboolean pausing;      /* that is MF_ACTION_SUSPEND */
    MfRetry balloon_retry; /* of MF_ACTION_BALLOON alone: it can be paused meanwhile */
    gboolean emptying;     /* that is a balloon that gives all back */
    guint64 filling_bytes; /* that is a balloon that is asked for so much */
    gboolean missed;       /* a check was wanted while a call was under way */
    MfU64 last_cow_breaks_count;
    gboolean has_baseline;   /* the next two have been noted */
    MfU64 cow_breaks_count;  /* before the storm, or now while there is none */
    MfI64 own_bytes;         /* the same: resident and not saved */
    MfU64 written_bytes;     /* of its merged memory since then; absent: not told */
    MfU64 rate_bytes;        /* a second, over the last interval; absent where it is not counted */
    MfI64 seen_own_bytes;    /* the same, by the last accounts */
    guint64 reclaimed_bytes; /* given or asked for in this storm, and not seen in them yet */
    guint64 given_bytes;     /* the same, in all */
    guint64 asked_bytes;     /* of them, under way */
    MfBalloon balloon;       /* what it was asked for, and has to give back */
    gint64 balloon_usec;     /* when it was last asked; 0: by an earlier memfoldd */
    gint64 looked_usec;      /* when what it has was last asked for */
    gboolean looking;        /* and that is under way */
    gboolean suspended;      /* by memfold, which owes it a resumption */
    gint64 paused_usec;      /* since then; 0: by an earlier memfoldd */
    gboolean relieved;       /* its balloon was asked in this storm */
    MfU64 planned_bytes;     /* what un-merging or moving it, as last planned, may write */
    gboolean unmerging;      /* that is under way */
    gboolean unmerged;       /* the same in the interval that was measured last */
    guint64 unmerging_bytes; /* what it may still write */
    gint64 unmerging_usec;   /* when it was begun last */
    gint64 pid;              /* of the QEMU that the next two are of; 0: not known */
    MfU64 shared_bytes;      /* of its merged pages, what they save; of zeroes they show at once */
    gint64 accounts_usec;    /* of the accounts that tell so */
    guint64 shared_at_bytes; /* what had been written on the host when that was accounted */
} MfVictim;

/* What KSM's counters call saved and is not any more: they take notice of a page that was written
 * only when ksmd comes by.  What came during one of ksmd's sweeps is noticed when the next one
 * ends.
 */
typedef struct {
    guint64 new_bytes;  /* came during the sweep that is under way */
    guint64 old_bytes;  /* during the one before it */
    MfU64 scans_count;  /* the sweeps that had ended then */
    MfU64 shared_bytes; /* what was called saved then, but for zeroes, which show at once */
} MfUnseen;

/* What the guard remembers from one tick to the next. */
typedef struct {
    gint64 taken_usec; /* when the figures that follow were taken; 0: not yet */
    MfU64 cow_breaks_count;
    MfU64 saved_bytes;
    MfU64 zero_pages;
    MfU64 have_bytes;
    MfUnseen unseen;
    guint64 broken_bytes;     /* of merged memory, written on the host since it is looked at */
    gint64 unmerging_usec;    /* when un-merging has written last */
    gint64 begun_usec;        /* of the interval that was measured last */
    MfU64 written_rate_bytes; /* a second in it: merged memory that was written */
    MfU64 loss_rate_bytes;    /* the same, or what was lost with it */
    MfU64 headroom_bytes;     /* at hand, above the reserve */
    guint64 expected_bytes;   /* at these rates, what is still merged would take */
    gboolean raging;          /* it is a storm */
    gboolean near;            /* it is not, and may become one soon */
    gboolean exposed;         /* there is not enough at hand for all that is merged */
    gint64 storm_usec;        /* when it began */
    gint64 calm_usec;         /* when it was last seen to be over; 0: it is not */
    gint64 acted_usec;        /* when a domain was last suspended or resumed */
    gint64 emptied_usec;      /* when a balloon was last told to give all back */
    GHashTable *victims;      /* uuid -> MfVictim */
    GHashTable *gone;         /* uuid -> pid: forgotten, and a snapshot may still have it */
} MfStorm;

void mf_storm_init(MfStorm *storm);
void mf_storm_clear(MfStorm *storm);
void mf_storm_copy(const MfStorm *storm, MfStorm *ret_copy); /* ret_copy is not initialised */

/* Takes a snapshot's figures in, and says by storm->raging whether there is a storm. */
void mf_storm_note(const MfConfig *config, const MfSnapshot *snapshot, MfStorm *storm);

/* mf_cover_measure(), whose need leaves out what KSM's counters have not noticed: what was written,
 * and what domains had merged that have ended. */
MfCover mf_storm_cover(const MfStorm *storm, const MfHost *host);

/* How long what is at hand will last; G_MAXUINT64 when nothing is lost, absent when not known. */
MfU64 mf_storm_left_msec(const MfStorm *storm);

/* One sentence with figures and the domains that write most.  Only while it rages.  stops_ksmd: it
 * is memfold's to stop. */
MfReason *mf_storm_reason(const MfConfig *config, const MfSnapshot *snapshot, const MfStorm *storm,
                          gboolean stops_ksmd);

/* Whether anybody is named in that sentence. */
gboolean mf_storm_knows_writers(const MfStorm *storm);

/* Appends who gives way and who may go on to the plan, with reasons in its verdicts; they count as
 * under way until mf_storm_done().  The plan must have a verdict for each domain, and say who
 * governs. */
void mf_storm_decide(const MfConfig *config, const MfSnapshot *snapshot, MfStorm *storm,
                     MfPlan *plan);

/* The un-merging, or the move to another group, that was planned for the domain is begun now: until
 * then nothing is to be expected of it. */
void mf_storm_unmerge_begun(MfStorm *storm, const char *uuid, gint64 now_usec);

/* It has failed.  That it has succeeded is seen in a snapshot. */
void mf_storm_unmerge_failed(MfStorm *storm, const char *uuid);

/* An action came to its end; a resumption that failed is tried again.  given_bytes: what came of
 * MF_ACTION_RECLAIM.  One that gave something is asked again at once, also when it failed. */
void mf_storm_done(MfStorm *storm, MfActionKind kind, const char *uuid, gboolean succeeded,
                   guint64 given_bytes, gint64 now_usec);

/* A balloon was asked for memory, or to give it back, just now. */
void mf_storm_set_balloon(MfStorm *storm, const char *uuid, const MfBalloon *balloon,
                          gint64 now_usec);

/* Whose balloon is to be looked at now, once a second for as long as it owes memory; NULL:
 * nobody's. It counts as being looked at until mf_storm_looked(), whose balloon is NULL when that
 * failed. */
const char *mf_storm_next_look(MfStorm *storm, gint64 now_usec);
void mf_storm_looked(MfStorm *storm, const char *uuid, const MfBalloon *balloon);

/* What is wrong with the domain's balloon, in words; NULL: nothing.  Free with g_free(). */
char *mf_storm_balloon_trouble(const MfStorm *storm, const char *uuid, gint64 now_usec);

/* An earlier memfoldd left the domain paused, or its balloon filled; balloon NULL: not that. */
void mf_storm_owe(MfStorm *storm, const char *uuid, gboolean suspended, const MfBalloon *balloon);

/* Somebody else may have had the domain go on that memfold has paused.  TRUE when it is to be
 * looked at now: that counts as under way until mf_storm_checked(), which is told whether it runs.
 */
gboolean mf_storm_begin_check(MfStorm *storm, const char *uuid, gint64 now_usec);

/* Whether such a look was wanted while a call was under way, and is due now that it has ended. */
gboolean mf_storm_missed_check(const MfStorm *storm, const char *uuid);
void mf_storm_checked(MfStorm *storm, const char *uuid, gboolean runs, gint64 now_usec);

/* The domain has gone, and what it owes with it; one that owes nothing is forgotten as soon as no
 * snapshot has it. */
void mf_storm_forget(MfStorm *storm, const char *uuid);

/* Whether memfold has a domain paused. */
gboolean mf_storm_has_suspended(const MfStorm *storm);

/* How long until the next look: a storm does not wait for a slow tick. */
guint mf_storm_tick_msec(const MfConfig *config, const MfStorm *storm);

/* For the two halves of it: the domain's entry, made when it is missing. */
MfVictim *mf_storm_victim(MfStorm *storm, const char *uuid);
